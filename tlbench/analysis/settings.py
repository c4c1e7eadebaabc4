"""Results grouped by one setting of the method or of its learner: studies of learning rates and the like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tlbench.analysis.bootstrap import Interval
from tlbench.analysis.configurations import method_labels, settings_of
from tlbench.analysis.results import TaskResult
from tlbench.analysis.tables import Cells, format_interval
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.records import Record


@dataclass(frozen=True)
class SettingResult:
    """One method under one value of a setting, on one transfer task.

    Attributes:
        method: The method's id; its label where several of its configurations have this value.
        task: Transfer task.
        relation: Relation of source and target.
        scored: Whether the task enters the suite's score.
        value: The setting's value.
        seeds: Number of run seeds.
        score: As in :class:`~tlbench.analysis.results.TaskResult`.
        control_score: The control's, which has the learner's default settings.
        transfer_gain: As there.
    """

    method: str
    task: str
    relation: str
    scored: bool
    value: bool | float | str | None
    seeds: int
    score: Interval
    control_score: Interval
    transfer_gain: Interval


COLUMNS = ("score", "control score", "transfer gain", "seeds")


def setting_results(records: Sequence[Record], results: Sequence[TaskResult], key: str) -> tuple[SettingResult, ...]:
    """Order results on transfer tasks by the value that a setting had.

    Args:
        records: The runs.
        results: Their results; methods that lack the setting are passed over.
        key: The setting, as for ``--set``: ``name`` of the method's or ``learner.name`` of its learner's.

    Raises:
        TlbenchError: If no run has the setting.
    """
    values = _values(records, key)
    found = [(row, values[row.method, row.task]) for row in results if (row.method, row.task) in values]
    if not found:
        suite = records[0].suite if records else "this suite"
        differing = ", ".join(_differing(records)) or "none"
        raise TlbenchError(f"no run on {suite} has a setting {key!r}; settings that differ there: {differing}")
    ids = [(_id(row), row.task, repr(value)) for row, value in found]
    methods = list(dict.fromkeys(_id(row) for row, _ in found))
    tasks = list(dict.fromkeys(row.task for row, _ in found))
    ordered = sorted(
        zip(found, ids, strict=True),
        key=lambda item: (methods.index(item[1][0]), tasks.index(item[1][1]), _order(item[0][1])),
    )
    return tuple(
        SettingResult(
            method=row.method if ids.count(name) > 1 else _id(row),
            task=row.task,
            relation=row.relation,
            scored=row.scored,
            value=value,
            seeds=row.seeds,
            score=row.score,
            control_score=row.control_score,
            transfer_gain=row.transfer_gain,
        )
        for (row, value), name in ordered
    )


def _id(row: TaskResult) -> str:
    return row.method.partition("#")[0]


def _order(value: bool | float | str | None) -> tuple[int, float, str]:
    number = isinstance(value, float | int)
    return (0, float(value), "") if number else (1, 0.0, str(value))  # type: ignore[arg-type]


def _values(records: Sequence[Record], key: str) -> dict[tuple[str, str], bool | float | str | None]:
    labels = method_labels(records)
    values: dict[tuple[str, str], bool | float | str | None] = {}
    for record in records:
        settings = settings_of(record)
        if record.method is not None and key in settings:
            value = settings[key]
            plain = value if value is None or isinstance(value, bool | int | float | str) else str(value)
            for task in record.transfers:
                values[labels[record.method.id, record.config_hash], task] = plain
    return values


def _differing(records: Sequence[Record]) -> list[str]:
    seen: dict[str, set[str]] = {}
    for record in records:
        for name, value in settings_of(record).items():
            seen.setdefault(name, set()).add(repr(value))
    return sorted(name for name, values in seen.items() if len(values) > 1)


def setting_cells(results: Sequence[SettingResult], key: str) -> tuple[list[str], Cells]:
    """Header and rows of the table, as text."""
    rows = [
        [
            r.method,
            r.task,
            value_text(r.value),
            format_interval(r.score),
            format_interval(r.control_score),
            format_interval(r.transfer_gain, signed=True),
            str(r.seeds),
        ]
        for r in results
    ]
    return ["method", "transfer task", key, *COLUMNS], rows


def value_text(value: bool | float | str | None) -> str:
    """A setting's value as it is written for ``--set``."""
    if isinstance(value, bool) or value is None:
        return str(value).lower() if value is not None else "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
