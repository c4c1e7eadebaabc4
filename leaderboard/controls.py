"""The leaderboard's own control records: used in place of a submission's on equal keys, and to judge its others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tlbench.analysis import metrics
from tlbench.analysis.configurations import method_labels
from tlbench.analysis.curves import FloatArray, TaskCurves, normalise
from tlbench.analysis.load import load_curves
from tlbench.analysis.negative import holm, sign_flip_p_value
from tlbench.leaderboard.submission import Submission
from tlbench.protocol.records import Record
from tlbench.protocol.specs import SuiteSpec

ALPHA = 0.05


@dataclass(frozen=True, eq=False)
class ReferenceControls:
    """The controls of one learner, from the leaderboard's reference submission of it from scratch.

    Attributes:
        id: The reference submission.
        records: Its control records by key.
        curves: The control's curves by transfer task.
    """

    id: str
    records: Mapping[str, Record]
    curves: Mapping[str, TaskCurves]


def reference_controls(suite: SuiteSpec, submission: Submission) -> ReferenceControls:
    """The controls of a ``scratch-`` submission."""
    records = [r for r in submission.records if r.kind == "run" and r.control_key == r.key]
    curves = {c.task: c for c in method_curves(suite, submission, {})}
    return ReferenceControls(submission.id, {r.key: r for r in records}, curves)


def method_curves(suite: SuiteSpec, submission: Submission, own: Mapping[str, Record]) -> list[TaskCurves]:
    """A submission's curves per transfer task, computed from its raw records.

    Args:
        suite: Its suite.
        submission: A validated submission.
        own: The leaderboard's control records by key; each replaces the submission's control of the same key.
    """
    runs = [r.model_copy(update={"config_hash": ""}) for r in submission.runs()]  # tuned: one label for all
    controls = [own.get(r.key, r) for r in submission.controls()]
    loaded = load_curves(suite, [*runs, *controls])
    label = method_labels([*runs, *controls])[submission.metadata.method, ""]
    return loaded.methods[label]


def replaced(submission: Submission, reference: ReferenceControls | None) -> int:
    """How many of a submission's controls the leaderboard replaces by its own."""
    return 0 if reference is None else sum(r.key in reference.records for r in submission.controls())


def weak_controls(curves: Sequence[TaskCurves], reference: ReferenceControls | None) -> list[str]:
    """Transfer tasks on which a submission's control is significantly below the leaderboard's.

    One-sided sign-flip tests of AUC, paired by seed, Holm at 0.05 over the distinct controls of scored tasks.

    Args:
        curves: The submission's own curves, nothing replaced.
        reference: The leaderboard's controls of its learner, if it has any.
    """
    if reference is None:
        return []
    tested: dict[bytes, str] = {}
    p_values: list[float] = []
    for task in curves:
        other = reference.curves.get(task.task)
        if other is None or not task.scored:
            continue
        differences = _differences(task, other)
        group = task.control.tobytes()  # transfer tasks with one target share their control
        if differences.size and group not in tested:
            tested[group] = task.task
            p_values.append(sign_flip_p_value(differences))
    below = holm(p_values, ALPHA)
    return [name for name, rejected in zip(tested.values(), below.tolist(), strict=True) if rejected]


def _differences(task: TaskCurves, other: TaskCurves) -> FloatArray:
    mine, theirs = _by_seed(task), _by_seed(other)
    shared = sorted(set(mine) & set(theirs))
    return np.array([mine[seed] - theirs[seed] for seed in shared], dtype=np.float64)


def _by_seed(task: TaskCurves) -> dict[int, float]:
    auc = metrics.auc(normalise(task.control, task.random, task.expert), task.fractions)
    seeds = task.seeds
    return {int(seed): float(np.mean(auc[seeds == seed])) for seed in np.unique(seeds)}
