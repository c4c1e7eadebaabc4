"""REINFORCE: rewards-to-go, the gradient, carried episodes, and SB3's own ways of using an algorithm."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

from tlbench.baselines.learners.episodes import EpisodeBuffer, rewards_to_go
from tlbench.baselines.learners.reinforce import Reinforce, normalised
from tlbench.baselines.learners.vpg import VPG
from tlbench.protocol.interface import Interface


def test_rewards_to_go_by_hand():
    assert rewards_to_go([1, 2, 3], 0.5) == [1 + 1 + 0.75, 2 + 1.5, 3]
    assert rewards_to_go([1, 2, 3], 1.0) == [6, 5, 3]
    assert rewards_to_go([-1.0], 0.9) == [-1]


def test_normalised_by_hand():
    np.testing.assert_allclose(normalised(torch.tensor([1.0, 2.0, 3.0])), [-(1.5**0.5), 0, 1.5**0.5], atol=1e-6)
    assert torch.equal(normalised(torch.full((4,), 7.0)), torch.zeros(4))


def buffer(n_envs=2, size=2):
    return EpisodeBuffer(size, spaces.Box(-99, 99, (1,)), spaces.Discrete(9), "cpu", gamma=0.5, n_envs=n_envs)


def feed(episodes, rows):
    """Rows of (observations, rewards, dones); an action is its observation's number modulo 9."""
    for obs, rewards, dones in rows:
        stored = episodes.observe(np.array(obs, dtype=np.float64)[:, None])
        assert stored.dtype == np.float32
        episodes.complete(np.array(obs) % 9, np.array(rewards), np.array(dones))


def test_unfinished_episodes_are_carried():
    episodes = buffer()
    feed(episodes, [((0, 10), (1, 1), (False, False)), ((1, 11), (2, 1), (True, False)), ((2, 12), (4, 1), (0, 0))])
    assert episodes.finished_steps == 2
    obs, actions, returns = episodes.take()
    assert obs[:, 0].tolist() == [0, 1]
    assert actions.tolist() == [0, 1]
    assert returns.tolist() == [2, 2]
    assert episodes.finished_steps == 0
    feed(episodes, [((3, 13), (8, 1), (True, True)), ((4, 14), (1, 5), (False, True))])
    obs, actions, returns = episodes.take()
    assert obs[:, 0].tolist() == [2, 3, 10, 11, 12, 13, 14]
    assert actions.tolist() == [2, 3, 1, 2, 3, 4, 5]
    assert returns.tolist() == [8, 8, 1.875, 1.75, 1.5, 1, 5]
    feed(episodes, [((5, 15), (2, 1), (True, False))])
    assert episodes.take()[2].tolist() == [2, 2]
    episodes.reset()
    assert episodes.pos == 0


def test_every_step_is_given_out_once_and_in_order():
    rng = np.random.default_rng(0)
    episodes = buffer(n_envs=3, size=1)
    clock, open_steps, seen, expected = np.zeros(3, int), [[], [], []], [], []
    for _ in range(400):
        obs = np.arange(3) * 10_000 + clock
        dones = rng.random(3) < 0.1
        feed(episodes, [(obs, rng.random(3), dones)])
        clock += 1
        for lane in range(3):
            open_steps[lane].append(int(obs[lane]))
            if dones[lane]:
                expected += open_steps[lane]
                open_steps[lane] = []
        if episodes.finished_steps >= 20:
            seen += episodes.take()[0][:, 0].int().tolist()
    assert sorted(seen) == sorted(expected[: len(seen)])
    assert len(set(seen)) == len(seen) > 1000


def model_for(interface):
    return VPG().build(interface, VPG.Config(hidden_sizes=(6, 5)), 0, "cpu").model


def test_gradient_equals_finite_differences(interface):
    model = model_for(interface)
    policy = model.policy.double()
    rng = np.random.default_rng(0)
    obs = torch.from_numpy(rng.normal(size=(11, 5)))
    policy.action_net.weight.data += 0.3 * torch.from_numpy(rng.normal(size=policy.action_net.weight.shape))
    policy.features_extractor.forward = lambda observations: obs  # SB3 casts observations to float32
    with torch.no_grad():
        actions = policy.get_distribution(obs).sample()
    advantages = normalised(torch.from_numpy(rng.normal(size=11)))
    model.loss(obs, actions, advantages).backward()
    for parameter in policy.parameters():
        for index in np.ndindex(*parameter.shape):
            values = []
            for sign in (1, -1):
                with torch.no_grad():
                    parameter[index] += sign * 1e-5
                    values.append(model.loss(obs, actions, advantages).item())
                    parameter[index] -= sign * 1e-5
            assert parameter.grad[index].item() == pytest.approx((values[0] - values[1]) / 2e-5, abs=1e-8)


def test_loss_by_hand():
    space = spaces.Box(-1, 1, (1,))
    model = model_for(Interface(space, spaces.Discrete(2), 0.9))
    with torch.no_grad():
        for p in model.policy.parameters():
            p.zero_()
        model.policy.action_net.bias.copy_(torch.log(torch.tensor([0.25, 0.75])))
    loss = model.loss(torch.zeros(2, 1), torch.tensor([0, 1]), torch.tensor([1.0, -2.0]))
    assert loss.item() == pytest.approx(-(np.log(0.25) - 2 * np.log(0.75)) / 2, rel=1e-5)


def test_learns_cartpole(make_task, make_envs):
    task = make_task("tlbench/CartPole-v1", 40_000)
    agent = VPG().build(task.interface, VPG.Config(), 1000, "cpu")
    agent.train(task)
    mean, _ = evaluate_policy(agent.model, make_envs("tlbench/CartPole-v1", 8, 9), 8, warn=False)
    assert mean > 200  # random: about 22


def test_stock_environments_callbacks_saving_and_prediction(tmp_path):
    calls = []

    class Count(BaseCallback):
        def _on_step(self):
            calls.append(self.locals["dones"].sum())
            return len(calls) < 300

    model = Reinforce("MlpPolicy", make_vec_env("CartPole-v1", 4, seed=0), batch_size=200, seed=0)
    model.learn(100_000, callback=Count())
    assert len(calls) == 300
    assert model.num_timesteps == 1200
    assert len(model.ep_info_buffer) == sum(calls)
    model.save(tmp_path / "model")
    loaded = Reinforce.load(tmp_path / "model")
    obs = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    assert np.array_equal(model.predict(obs, deterministic=True)[0], loaded.predict(obs, deterministic=True)[0])
    for a, b in zip(model.policy.parameters(), loaded.policy.parameters(), strict=True):
        assert torch.equal(a, b)
    loaded.set_env(make_vec_env("CartPole-v1", 4, seed=1))
    loaded.learn(500, reset_num_timesteps=False)
    assert loaded.num_timesteps >= 1700


def test_learning_on_keeps_or_drops_unfinished_episodes(make_envs):
    model = Reinforce("MlpPolicy", make_envs("tlbench/Pendulum-v1", 2), batch_size=1, seed=0)
    model.learn(1)
    model.learn(1, reset_num_timesteps=False)
    assert model.num_timesteps == 800
    model.rollout_buffer.observe(np.zeros((2, 3)))
    model.rollout_buffer.complete(np.zeros((2, 1)), np.zeros(2), np.zeros(2, dtype=bool))
    model.learn(1)  # resets the environment
    assert model.rollout_buffer.pos == 0


def test_actions_are_clipped_for_the_environment_but_not_for_learning(make_envs):
    envs = make_envs("tlbench/Pendulum-v1", 4)
    seen, step = [], envs.step
    envs.step = lambda actions: seen.append(actions) or step(actions)
    model = Reinforce("MlpPolicy", envs, batch_size=1, seed=0, policy_kwargs={"log_std_init": 2.0})
    stored = []
    take = model.rollout_buffer.take
    model.rollout_buffer.take = lambda: stored.append(take()) or stored[-1]
    model.learn(1)
    assert np.abs(np.array(seen)).max() == 2
    assert stored[0][1].abs().max() > 2
    assert stored[0][0].shape == (800, 3)


def test_other_spaces_are_refused():
    with pytest.raises(ValueError, match="1-D Box of observations"):
        Reinforce("MlpPolicy", make_vec_env("FrozenLake-v1", 2))


def test_other_activations_are_refused():
    with pytest.raises(ValueError, match="tanh, relu"):
        Reinforce("MlpPolicy", make_vec_env("CartPole-v1", 2), policy_kwargs={"activation_fn": torch.nn.ELU})
