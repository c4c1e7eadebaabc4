"""PPO: SB3's own update on our acting, buffer and optimiser."""

import itertools

import numpy as np
import stable_baselines3
import torch
from stable_baselines3.common.evaluation import evaluate_policy

from tlbench.baselines.learners.policies import LeanPolicy
from tlbench.baselines.learners.ppo import PPO, SeededPPO, SeededRolloutBuffer


def test_the_update_is_sb3s(interface, make_envs, environment):
    """One update on the same rollout, in the same order, by stock SB3 with its default Adam."""
    shared = {"n_steps": 32, "batch_size": 64, "n_epochs": 3, "seed": 0, "device": "cpu", "learning_rate": 1e-3}
    lean = SeededPPO(
        LeanPolicy,
        make_envs(environment, 4),
        **shared,
        policy_kwargs={"optimizer_kwargs": {"fused": True, "eps": 1e-5}},
    )
    stock = stable_baselines3.PPO("MlpPolicy", make_envs(environment, 4), **shared)
    for a, b in zip(lean.policy.parameters(), stock.policy.parameters(), strict=True):
        assert torch.equal(a, b)
    _, callback = lean._setup_learn(128)
    stock._setup_learn(128)
    lean.collect_rollouts(lean.env, callback, lean.rollout_buffer, 32)
    for name in ("observations", "actions", "values", "log_probs", "advantages", "returns"):
        setattr(stock.rollout_buffer, name, getattr(lean.rollout_buffer, name).copy())
    stock.rollout_buffer.full = True
    lean.rollout_buffer.rng = np.random.RandomState(7)
    np.random.seed(7)
    lean.train()
    stock.train()
    for a, b in zip(lean.policy.parameters(), stock.policy.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=2e-6, rtol=1e-5)


def test_minibatches_cover_the_rollout(interface):
    buffer = SeededRolloutBuffer(5, interface.observation_space, interface.action_space, "cpu", n_envs=3)
    buffer.rng = np.random.default_rng(0)
    obs = np.arange(15, dtype=np.float32).reshape(5, 3, 1) * np.ones(5, np.float32)
    zeros = np.zeros((3, *interface.action_space.shape))
    for row in obs:
        buffer.add(row, zeros, np.zeros(3), np.zeros(3), torch.zeros(3), torch.zeros(3))
    for size, sizes in ((4, [4, 4, 4, 3]), (None, [15])):
        batches = [b.observations[:, 0].tolist() for b in buffer.get(size)]
        assert [len(b) for b in batches] == sizes
        assert sorted(itertools.chain(*batches)) == list(range(15))


def test_learns_cartpole(make_task, make_envs):
    task = make_task("tlbench/CartPole-v1", 20_000)
    agent = PPO().build(task.interface, PPO.Config(), 1000, "cpu")
    agent.train(task)
    mean, _ = evaluate_policy(agent.model, make_envs("tlbench/CartPole-v1", 8, 9), 8, warn=False)
    assert mean > 200  # random: about 22


def test_saving_and_prediction(tmp_path, make_envs, environment):
    model = SeededPPO(LeanPolicy, make_envs(environment, 4), n_steps=32, batch_size=64, seed=0)
    model.learn(256)
    model.save(tmp_path / "model")
    loaded = SeededPPO.load(tmp_path / "model", env=make_envs(environment, 4))
    obs = np.random.default_rng(0).normal(size=(9, *model.observation_space.shape)).astype(np.float32)
    assert np.array_equal(model.predict(obs, deterministic=True)[0], loaded.predict(obs, deterministic=True)[0])
    loaded.learn(256)
