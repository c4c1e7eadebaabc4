"""The learning curves that every metric is computed from: one transfer task, one method, all seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

SELF_RELATION = "self"


@dataclass(frozen=True, eq=False)
class TaskCurves:
    """Curves of one method and of its control on one transfer task, one row per run.

    Arrays are copied and made read-only. Where a run abstained, the method's row (and training bins) are replaced by
    the control's, so that its gain is exactly 0 and it is still counted.

    Attributes:
        task: Identifier of the transfer task.
        relation: Relation of source and target (``self``, ``in-domain``, ``close``, ...).
        scored: Whether the task enters the suite's score and gain.
        fractions: Nominal shares of the target budget, ``[P]``, increasing from 0 to 1.
        method: Mean evaluation return of each run at each point, ``[R, P]``, in the task's own units.
        control: The same for the control with the same seed, ``[R, P]``.
        seeds: Run seed of each row, ``[R]``.
        random: Return of the uniform policy.
        expert: Return of the reference expert, above ``random``.
        threshold: Return that counts as solved.
        method_bins: Mean return of the training episodes that ended in each of B equal parts of the budget,
            ``[R, B]``; NaN where none ended.
        control_bins: The same for the control, ``[R, B]``.
        abstained: Runs in which the method chose not to transfer, ``[R]``.
        diverged: Runs that diverged and were filled with the random reference, ``[R]``.
        expert_seeds: Seed of the expert of each row, ``[R]``, where a task crosses experts with run seeds; else None.
        max_return: Highest return that the task allows, where there is one.
        window: Number of consecutive points that are averaged before a curve is compared with a threshold.
        method_returns: The method's returns before anything is normalised, ``[R, P]``: what ``method`` is but where the
            instances of a family were averaged. None: ``method``.
        control_returns: The same of the control.
        budget: Units of the target budget; None where instances differ.
        unit: What a unit is.
        measure: What the values of curves are called.

    Raises:
        ValueError: If shapes disagree, a value is not finite, references are out of order, the fractions are not a
            grid from 0 to 1, or a row appears twice. The message names the task.
    """

    task: str
    relation: str
    scored: bool
    fractions: FloatArray
    method: FloatArray
    control: FloatArray
    seeds: IntArray
    random: float
    expert: float
    threshold: float
    method_bins: FloatArray
    control_bins: FloatArray
    abstained: BoolArray
    diverged: BoolArray
    expert_seeds: IntArray | None = None
    max_return: float | None = None
    window: int = 3
    method_returns: FloatArray | None = None
    control_returns: FloatArray | None = None
    budget: int | None = None
    unit: str = "env_steps"
    measure: str = "return"

    _ROWS: ClassVar = ("method", "control", "method_returns", "control_returns")

    def __post_init__(self) -> None:
        for name in ("method", "control"):
            if getattr(self, f"{name}_returns") is None:
                object.__setattr__(self, f"{name}_returns", getattr(self, name))
        for name in ("fractions", *self._ROWS, "method_bins", "control_bins"):
            object.__setattr__(self, name, np.array(getattr(self, name), dtype=np.float64))
        object.__setattr__(self, "seeds", np.array(self.seeds, dtype=np.int64))
        if self.expert_seeds is not None:
            object.__setattr__(self, "expert_seeds", np.array(self.expert_seeds, dtype=np.int64))
        for name in ("abstained", "diverged"):
            object.__setattr__(self, name, np.array(getattr(self, name), dtype=np.bool_))
        self._check_shapes()
        self.method[self.abstained] = self.control[self.abstained]
        method_returns, control_returns = self.returns
        method_returns[self.abstained] = control_returns[self.abstained]
        self.method_bins[self.abstained] = self.control_bins[self.abstained]
        self._check_values()
        for value in vars(self).values():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)

    def _fail(self, reason: str) -> ValueError:
        return ValueError(f"transfer task {self.task!r}: {reason}")

    def _check_shapes(self) -> None:
        if self.fractions.ndim != 1 or self.seeds.ndim != 1:
            raise self._fail("fractions and seeds must be one-dimensional")
        rows, points = self.seeds.size, self.fractions.size
        if rows == 0:
            raise self._fail("there is no run")
        for name in self._ROWS:
            if (shape := getattr(self, name).shape) != (rows, points):
                raise self._fail(f"{name} has shape {shape}, expected {(rows, points)} (runs, points)")
        bins = self.method_bins.shape
        if len(bins) != 2 or bins[0] != rows or self.control_bins.shape != bins:
            raise self._fail(f"training bins have shapes {bins} and {self.control_bins.shape}, expected ({rows}, bins)")
        for name in ("abstained", "diverged", "expert_seeds"):
            value = getattr(self, name)
            if value is not None and value.shape != (rows,):
                raise self._fail(f"{name} has shape {value.shape}, expected ({rows},)")
        if not 1 <= self.window <= points:
            raise self._fail(f"window must lie in 1..{points} (the number of points), got {self.window}")

    def _check_values(self) -> None:
        for name in self._ROWS:
            bad = np.argwhere(~np.isfinite(getattr(self, name)))
            if bad.size:
                row, point = bad[0]
                where = f"seed {self.seeds[row]}, point {point}"
                raise self._fail(
                    f"{name.removesuffix('_returns')} curve is not finite ({where}; {len(bad)} such values)"
                )
        for name in ("method_bins", "control_bins"):
            if np.isinf(getattr(self, name)).any():
                raise self._fail(f"{name} holds infinite values")
        for name in ("random", "expert", "threshold", "max_return"):
            value = getattr(self, name)
            if value is not None and not np.isfinite(value):
                raise self._fail(f"{name} must be finite, got {value}")
        if not self.expert > self.random:
            raise self._fail(f"the expert's return ({self.expert}) must be above random's ({self.random})")
        grid = self.fractions
        if grid.size < 2 or grid[0] != 0 or grid[-1] != 1 or not (np.diff(grid) > 0).all():
            raise self._fail("fractions must increase from 0 to 1")
        if len(set(self.keys)) != len(self.keys):
            raise self._fail("a seed appears twice")

    @property
    def keys(self) -> list[tuple[int, int | None]]:
        """(run seed, expert seed or None) of each row."""
        experts = [None] * self.seeds.size if self.expert_seeds is None else self.expert_seeds.tolist()
        return list(zip(self.seeds.tolist(), experts, strict=True))

    @property
    def crossed(self) -> bool:
        """Whether expert seeds are a factor of their own: several, and not one-to-one with the run seeds."""
        if self.expert_seeds is None:
            return False
        pairs, seeds, experts = len(set(self.keys)), len(set(self.seeds.tolist())), len(set(self.expert_seeds.tolist()))
        return experts > 1 and not pairs == seeds == experts

    @property
    def returns(self) -> tuple[FloatArray, FloatArray]:
        """Returns of the method and of its control before anything is normalised, ``[R, P]`` each."""
        assert self.method_returns is not None
        assert self.control_returns is not None
        return self.method_returns, self.control_returns

    @property
    def seed_count(self) -> int:
        """Number of distinct run seeds."""
        return len(set(self.seeds.tolist()))

    @property
    def levels(self) -> int:
        """Number of independent units behind an interval: run seeds, or the rarer factor where experts are crossed."""
        if self.expert_seeds is None or not self.crossed:
            return self.seed_count
        return min(self.seed_count, len(set(self.expert_seeds.tolist())))

    @property
    def in_gain(self) -> bool:
        """Whether the task enters transfer gain and negative transfer: scored, and not a ``self`` task."""
        return self.scored and self.relation != SELF_RELATION


def normalise(returns: npt.ArrayLike, random: float, expert: float) -> FloatArray:
    """Normalised return g(x) = (x - random) / (expert - random): 0 is the uniform policy, 1 the reference expert.

    Args:
        returns: Returns, any shape, in the task's own units.
        random: Return of the uniform policy.
        expert: Return of the reference expert.

    Raises:
        ValueError: If ``expert`` is not above ``random``, or a return is not a number.
    """
    x = np.asarray(returns, dtype=np.float64)
    if not expert > random:
        raise ValueError(f"the expert's return ({expert}) must be above random's ({random})")
    if np.isnan(x).any():
        raise ValueError("returns hold NaN")
    return (x - random) / (expert - random)


def average_instances(instances: Sequence[TaskCurves]) -> TaskCurves:
    """Averages the target instances of a task family into one TaskCurves, before any statistics.

    Every instance has its own references, so returns, thresholds, training bins and the highest return are normalised
    per instance (g) and then averaged with equal weight; the result has ``random`` 0 and ``expert`` 1. A seed that some
    instance lacks is dropped: an average over fewer instances would be about another target. A training bin is NaN
    where any instance has no episode in it, so that a bin reaches ``max_return`` only if every instance does. A run
    counts as abstained if it did on every instance, as diverged if it did on any. One instance is returned as it is.

    Args:
        instances: Curves on each target instance of one transfer task, by one method.

    Raises:
        ValueError: If there is none, if they differ in task, fractions or window, or have no seed in common.
    """
    if not instances:
        raise ValueError("no instances to average")
    first = instances[0]
    if len(instances) == 1:
        return first
    for other in instances[1:]:
        same_frame = (first.task, first.relation, first.scored, first.window) == (
            other.task,
            other.relation,
            other.scored,
            other.window,
        )
        if not same_frame or not np.array_equal(first.fractions, other.fractions):
            raise ValueError(f"transfer task {first.task!r}: instances differ in task, fractions or window")
        if (first.expert_seeds is None) != (other.expert_seeds is None):
            raise ValueError(f"transfer task {first.task!r}: some instances cross experts and some do not")
        if first.method_bins.shape[1] != other.method_bins.shape[1]:
            raise ValueError(f"transfer task {first.task!r}: instances differ in the number of training bins")
    shared = set(first.keys).intersection(*(set(c.keys) for c in instances))
    keys = [key for key in first.keys if key in shared]
    if not keys:
        raise ValueError(f"transfer task {first.task!r}: its instances have no seed in common")
    rows = [[c.keys.index(key) for key in keys] for c in instances]

    def mean_returns(number: int) -> FloatArray:
        parts = [c.returns[number][index] for c, index in zip(instances, rows, strict=True)]
        return np.asarray(np.mean(parts, axis=0), dtype=np.float64)

    def mean(name: str) -> FloatArray:
        parts = [
            (getattr(c, name)[index] - c.random) / (c.expert - c.random)
            for c, index in zip(instances, rows, strict=True)
        ]
        return np.asarray(np.mean(parts, axis=0), dtype=np.float64)

    highest = [None if c.max_return is None else float(normalise(c.max_return, c.random, c.expert)) for c in instances]
    declared = [value for value in highest if value is not None]
    return TaskCurves(
        task=first.task,
        relation=first.relation,
        scored=first.scored,
        fractions=first.fractions,
        method=mean("method"),
        control=mean("control"),
        seeds=np.array([seed for seed, _ in keys]),
        random=0.0,
        expert=1.0,
        threshold=float(np.mean([normalise(c.threshold, c.random, c.expert) for c in instances])),
        method_bins=mean("method_bins"),
        control_bins=mean("control_bins"),
        abstained=np.all([c.abstained[index] for c, index in zip(instances, rows, strict=True)], axis=0),
        diverged=np.any([c.diverged[index] for c, index in zip(instances, rows, strict=True)], axis=0),
        expert_seeds=None if first.expert_seeds is None else first.expert_seeds[rows[0]],
        max_return=float(np.mean(declared)) if len(declared) == len(highest) else None,
        window=first.window,
        method_returns=mean_returns(0),
        control_returns=mean_returns(1),
        budget=first.budget if all(c.budget == first.budget for c in instances) else None,
        unit=first.unit,
        measure=first.measure,
    )
