"""The time left of an evaluation: estimated before, corrected by finished nodes."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tlbench.cli.clock import Clock, duration
from tlbench.execution.executors import Ending
from tlbench.execution.plan import ExpertNode


@dataclass
class Facts:
    """Estimated seconds, units and true seconds of nodes, by their keys."""

    table: dict[str, tuple[float, int, float]]

    def node(self, node: ExpertNode) -> float:
        return self.table[node.key][0]

    def units(self, node: ExpertNode) -> int:
        return self.table[node.key][1]


def evaluation(kinds: list[tuple[int, float, int, float]]) -> tuple[Facts, list[ExpertNode]]:
    """Nodes of several kinds: how many, estimated seconds, units, true seconds."""
    table = {}
    for number, (count, estimated, units, true) in enumerate(kinds):
        table |= {f"{number}-{i}": (estimated, units, true) for i in range(count)}
    return Facts(table), [ExpertNode(key, "task", "vpg", 0) for key in table]


def run(clock: Clock, facts: Facts, nodes: list[ExpertNode], error: str | None = None) -> None:
    for node in nodes:
        clock.start(node)
        clock.end(node, Ending(node.key, error, None, False, facts.table[node.key][2]))


def test_nothing_finished_leaves_the_estimate() -> None:
    facts, nodes = evaluation([(4, 10.0, 100, 99.0)])
    assert Clock(nodes, 2, facts).seconds_left == pytest.approx(20.0, rel=0.01)


@pytest.mark.parametrize("jobs", [1, 3])
def test_slow_learning_is_found_from_nodes_of_two_kinds(jobs: int) -> None:
    """An environment that is slow to step comes first; of the others nearly all the time is learning."""
    kinds = [(4, 20.0, 225_000, 40.0), (4, 10.0, 150_000, 25.0), (40, 0.3, 75_000, 7.8)]
    facts, nodes = evaluation(kinds)
    clock = Clock(nodes, jobs, facts)
    run(clock, facts, nodes[:12])
    left = sum(facts.table[node.key][2] for node in nodes[12:]) / jobs
    assert clock.seconds_left == pytest.approx(left, rel=0.3)


def test_time_left_is_never_negative_and_ends_at_zero() -> None:
    """Here learning costs nothing, and the second kind of node takes longer than it was estimated to."""
    facts, nodes = evaluation([(3, 20.0, 1_000, 10.0), (3, 1.0, 100_000, 2.0), (3, 5.0, 10, 50.0)])
    clock = Clock(nodes, 1, facts)
    for node in nodes:
        run(clock, facts, [node])
        assert clock.seconds_left >= 0
    assert clock.seconds_left == 0
    assert clock.line() == "9 of 9 done"


def test_failed_nodes_are_counted_and_teach_nothing() -> None:
    facts, nodes = evaluation([(4, 10.0, 100, 0.01)])
    clock = Clock(nodes, 1, facts)
    run(clock, facts, nodes[:2], error="broken")
    assert clock.seconds_left == pytest.approx(20.0, rel=0.01)
    assert clock.line().startswith("2 of 4 done, 2 failed, about")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (89, "89 s"), (90, "2 min"), (5399, "90 min"), (7560, "2.1 h")]
)
def test_durations_in_words(seconds: float, text: str) -> None:
    assert duration(seconds) == text
