"""What a record says of a task and of a method: the curve, training episodes, what was read, JSON that is checked."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence

from tlbench.protocol.errors import DivergedError, ProtocolViolationError
from tlbench.protocol.evaluation import Outcome
from tlbench.protocol.interface import JSONValue
from tlbench.protocol.records import Point, Training
from tlbench.protocol.task import HarnessTask


def curve_of(
    task: HarnessTask, points: Sequence[tuple[int, Outcome | None]], problem: DivergedError | None = None
) -> tuple[Point, ...]:
    """The points up to the first at which the policy gave no finite action.

    Args:
        task: The task, a target or a source.
        points: What its schedule gave.
        problem: Why learning ended early, if it diverged.

    Raises:
        ProtocolViolationError: If that is the point before anything was learned.
    """
    curve: list[Point] = []
    for fraction, (count, outcome) in zip(task.fractions, points, strict=False):
        if outcome is None or not all(math.isfinite(value) for value in outcome.returns):
            break
        curve.append(Point(fraction=fraction, count=count, returns=outcome.returns, lengths=outcome.lengths))
    if not curve and task.fractions[0] == 0.0:
        if not points and problem is not None:
            raise ProtocolViolationError(f"learning diverged before its first step: {problem}")
        raise ProtocolViolationError("the policy's actions are not finite before anything was learned on the target")
    return tuple(curve)


def training_of(task: HarnessTask) -> Training:
    """The bins of training episodes; means that are not finite are left out."""
    returns, episodes = task.bins.as_lists()
    finite = [value if value is None or math.isfinite(value) else None for value in returns]
    return Training(returns=tuple(finite), episodes=tuple(episodes))


def reads_of(names: Collection[str]) -> dict[str, JSONValue]:
    """What a method read of a task besides its spaces, on the sources or on the target; nothing if it read nothing."""
    return {"reads": sorted(names)} if names else {}


def checked_json(content: Mapping[str, JSONValue], what: str) -> dict[str, JSONValue]:
    """A copy of what a method says of itself.

    Raises:
        ProtocolViolationError: If it isn't finite JSON.
    """
    try:
        if json.loads(json.dumps(content, allow_nan=False)) == content:
            return dict(content)
        problem = "it comes back changed (tuples, keys that are no text?)"
    except (TypeError, ValueError) as error:
        problem = str(error)
    raise ProtocolViolationError(f"{what} must be finite JSON values: {problem}")
