"""The courses of the losses that learners leave in records' diagnostics, of runs and of their base models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tlbench.analysis.configurations import method_labels
from tlbench.analysis.curves import FloatArray
from tlbench.protocol.records import Record

UPDATE = "update"

BASE_MODEL = "base model"
"""What stands for the method of an expert's training."""


@dataclass(frozen=True, eq=False)
class LossCourse:
    """The losses of one run over its updates.

    Attributes:
        method: Label of the method, or ``base model``.
        task: The transfer task, or the source of a base model.
        seed: The run's seed.
        base_model: Seed of the base model, where they are crossed with seeds.
        updates: Last update of each stretch, ``[n]``.
        losses: Mean of each loss over each stretch, ``[n]``, NaN where it wasn't finite.
        aligned: Whether the run ended aligned with its base model; None where its record doesn't say.
    """

    method: str
    task: str
    seed: int
    base_model: int | None
    updates: FloatArray
    losses: Mapping[str, FloatArray]
    aligned: bool | None = None


def loss_courses(records: Sequence[Record]) -> tuple[LossCourse, ...]:
    """The courses that runs hold as ``losses``, by method, task, base model and seed.

    ``losses`` maps ``update`` and the name of every loss to equally long lists of numbers; anything else of that name
    is passed over.
    """
    labels = method_labels(records)
    found = [
        course
        for record in records
        if record.method is not None
        for task in record.transfers
        if (course := _course(record, labels[record.method.id, record.config_hash], task)) is not None
    ]
    return tuple(sorted(found, key=lambda c: (c.method, c.task, c.base_model or 0, c.seed)))


def base_model_courses(experts: Sequence[Record], runs: Sequence[Record]) -> tuple[LossCourse, ...]:
    """The courses of the base models behind runs, by source task and seed; their method is ``base model``.

    Args:
        experts: Records of experts' training; those that no run names are passed over.
        runs: The runs.
    """
    used = {expert.key for run in runs for expert in run.experts}
    found = (_course(record, BASE_MODEL, record.target) for record in experts if record.key in used)
    return tuple(sorted((c for c in found if c is not None), key=lambda c: (c.task, c.seed)))


def _course(record: Record, method: str, task: str) -> LossCourse | None:
    table: Any = record.diagnostics.get("losses")
    if not isinstance(table, Mapping) or UPDATE not in table:
        return None
    try:
        columns = {str(name): np.array(values, dtype=np.float64) for name, values in table.items()}
    except (TypeError, ValueError):  # another program's diagnostics of this name
        return None
    updates = columns.pop(UPDATE)
    if updates.ndim != 1 or not updates.size or any(c.shape != updates.shape for c in columns.values()):
        return None
    facts: Any = record.diagnostics.get("alignment")
    told = isinstance(facts, Mapping) and "aligned" in facts
    aligned = bool(facts["aligned"]) if told else None
    return LossCourse(method, task, record.seed, record.expert_seed, updates, columns, aligned)
