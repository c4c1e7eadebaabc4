"""TRPO: sb3-contrib's own update on our acting, buffer and optimiser; networks that are frozen altogether."""

import numpy as np
import pytest
import sb3_contrib
import torch
from stable_baselines3.common.evaluation import evaluate_policy

from tlbench.baselines.learners.policies import LeanPolicy
from tlbench.baselines.learners.trpo import TRPO, SeededTRPO

SHARED = {"n_steps": 32, "batch_size": 64, "n_critic_updates": 3, "seed": 0, "device": "cpu", "learning_rate": 1e-3}


def collected(envs, **settings):
    adam = {"eps": 1e-5, "fused": True}
    model = SeededTRPO(LeanPolicy, envs, **{**SHARED, **settings}, policy_kwargs={"optimizer_kwargs": adam})
    _, callback = model._setup_learn(128)
    model.collect_rollouts(model.env, callback, model.rollout_buffer, 32)
    return model


def test_the_update_is_sb3_contribs(make_envs, environment):
    """One update on the same rollout, in the same order, from the same start of conjugate gradients.

    Few of their steps: each magnifies differences of rounding.
    """
    lean = collected(make_envs(environment, 4), cg_max_steps=4)
    stock = sb3_contrib.TRPO("MlpPolicy", make_envs(environment, 4), **SHARED, cg_max_steps=4)
    start = [parameter.detach().clone() for parameter in stock.policy.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(lean.policy.parameters(), start, strict=True))
    stock._setup_learn(128)
    for name in ("observations", "actions", "values", "log_probs", "advantages", "returns"):
        setattr(stock.rollout_buffer, name, getattr(lean.rollout_buffer, name).copy())
    stock.rollout_buffer.full = True
    lean.rollout_buffer.rng = np.random.RandomState(7)
    np.random.seed(7)
    seed = int(np.random.default_rng(np.random.SeedSequence(0).spawn(3)[2]).integers(2**31))
    lean.train()
    torch.manual_seed(seed)
    stock.train()
    for a, b, before in zip(lean.policy.parameters(), stock.policy.parameters(), start, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
        assert not torch.equal(a, before)


def test_the_step_stays_in_the_trust_region(make_envs, environment):
    model = collected(make_envs(environment, 4), target_kl=0.003)
    obs = torch.as_tensor(model.rollout_buffer.observations.reshape(128, -1)).float()
    before = model.policy.get_distribution(obs).distribution
    model.train()
    after = model.policy.get_distribution(obs).distribution
    divergence = float(torch.distributions.kl_divergence(after, before).mean().detach())
    assert 0.0005 < divergence < 0.003


@pytest.mark.parametrize("part", ["policy", "value"])
def test_one_network_may_be_frozen_altogether(make_task, environment, small_config, part):
    task = make_task(environment, 1000)
    agent = TRPO().build(task.interface, small_config(TRPO()), 0, "cpu")
    start = agent.params()
    frozen = [role for role in start if role.startswith("value.") == (part == "value")]
    agent.load({}, frozen)
    agent.train(task)
    final = agent.params()
    assert {role for role in final if torch.equal(final[role], start[role])} == set(frozen)


def test_learns_cartpole(make_task, make_envs):
    task = make_task("tlbench/CartPole-v1", 30_000)
    agent = TRPO().build(task.interface, TRPO.Config(), 1000, "cpu")
    agent.train(task)
    mean, _ = evaluate_policy(agent.model, make_envs("tlbench/CartPole-v1", 8, 9), 8, warn=False)
    assert mean > 200  # random: about 22
