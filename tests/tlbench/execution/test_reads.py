"""Records say what a method read of its tasks besides their spaces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tlbench.protocol.specs import SuiteSpec

POINT = """
[tasks.point]
environment = "tlbench/PointGoal-v1"
context = { goal_x = 0.3, goal_y = 0.3 }
discount = 0.99
random_return = -50.0
expert_return = -5.0
threshold = -10.0
wall_limit = 600.0
source = { budget = 800, points = 2, episodes = 2 }
target = { budget = 800, points = 3, episodes = 2 }

[transfers.point]
sources = ["point"]
targets = ["point"]
relation = "self"
"""
READS = {
    "nothing": ("pass", "pass", None),
    "context-on-target": ("pass", "dict(target.interface.context)", ["context"]),
    "reward-on-source": ("reward(sources[0])", "pass", ["reward"]),
    "both": ("reward(sources[0])", "dict(target.interface.context)", ["context", "reward"]),
}
BODY = """
def learn_source(self, sources, experts, ctx):
    def reward(task):
        rows = np.zeros((1, 2))
        task.interface.reward(rows, rows, rows)
    {source}
    return super().learn_source(sources, experts, ctx)

def learn_target(self, target, knowledge, ctx):
    {target}
    super().learn_target(target, knowledge, ctx)
"""


@pytest.mark.parametrize("case", READS)
def test_a_record_says_what_was_read(
    case: str, run: Callable[..., Any], own_runs: Callable[..., Any], vary: Callable[..., SuiteSpec], write_method: Any
) -> None:
    source, target, expected = READS[case]
    path = write_method(BODY.format(source=source, target=target))
    evaluation = run(path, suite=vary(extra=POINT), tasks="point", seeds="0")
    (own,) = own_runs(evaluation)
    assert own.diagnostics.get("reads") == expected
    others = [record for record in evaluation.records() if record.key != own.key]
    assert others
    assert all("reads" not in record.diagnostics for record in others)
