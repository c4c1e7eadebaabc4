"""Estimates follow the size of what is to be done, and give way to what was measured."""

from __future__ import annotations

from typing import Any

import pytest

from tlbench.execution.estimate import Estimator
from tlbench.execution.plan import ExpertNode, make_plan
from tlbench.execution.selection import MethodChoice, find_learner
from tlbench.protocol.discovery import find_suite
from tlbench.protocol.records import Configured, Record
from tlbench.protocol.specs import SuiteSpec


def estimated(task: str, schedule: dict[str, int] | None = None, **changes: Any) -> float:
    """Seconds of an expert on a task of ``memory`` with these changes."""
    suite = find_suite("memory")
    spec = suite.tasks[task]
    assert spec.source is not None
    changes["source"] = spec.source.model_copy(update=schedule or {})
    suite = suite.model_copy(update={"tasks": {**suite.tasks, task: spec.model_copy(update=changes)}})
    return Estimator(suite).node(ExpertNode("0" * 64, task, "plastic", 0))


@pytest.mark.parametrize(
    ("schedule", "changes"),
    [
        ({"budget": 48_000}, {}),
        ({"points": 40}, {}),
        ({"episodes": 800}, {}),
        ({}, {"options": {"bits": 100}}),
        ({}, {"options": {"bits": 50, "patterns": 4}}),
    ],
    ids=["budget", "points", "episodes", "wider", "longer"],
)
def test_more_lifetimes_and_larger_ones_take_longer(schedule: dict[str, int], changes: dict[str, Any]) -> None:
    assert estimated("patterns", schedule, **changes) > estimated("patterns")


def test_lifetimes_count_by_their_number() -> None:
    whole, tenth = ({"budget": b, "points": 1, "episodes": e} for b, e in ((20_000, 200), (2_000, 20)))
    assert estimated("patterns", whole) == pytest.approx(10 * estimated("patterns", tenth))


def test_steps_of_learners_with_memory_take_longer_than_the_environments() -> None:
    assert estimated("hidden-goal") > 2 * estimated("hidden-goal", within_lifetime=False)


def test_what_was_measured_counts(tiny: SuiteSpec) -> None:
    estimator, node = Estimator(tiny), ExpertNode("0" * 64, "cartpole", "vpg", 0)
    unmeasured = estimator.node(ExpertNode("0" * 64, "cartpole", "ppo", 0))
    for seconds in (70.0, 90.0, 80.0):
        estimator._note(measured(seconds))
    assert estimator.node(node) == 80.0
    assert estimator.node(ExpertNode("0" * 64, "cartpole", "ppo", 0)) == pytest.approx(unmeasured)
    assert estimator.total([node] * 6, 2) == 240.0


def test_what_waits_for_another_takes_as_long_as_both_on_any_number_of_cores(tiny: SuiteSpec) -> None:
    plan = make_plan(tiny, MethodChoice("spam-vpg"), ("self",), (0, 1))
    estimator = Estimator(tiny, method=MethodChoice("spam-vpg"))
    expert, knowledge, run = (estimator.node(nodes[0]) for nodes in (plan.experts, plan.knowledge, plan.runs))
    nodes = list(plan.nodes())
    assert estimator.total(nodes, 64) == pytest.approx(expert + knowledge + run)
    assert estimator.total(nodes, 1) == pytest.approx(sum(map(estimator.node, nodes)))
    assert estimator.total(plan.runs, 64) == pytest.approx(run)
    assert estimator.total([], 2) == 0


def test_what_learning_costs_beside_the_environment_counts() -> None:
    suite = find_suite("point-goal")
    nodes = {
        method: make_plan(suite, MethodChoice(method), ("goals",), (0,))
        for method in ("model-based-multitask", "finetune-multitask-trpo")
    }
    knowledge, runs = (
        {
            method: Estimator(suite, method=MethodChoice(method)).total(getattr(plan, part), 1)
            for method, plan in nodes.items()
        }
        for part in ("knowledge", "runs")
    )
    for seconds in (knowledge, runs):
        assert seconds["model-based-multitask"] > 100 + seconds["finetune-multitask-trpo"]


def test_learning_from_pictures_takes_longer_the_larger_they_are() -> None:
    suite = find_suite("maze")
    task = suite.tasks["labyrinth"]
    assert task.source is not None
    larger = task.model_copy(update={"options": {**task.options, "tile_size": 6}})
    node = ExpertNode("0" * 64, "labyrinth", "dqn", 0)
    small, large = (
        Estimator(suite.model_copy(update={"tasks": {"labyrinth": spec}})).node(node) for spec in (task, larger)
    )
    learner, numbers = find_learner("dqn"), 3 * 8 * 8
    assert small > task.source.budget * (learner.seconds_per_unit + learner.seconds_per_pixel * numbers)
    assert large > task.source.budget * learner.seconds_per_pixel * 36 * numbers
    assert Estimator(suite)._learner("dqn", "labyrinth") > Estimator(find_suite("classic"))._learner("dqn", "cartpole")


def test_more_offline_samples_take_longer() -> None:
    suite = find_suite("simple-maze")
    task = suite.tasks["simple-maze"]
    assert task.source is not None
    longer = task.model_copy(update={"source": task.source.model_copy(update={"budget": 3 * task.source.budget})})
    node = ExpertNode("0" * 64, "simple-maze", "crar", 0)
    usual, three = (
        Estimator(suite.model_copy(update={"tasks": {"simple-maze": spec}})).node(node) for spec in (task, longer)
    )
    assert three == pytest.approx(3 * usual)


def test_a_costly_methods_runs_and_others_are_not_estimated_by_each_other() -> None:
    suite = find_suite("point-goal")
    costly = make_plan(suite, MethodChoice("model-based-multitask"), ("goals",), (0,)).runs[0]
    other = make_plan(suite, MethodChoice("finetune-trpo"), ("goals",), (0,)).runs[0]
    assert costly.target == other.target
    estimator = Estimator(suite)
    unmeasured = estimator.node(costly)
    learner = Configured(id="trpo", version="1", config={})
    for method, sources, seconds, costs in (
        ("scratch-trpo", (), 3.0, unmeasured),
        ("model-based-multitask", costly.sources, 90.0, 90.0),
    ):
        estimator._note(
            Record.model_construct(
                kind="run", target=other.target, learner=learner, provenance={"wall_seconds": seconds},
                method=Configured(id=method, version="1", config={}), sources=sources,
            )
        )  # fmt: skip
        assert estimator.node(costly) == pytest.approx(costs)
        assert estimator.node(other) == 3.0


def measured(seconds: float) -> Record:
    """What an estimate reads of a record."""
    learner = Configured(id="vpg", version="1", config={})
    return Record.model_construct(
        kind="expert", target="cartpole", learner=learner, method=None, sources=(), provenance={"wall_seconds": seconds}
    )
