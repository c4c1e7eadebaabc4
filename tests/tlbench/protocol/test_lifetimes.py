"""Supervised lifetimes as a unit: metered by episode, scored step by step, memory carried by the policy."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from tlbench.protocol.errors import BudgetExhausted, ProtocolViolationError, TlbenchError
from tlbench.protocol.specs import SuiteSpec, TaskSpec
from tlbench.protocol.task import HarnessTask

LENGTH = 4


class Echo:
    """Lifetimes whose target is the previous step's input (0 at first)."""

    observation_space = spaces.Box(-1, 1, (1,))
    action_space = spaces.Box(-1, 1, (1,))

    def draw(self, n: int, rng: np.random.Generator) -> dict[str, Any]:
        inputs = rng.uniform(-1, 1, (LENGTH, n, 1))
        targets = np.concatenate([np.zeros((1, n, 1)), inputs[:-1]])
        return {"inputs": inputs, "targets": targets, "mask": np.ones((LENGTH, n), dtype=bool)}

    def score(self, outputs: np.ndarray, lifetimes: dict[str, Any]) -> np.ndarray:
        error: np.ndarray = np.abs(outputs - lifetimes["targets"]).mean(axis=(0, 2))
        return 1 - error


class Remember:
    """Says what it saw one step ago; ``scale`` spoils it."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def act(self, obs: np.ndarray, state: Any, first: np.ndarray) -> tuple[np.ndarray, Any]:
        before = np.zeros_like(obs) if state is None else np.where(first[:, None], 0.0, state)
        return self.scale * before, obs

    def frozen(self) -> Remember:
        return Remember(self.scale)


@pytest.fixture
def task(tiny: SuiteSpec) -> Callable[..., HarnessTask]:
    fields = tiny.tasks["cartpole"].model_dump()
    target = {"budget": 20, "points": 3, "episodes": 5}
    spec = TaskSpec.model_validate(
        {**fields, "environment": "toy_lifetimes:Echo", "unit": "episodes", "target": target}
    )
    return lambda **changes: HarnessTask(spec.model_copy(update=changes), "target", 0)


def test_options_that_lifetimes_do_not_take_are_named(task: Callable[..., HarnessTask]) -> None:
    with pytest.raises(TlbenchError, match=r"toy_lifetimes:Echo can't be built with the task's options \(size = 3\): "):
        task(options={"size": 3})


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = ModuleType("toy_lifetimes")
    module.Echo = Echo
    monkeypatch.setitem(sys.modules, "toy_lifetimes", module)


def test_lifetimes_are_metered_and_scored_with_memory(task: Callable[[], HarnessTask]) -> None:
    harness = task()
    policy = Remember(0.0)
    harness.publish(policy)
    batches = harness.episodes(8)
    first = next(batches)
    assert first["inputs"].shape == (LENGTH, 8, 1)
    assert harness.spent == 8
    policy.scale = 1.0  # learned from the first batch
    next(batches)
    assert harness.spent == 16
    with pytest.raises(BudgetExhausted):
        next(batches)
    points = harness.finish()
    assert [count for count, _ in points] == [0, 16, 16]
    scores = [outcome.returns for _, outcome in points if outcome]
    assert max(scores[0]) < 1
    assert scores[1] == scores[2] == (1.0,) * 5
    assert all(outcome.lengths == (LENGTH,) * 5 for _, outcome in points if outcome)


def test_lifetimes_are_the_same_for_every_method_and_differ_between_seeds(task: Callable[[], HarnessTask]) -> None:
    a, b = task(), task()
    for harness in (a, b):
        harness.publish(Remember(0.5))
    np.testing.assert_array_equal(next(a.episodes(3))["inputs"], next(b.episodes(3))["inputs"])
    assert a.finish()[0][1] == b.finish()[0][1]


def test_a_task_in_lifetimes_has_nothing_to_step(task: Callable[[], HarnessTask]) -> None:
    harness = task()
    harness.publish(Remember())
    with pytest.raises(ProtocolViolationError, match="metered in episodes"):
        harness.envs(2)
    with pytest.raises(ProtocolViolationError, match="metered in episodes"):
        next(harness.samples(2))


def test_outputs_of_another_shape_are_told(task: Callable[[], HarnessTask]) -> None:
    class Flat(Remember):
        def act(self, obs: np.ndarray, state: Any, first: np.ndarray) -> tuple[np.ndarray, Any]:
            return obs[:, 0], state

        def frozen(self) -> Flat:
            return self

    harness = task()
    harness.publish(Flat())
    with pytest.raises(ProtocolViolationError, match="outputs have shape"):
        harness.finish()
