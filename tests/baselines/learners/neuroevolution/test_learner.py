"""What neuroevolution promises as a learner: determinism, roles, loading, freezing, the budget's end, divergence."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces

from tlbench.baselines.learners.neuroevolution.learner import Neuroevolution, NeuroevolutionConfig
from tlbench.protocol.errors import DivergedError
from tlbench.protocol.interface import Interface

SMALL = {"n_envs": 4, "population": 6, "parents": 2, "candidates": 2, "reevaluations": 1}
BODY = ["body.0.weight", "body.0.bias", "body.1.weight", "body.1.bias", "head.weight", "head.bias"]


def build(task, seed=0, **changes):
    return Neuroevolution().build(task.interface, NeuroevolutionConfig(**{**SMALL, **changes}), seed, "cpu")


def trained(task, seed=0, **changes):
    agent = build(task, seed, **changes)
    agent.train(task)
    return agent


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[r], b[r]) for r in a)


def test_same_seed_gives_the_same_bytes_whatever_the_global_generators(environment, make_task):
    ended = []
    for disturbance in (1, 2):
        agent = build(make_task(environment, 1))
        torch.manual_seed(disturbance)
        np.random.seed(disturbance)
        agent.train(make_task(environment, 6400))
        ended.append(agent)
    assert equal(ended[0].params(), ended[1].params())
    assert ended[0].diagnostics() == ended[1].diagnostics() == {"generations": ended[0].generations}
    assert ended[0].generations > 0
    assert not equal(ended[0].params(), trained(make_task(environment, 6400), 1).params())


def test_it_learns_cartpole(make_task):
    task = make_task("tlbench/CartPole-v1", 30_000)
    agent = trained(task)
    assert agent.gradient_steps == 0
    fresh, after = make_task("tlbench/CartPole-v1", 4000, seed=9), make_task("tlbench/CartPole-v1", 4000, seed=9)
    lengths = []
    for tried, policy in ((fresh, build(fresh).policy), (after, agent.policy)):
        tried.publish(policy)
        envs = tried.envs(8)
        obs = envs.reset()
        for _ in range(500):
            obs, *_ = envs.step(policy.act(obs, None, np.ones(8, dtype=bool))[0])
        lengths.append(4000 / max(1, tried.episodes_done))
    assert lengths[1] > 3 * lengths[0]


@pytest.mark.parametrize("frozen", [["body.0.weight", "body.0.bias"], ["head.weight", "body.1.bias"], BODY])
def test_frozen_roles_are_untouched_bit_for_bit(environment, make_task, frozen):
    task = make_task(environment, 6400)
    agent = build(task)
    loaded = {r: torch.randn_like(p) * 0.1 for r, p in agent.params().items()}
    agent.load(loaded, frozen)
    agent.train(task)
    final = agent.params()
    assert all(torch.equal(final[r], loaded[r]) for r in frozen)
    changed = {r for r in final if not torch.equal(final[r], loaded[r])}
    assert changed in (set(BODY) - set(frozen), set())  # the start may have stayed the best


def test_the_first_generation_comes_from_what_was_loaded(make_task):
    task = make_task("tlbench/CartPole-v1", 1)
    agent = build(task)
    loaded = {role: torch.full_like(tensor, 0.5) for role, tensor in agent.params().items()}
    agent.load(loaded)
    agent.train(task)  # ends at once
    assert equal(agent.params(), loaded)


def test_budget_ends_training_quietly(environment, make_task):
    for budget in (1602, 2, 0):
        task = make_task(environment, budget)
        agent = trained(task)
        assert budget - 4 < task.spent <= budget
        assert task.published == [agent.policy]


def test_params_are_copies_and_load_refuses_what_does_not_fit(interface):
    agent = Neuroevolution().build(interface, NeuroevolutionConfig(), 0, "cpu")
    start = agent.params()
    assert list(start) == BODY
    start["head.bias"].fill_(3)
    assert not equal(start, agent.params())
    with pytest.raises(KeyError, match="tail"):
        agent.load({"tail.weight": torch.zeros(1)})
    with pytest.raises(KeyError, match="tail"):
        agent.load({}, frozen=["tail.weight"])
    with pytest.raises(ValueError, match=r"head\.weight"):
        agent.load({"head.weight": torch.zeros(1, 64)})


def test_a_start_that_is_no_number_is_divergence_before_the_first_step(make_task):
    task = make_task("tlbench/CartPole-v1", 400)
    agent = build(task)
    agent.load({"head.bias": torch.tensor([0.0, torch.nan])})
    with pytest.raises(DivergedError, match=r"head\.bias"):
        agent.train(task)
    assert task.spent == 0


@pytest.mark.parametrize(
    ("observations", "actions", "why"),
    [
        (spaces.Discrete(3), spaces.Discrete(2), "observations"),
        (spaces.Box(-1, 1, (3,)), spaces.MultiDiscrete([2, 2]), "actions"),
    ],
)
def test_unsupported_says_why(observations, actions, why):
    assert why in Neuroevolution().unsupported(Interface(observations, actions, 0.99))


def test_settings_are_described_and_checked():
    assert all(f.description for f in NeuroevolutionConfig.model_fields.values())
    for wrong in ({"population": 1}, {"sigma": 0}, {"unknown": 1}, {"parents": 40}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            NeuroevolutionConfig(**wrong)
