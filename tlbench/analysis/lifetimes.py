"""Rewards over the course of an episode, which runs leave in their records' diagnostics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tlbench.analysis.configurations import method_labels
from tlbench.analysis.curves import FloatArray
from tlbench.protocol.records import Record

Lifetimes = Mapping[tuple[str, str], FloatArray]
"""(method's label, transfer task) -> rewards per step ``[runs, parts of an episode]``, runs by seed."""


def within_lifetimes(records: Sequence[Record]) -> Lifetimes:
    """The rewards that runs hold as ``within_lifetime``; runs of a family's instances stand side by side.

    Rows that are no list of finite numbers, or not as long as the others of their method and task, are passed over.
    """
    labels = method_labels(records)
    found: dict[tuple[str, str], list[FloatArray]] = {}
    for record in sorted(records, key=lambda r: r.seed):
        row = _row(record.diagnostics.get("within_lifetime"))
        if record.method is None or row is None:
            continue
        for task in record.transfers:
            rows = found.setdefault((labels[record.method.id, record.config_hash], task), [])
            if not rows or rows[0].shape == row.shape:
                rows.append(row)
    return {name: np.stack(rows) for name, rows in sorted(found.items())}


def _row(value: object) -> FloatArray | None:
    try:
        row = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):  # another program's diagnostics of this name
        return None
    return row if row.ndim == 1 and row.size and np.isfinite(row).all() else None
