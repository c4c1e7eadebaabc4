"""From records to curves: pairs each run with its control, fills what diverged, averages a family's instances."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from tlbench.analysis.configurations import configuration_notes, method_labels
from tlbench.analysis.curves import FloatArray, TaskCurves, average_instances
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.records import Record, own_controls
from tlbench.protocol.specs import SuiteSpec


@dataclass(frozen=True)
class Curves:
    """Curves of all methods on a suite.

    Attributes:
        methods: Curves by method label; a label is the method's id, with the start of the configuration hash where one
            id was run under several configurations.
        notes: What is incomplete, one line each.
    """

    methods: dict[str, list[TaskCurves]]
    notes: list[str]


def load_curves(suite: SuiteSpec, records: Sequence[Record], controls: Sequence[Record] = ()) -> Curves:
    """Build the curves of every method in a set of records.

    Args:
        suite: The suite that the records were made on.
        records: Runs, and controls that are methods to be shown as well; all with the suite's digest.
        controls: More controls, which runs are paired with and which are not shown as methods.

    Raises:
        ValueError: If a record has another digest.
        TlbenchError: If two records are of one run.
    """
    foreign = next((record for record in (*records, *controls) if record.digest != suite.digest), None)
    if foreign is not None:
        raise ValueError(f"record {foreign.key[:12]} was made with another digest than {suite.id}'s")
    by_key = {record.key: record for record in (*controls, *records)}
    grouped, notes = _group(records, by_key)
    methods: dict[str, list[TaskCurves]] = {}
    for label, transfers in grouped.items():
        methods[label] = []
        for name, spec in suite.transfers.items():
            found = transfers.get(name, {})
            if set(found) != set(spec.targets):
                if found:
                    notes.append(f"{label}: {name} lacks target instances and is left out")
                continue
            instances = [_curves(suite, name, target, found[target], by_key) for target in spec.targets]
            try:
                curves = average_instances(instances)
            except ValueError as error:  # no seed has run on every instance yet
                notes.append(f"{label}: {error}; left out")
                continue
            methods[label].append(curves)
            seeds, models = curves.seed_count, len(spec.expert_seeds or ()) if curves.expert_seeds is not None else 1
            if seeds < suite.seeds:
                notes.append(f"{label}: {name} has {seeds} of {suite.seeds} seeds")
            if len(curves.keys) < seeds * models:
                notes.append(f"{label}: {name} has {len(curves.keys)} of its {suite.seeds * models} runs")
            notes += [
                f"{label}: {count} {'run' if count == 1 else 'runs'} {what} on {name}{meaning}"
                for count, what, meaning in (
                    (int(curves.diverged.sum()), "diverged", ": what is left counts as the random policy's"),
                    (int(curves.abstained.sum()), "abstained", ": the control's again"),
                )
                if count
            ]
            notes += _diverged_controls(label, name, found, by_key)
        missing = [name for name in suite.transfers if name not in {c.task for c in methods[label]}]
        if missing:
            notes.append(f"{label}: not run: {', '.join(missing)}")
    notes += configuration_notes(records)
    return Curves({label: curves for label, curves in methods.items() if curves}, notes)


def _diverged_controls(
    label: str, transfer: str, found: Mapping[str, Sequence[Record]], by_key: Mapping[str, Record]
) -> list[str]:
    """A line where controls diverged: what they would have reached is missing, so that the method looks better."""
    keys = {run.control_key for runs in found.values() for run in runs if run.control_key != run.key}
    count = sum(by_key[key].diverged for key in keys if key is not None)
    what = "run of its control" if count == 1 else "runs of its control"
    return [f"{label}: {count} {what} diverged on {transfer}, which flatters its gain"] if count else []


def counted_runs(methods: Mapping[str, Sequence[TaskCurves]], records: Sequence[Record]) -> list[Record]:
    """The runs behind curves, each with the transfer tasks on which it counts.

    Left out are runs without a control, those of a seed on which an instance is missing, and methods' own controls.

    Args:
        methods: Curves by method label, as loaded from these records.
        records: Runs. Those of methods that have no curves are kept, so that labels stay the same.
    """
    labels, skipped = method_labels(records), own_controls(records)
    kept = {(label, c.task, *key) for label, tasks in methods.items() for c in tasks for key in c.keys}
    crossed = {(label, c.task) for label, tasks in methods.items() for c in tasks if c.expert_seeds is not None}
    counted = []
    for record in records:
        if record.method is None or record.key in skipped:
            continue
        label = labels[record.method.id, record.config_hash]
        if label not in methods:
            counted.append(record)
            continue
        experts = {t: record.expert_seed if (label, t) in crossed else None for t in record.transfers}
        transfers = tuple(t for t in record.transfers if (label, t, record.seed, experts[t]) in kept)
        if transfers:
            counted.append(record.model_copy(update={"transfers": transfers}))
    return counted


Grouped = Mapping[str, Mapping[str, Mapping[str, list[Record]]]]
"""Method label -> transfer task -> target instance -> records."""


def _group(records: Sequence[Record], by_key: Mapping[str, Record]) -> tuple[Grouped, list[str]]:
    labels, notes = method_labels(records), list[str]()
    grouped: dict[str, dict[str, dict[str, list[Record]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    skipped = own_controls(records)
    for record in records:
        if record.method is None or record.key in skipped:
            continue
        label = labels[record.method.id, record.config_hash]
        if record.control_key not in by_key:
            notes.append(f"{label}: seed {record.seed} of {record.target} has no control yet and is left out")
            continue
        for transfer in record.transfers:
            grouped[label][transfer][record.target].append(record)
    return grouped, notes


def _curves(
    suite: SuiteSpec, transfer: str, target: str, records: list[Record], by_key: Mapping[str, Record]
) -> TaskCurves:
    spec, task = suite.transfers[transfer], suite.tasks[target]
    records = sorted(records, key=lambda record: (record.seed, record.expert_seed or 0))
    for one, other in pairwise(records):
        if (one.seed, one.expert_seed) == (other.seed, other.expert_seed):
            place = f"seed {one.seed} of {target} twice ({one.key[:12]}, {other.key[:12]})"
            raise TlbenchError(f"there is {place}, as another version of something it rests on ran: remove one record")
    controls = [by_key[record.control_key or ""] for record in records]
    schedule = task.schedule("target")
    crossed = spec.expert_seeds is not None and all(record.expert_seed is not None for record in records)
    return TaskCurves(
        task=transfer,
        relation=spec.relation,
        scored=spec.scored,
        fractions=np.array(schedule.target_fractions()),
        method=np.stack([mean_returns(record, schedule.points, task.random_return) for record in records]),
        control=np.stack([mean_returns(record, schedule.points, task.random_return) for record in controls]),
        seeds=np.array([record.seed for record in records]),
        random=task.random_return,
        expert=task.expert_return,
        threshold=task.threshold,
        method_bins=np.stack([_bins(record) for record in records]),
        control_bins=np.stack([_bins(record) for record in controls]),
        abstained=np.array([record.abstained for record in records]),
        diverged=np.array([record.diverged for record in records]),
        expert_seeds=np.array([record.expert_seed for record in records]) if crossed else None,
        max_return=task.max_return,
        window=suite.smoothing_window,
        budget=schedule.budget,
        unit=task.unit,
        measure="score" if task.evaluator == "alignment" else "return",
    )


def mean_returns(record: Record, points: int, random: float) -> FloatArray:
    """Mean return per evaluation point of a run, ``[points]``; those after a divergence are the random reference."""
    returns = [point.returns for point in record.curve]
    means = np.full(points, random, dtype=np.float64)
    if len({len(row) for row in returns}) == 1:
        means[: len(returns)] = np.array(returns, dtype=np.float64).mean(axis=1)
    else:
        means[: len(returns)] = [np.mean(row) for row in returns]
    return means


def _bins(record: Record) -> FloatArray:
    return np.array([np.nan if value is None else value for value in record.training.returns], dtype=np.float64)
