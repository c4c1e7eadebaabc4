"""MAML: what its start is worth on new goals, what it spends, what it carries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tlbench.baselines.learners.networks import FrozenMLP
from tlbench.baselines.maml import Maml, MamlConfig
from tlbench.protocol.errors import DivergedError, TlbenchError
from tlbench.protocol.interface import Context, Knowledge
from tlbench.protocol.specs import SuiteSpec, parse_suite
from tlbench.protocol.task import HarnessTask

GOALS = [(-0.4, -0.4), (-0.4, 0.4), (0.4, -0.4), (0.4, 0.4), (0.45, 0.0), (-0.45, 0.0)]
HELD_OUT = [(0.3, 0.1), (-0.1, -0.35), (-0.3, 0.25)]


def task_text(name: str, goal: tuple[float, float]) -> str:
    return f"""
[tasks.{name}]
environment = "tlbench/PointGoal-v1"
options = {{ goal_x = {goal[0]}, goal_y = {goal[1]} }}
discount = 0.99
random_return = -60.0
expert_return = -3.0
threshold = -8.0
wall_limit = 600.0
source = {{ budget = 20_000, points = 4, episodes = 2 }}
target = {{ budget = 6000, points = 4, episodes = 10 }}
"""


@pytest.fixture(scope="module")
def points(tiny_text: str) -> SuiteSpec:
    """The tiny suite with a family of goals."""
    goals = {f"source-{i}": goal for i, goal in enumerate(GOALS)} | {f"new-{i}": g for i, g in enumerate(HELD_OUT)}
    return parse_suite(tiny_text + "".join(task_text(name, goal) for name, goal in goals.items()), "points.toml")


def source(suite: SuiteSpec, name: str, budget: int) -> HarnessTask:
    return HarnessTask(suite.tasks[name], "source", 0, budget=budget)


def target(suite: SuiteSpec, name: str) -> HarnessTask:
    return HarnessTask(suite.tasks[name], "target", 0)


def context(seed: int = 3) -> Context:
    return Context(seed, "cpu", None, None, seed + 1)


def method(**settings: Any) -> Maml:
    return Maml(MamlConfig(**{"episodes": 4, "hidden_sizes": (16,), **settings}))


def learned(suite: SuiteSpec, names: list[str], budget: int = 2500, **settings: Any) -> Knowledge:
    found = method(**settings).learn_source([source(suite, name, budget) for name in names], [], context())
    assert found is not None
    return found


def returns(task: HarnessTask) -> list[float]:
    return [float(np.mean(outcome.returns)) for _, outcome in task.finish() if outcome]


@pytest.mark.slow
@pytest.mark.parametrize("first_order", [False, True])
def test_one_step_on_a_new_goal_goes_far(points: SuiteSpec, first_order: bool) -> None:
    settings: Any = {"episodes": 10, "hidden_sizes": (32, 32), "inner_rate": 0.2, "first_order": first_order}
    names = [f"source-{i}" for i in range(len(GOALS))]
    knowledge = learned(points, names, 20_000, **settings)
    gains = {}
    for carried in (knowledge, None):
        adapted = []
        for i in range(len(HELD_OUT)):
            task = target(points, f"new-{i}")
            method(**settings, target_steps=1).learn_target(task, carried, context())
            before, *_, after = returns(task)
            adapted.append(after - before)
        gains[carried is None] = float(np.mean(adapted))
    assert gains[False] > 5, "adaptation pays on every goal that was held out"
    assert gains[False] > gains[True] + 3, "and more than from a random start"
    before, after = (knowledge.diagnostics[f"meta_returns_{when}"] for when in ("before", "after"))
    assert after[-1] > before[-1] > before[0]  # type: ignore[index, operator]


def test_every_source_is_played_evenly_until_one_ends(points: SuiteSpec) -> None:
    sources = [source(points, "source-0", 2100), source(points, "source-1", 5000)]
    knowledge = method().learn_source(sources, [], context())
    assert knowledge is not None
    assert knowledge.diagnostics["meta_steps"] == 2  # 8 episodes of 100 steps each
    assert sources[0].spent == 2100
    assert sources[1].spent == 1600


def test_the_target_is_learned_to_the_end_of_its_budget(points: SuiteSpec) -> None:
    task, ctx = target(points, "new-0"), context()
    method().learn_target(task, None, ctx)
    assert task.spent == 6000
    assert 14 <= ctx.diagnostics["gradient_steps"] <= 15  # type: ignore[operator]
    assert len(task.finish()) == 4


@pytest.mark.parametrize("steps", [0, 2])
def test_target_steps_end_learning(points: SuiteSpec, steps: int) -> None:
    task, ctx = target(points, "new-0"), context()
    method(target_steps=steps).learn_target(task, None, ctx)
    assert ctx.diagnostics["gradient_steps"] == steps
    assert task.spent <= steps * 400 + 4


@pytest.mark.parametrize("names", [["source-0", "source-1"], ["cartpole"]], ids=["continuous", "discrete"])
def test_the_target_starts_from_what_was_meta_learned(
    points: SuiteSpec, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    knowledge = learned(points, names)
    assert knowledge.diagnostics["meta_steps"] == knowledge.diagnostics["meta_steps_taken"]
    assert ("log_std" in knowledge.tensors) == (names != ["cartpole"])
    task, ctx = target(points, "new-0" if "log_std" in knowledge.tensors else "cartpole"), context(9)
    published: list[FrozenMLP] = []
    publish = task.publish
    monkeypatch.setattr(task, "publish", lambda policy: (published.append(policy.frozen()), publish(policy)))
    method().learn_target(task, knowledge, ctx)
    assert ctx.diagnostics["carried_share"] == 1.0
    stored = method()._loop(task.interface).policy
    expected = stored.freeze(stored.pack(knowledge.tensors))
    obs = np.random.default_rng(0).normal(size=(50, *task.interface.observation_space.shape)).astype(np.float32)
    first = np.ones(50, np.bool_)
    np.testing.assert_array_equal(published[0].act(obs, None, first)[0], expected.act(obs, None, first)[0])


def test_meta_learning_moves_the_start_and_depends_on_the_seed_alone(points: SuiteSpec) -> None:
    first = learned(points, ["source-0", "source-1"], 900)
    torch.manual_seed(99)
    second = learned(points, ["source-0", "source-1"], 900)
    assert all(torch.equal(tensor, second.tensors[role]) for role, tensor in first.tensors.items())
    fresh = learned(points, ["source-0", "source-1"], 100)  # not enough for a meta-step
    assert fresh.diagnostics["meta_steps"] == 0
    assert not torch.equal(fresh.tensors["head.weight"], first.tensors["head.weight"])
    other = learned(points, ["source-0", "source-1"], 1300, inner_steps=2)
    assert not torch.equal(other.tensors["head.weight"], first.tensors["head.weight"])


def test_roles_that_fit_are_carried_to_other_spaces(points: SuiteSpec) -> None:
    knowledge = learned(points, ["source-0"], hidden_sizes=(16, 16))
    task, ctx = target(points, "cartpole"), context()
    method(hidden_sizes=(16, 16)).learn_target(task, knowledge, ctx)
    fitting = 16 + 16 * 16 + 16 + 2 * 16 + 2  # two logits have the shape of two means
    assert ctx.diagnostics["carried_share"] == pytest.approx(fitting / (fitting + 4 * 16))


def test_sources_must_be_alike(points: SuiteSpec) -> None:
    with pytest.raises(TlbenchError, match="differ in their"):
        learned(points, ["source-0", "cartpole"])


def test_steps_that_blow_up_are_told(points: SuiteSpec) -> None:
    with pytest.raises(DivergedError, match="not finite"):
        method(inner_rate=1e38).learn_target(target(points, "new-0"), None, context())
    with pytest.raises(DivergedError, match="smaller step size"):
        learned(points, ["source-0"], inner_rate=1e38)
