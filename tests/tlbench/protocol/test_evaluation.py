"""Evaluation: the same as playing one episode at a time, whatever is batched, and nothing that training can feel."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

import tlbench.protocol.evaluation as evaluation_module
from tlbench.protocol.discovery import learners
from tlbench.protocol.errors import DivergedError, ProtocolViolationError
from tlbench.protocol.evaluation import Outcome, Snapshot, check_actions, evaluate, untouched_randomness
from tlbench.protocol.interface import Learner, Policy
from tlbench.protocol.specs import SuiteSpec
from tlbench.protocol.task import HarnessTask
from tlbench.protocol.vector import open_lanes

TASKS = ["cartpole", "negated", "pendulum"]


def openers(suite: SuiteSpec, name: str) -> Any:
    return lambda lanes: open_lanes(suite.tasks[name], lanes, "disabled")


def policies(suite: SuiteSpec, name: str, learner: Learner, n: int) -> list[Policy]:
    """Frozen policies of agents with different, exaggerated parameters."""
    interface = HarnessTask(suite.tasks[name], "target", 0).interface
    if learner.unsupported(interface):
        pytest.skip(f"{learner.id} does not support {name}")
    found = []
    for seed in range(n):
        agent = learner.build(interface, learner.Config(), seed, "cpu")
        agent.load({role: 3 * tensor + 0.01 * seed for role, tensor in agent.params().items()})
        found.append(agent.policy.frozen())
    return found


def one_at_a_time(policy: Any, environment: str, options: Any, seed: int) -> tuple[float, int]:
    env = gymnasium.make(environment, disable_env_checker=True, **options)
    obs, _ = env.reset(seed=seed)
    total, length, state, first, ended = 0.0, 0, None, True, False
    while not ended:
        action, state = policy.act(obs[None], state, np.array([first]))
        obs, reward, terminated, truncated, _ = env.step(action[0])
        total, length, first, ended = total + float(reward), length + 1, False, terminated or truncated
    return total, length


@pytest.mark.parametrize("learner", learners().values(), ids=list(learners()))
@pytest.mark.parametrize("name", TASKS)
def test_equals_one_episode_at_a_time(tiny: SuiteSpec, learner: Learner, name: str) -> None:
    spec = tiny.tasks[name]
    seeds = (5, 6, 7)
    for policy in policies(tiny, name, learner, 2):
        [outcome] = evaluate([Snapshot(policy, 0, seeds)], openers(tiny, name))
        assert outcome is not None
        for seed, total, length in zip(seeds, outcome.returns, outcome.lengths, strict=True):
            expected = one_at_a_time(policy, spec.environment, spec.options, seed)
            assert length == expected[1]
            assert total == pytest.approx(expected[0], rel=1e-5)


@pytest.mark.parametrize("learner", learners().values(), ids=list(learners()))
@pytest.mark.parametrize("name", TASKS)
def test_does_not_depend_on_what_else_is_evaluated(
    tiny: SuiteSpec, learner: Learner, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots = [
        Snapshot(policy, i, tuple(range(4 * i, 4 * i + 4))) for i, policy in enumerate(policies(tiny, name, learner, 7))
    ]
    together = evaluate(snapshots, openers(tiny, name))
    alone = [evaluate([snapshot], openers(tiny, name))[0] for snapshot in snapshots]
    assert together == alone  # bit for bit
    assert evaluate(snapshots[::-1], openers(tiny, name)) == alone[::-1]
    for lanes in (1, 9, 16):
        monkeypatch.setattr(evaluation_module, "MAX_LANES", lanes)
        assert evaluate(snapshots, openers(tiny, name)) == alone


def test_nothing_to_evaluate_is_nothing() -> None:
    assert evaluate([], lambda lanes: pytest.fail("opened lanes")) == []


class Memory:
    """Pushes the cart by the parity of its own count of steps; checks that ``state`` and ``first`` come as promised."""

    def __init__(self, period: int) -> None:
        self.period = period

    def act(self, obs: Any, state: Any, first: Any) -> tuple[Any, Any]:
        assert first.shape == obs.shape[:1]
        assert (state is None) == bool(first.any())
        state = np.zeros(len(obs), dtype=np.int64) if state is None else state + 1
        return (state // self.period) % 2, state

    def frozen(self) -> Memory:
        return Memory(self.period)


class StackableMemory(Memory):
    """The same, stackable."""

    @classmethod
    def stack(cls, policies: Sequence[StackableMemory]) -> Any:
        periods = np.array([p.period for p in policies])[:, None]

        class Stack:
            def act(self, obs: Any, state: Any, first: Any) -> tuple[Any, Any]:
                assert first.shape == obs.shape[:2]
                state = np.zeros(obs.shape[:2], dtype=np.int64) if state is None else state + 1
                return (state // periods) % 2, state

        return Stack()


@pytest.mark.parametrize("kind", [Memory, StackableMemory])
def test_policies_with_memory_keep_it_for_an_episode(tiny: SuiteSpec, kind: type[Memory]) -> None:
    snapshots = [Snapshot(kind(period), 0, (1, 2, 3)) for period in (1, 2, 5, 40)]
    outcomes = evaluate(snapshots, openers(tiny, "cartpole"))
    for period, outcome in zip((1, 2, 5, 40), outcomes, strict=True):
        assert outcome is not None
        expected = [one_at_a_time(Memory(period), "CartPole-v1", {}, seed) for seed in (1, 2, 3)]
        assert [(r, n) for r, n in zip(outcome.returns, outcome.lengths, strict=True)] == expected
    assert len({o.returns for o in outcomes if o}) == 4


class Noisy:
    """Draws from every global generator while it acts."""

    def act(self, obs: Any, state: Any, first: Any) -> tuple[Any, Any]:
        random.random(), torch.rand(3)
        return np.random.randint(0, 2, len(obs)), state

    def frozen(self) -> Noisy:
        random.random(), np.random.rand(), torch.rand(1)
        return self


def draws() -> tuple[Any, ...]:
    return random.random(), np.random.rand(), float(torch.rand(1))


def test_randomness_is_left_as_it_was(tiny: SuiteSpec) -> None:
    def after(evaluated: bool) -> tuple[Any, ...]:
        random.seed(1), np.random.seed(1), torch.manual_seed(1)
        task = HarnessTask(tiny.tasks["cartpole"], "target", 0)
        task.publish(Noisy())
        if evaluated:
            task.envs(2).reset()  # the point at 0 %
            task.finish()
        return draws()

    assert after(True) == after(False)
    expected = after(False)
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    with pytest.raises(ZeroDivisionError), untouched_randomness():  # noqa: PT012
        draws()
        raise ZeroDivisionError
    assert draws() == expected


class Gives:
    """Gives fixed actions from a certain step on."""

    def __init__(self, actions: Any, after: int = 0) -> None:
        self.actions, self.after, self.steps = actions, after, 0

    def act(self, obs: Any, state: Any, first: Any) -> tuple[Any, Any]:
        state = 0 if state is None else state + 1
        return (self.actions if state >= self.after else np.arange(len(obs)) % 2), state

    def frozen(self) -> Gives:
        return self


@pytest.mark.parametrize("after", [0, 5])
def test_actions_that_are_not_finite_give_no_outcome(tiny: SuiteSpec, after: int) -> None:
    good, bad = Gives(np.array([0, 1])), Gives(np.array([0.0, np.nan]), after)
    snapshots = [Snapshot(policy, 0, (0, 1)) for policy in (good, bad, good)]
    first, second, third = evaluate(snapshots, openers(tiny, "cartpole"))
    assert second is None
    assert isinstance(first, Outcome)
    assert first == third


def test_one_bad_policy_in_a_stack_costs_the_others_nothing(tiny: SuiteSpec) -> None:
    learner = learners()["vpg"]
    for name in ("cartpole", "pendulum"):
        interface = HarnessTask(tiny.tasks[name], "target", 0).interface
        agent = learner.build(interface, learner.Config(), 0, "cpu")
        good = agent.policy.frozen()
        agent.load({role: torch.full_like(t, torch.nan) for role, t in agent.params().items()})
        snapshots = [Snapshot(policy, 0, (0, 1)) for policy in (good, agent.policy.frozen(), good)]
        first, second, third = evaluate(snapshots, openers(tiny, name))
        assert second is None
        assert first == third == evaluate(snapshots[:1], openers(tiny, name))[0]


@pytest.mark.parametrize("actions", [np.array([0, 2]), np.array([0]), np.array([[0], [0]]), np.array([0.5, 0.5])])
def test_actions_outside_the_space_are_a_violation(tiny: SuiteSpec, actions: Any) -> None:
    with pytest.raises(ProtocolViolationError):
        evaluate([Snapshot(Gives(actions), 0, (0, 1))], openers(tiny, "cartpole"))


@pytest.mark.parametrize(
    ("space", "good", "bad", "nan"),
    [
        (spaces.Discrete(3, start=1), [1, 3], [0, 1], None),
        (spaces.Box(-1, 1, (2,)), [[0, 1], [-1, 1]], [[0, 1], [0, 1.1]], [[0, 1], [0, np.nan]]),
        (spaces.Box(np.array([-1, -5]), np.array([1, 5]), dtype=np.float64), [[1, 5], [0, 0]], [[5, 1], [0, 0]], None),
        (spaces.MultiDiscrete([2, 3]), [[1, 2], [0, 0]], [[2, 0], [0, 0]], None),
    ],
)
def test_check_actions(space: Any, good: Any, bad: Any, nan: Any) -> None:
    assert check_actions(np.array(good), space, 2).tolist() == good
    with pytest.raises(ProtocolViolationError, match="outside the action space"):
        check_actions(np.array(bad), space, 2)
    with pytest.raises(ProtocolViolationError, match="shape"):
        check_actions(np.array(good), space, 3)
    if nan is not None:
        with pytest.raises(DivergedError):
            check_actions(np.array(nan), space, 2)
