"""Embeddings in records' diagnostics: where a base model and a transfer embed the states of a maze."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tlbench.analysis.configurations import method_labels
from tlbench.analysis.curves import FloatArray
from tlbench.protocol.alignment import alignment_scores
from tlbench.protocol.records import Record

DIMENSIONS = 2

MIRRORED = 0.5
"""Score, once turned back, from which an embedding is a mirror image: halfway from another state's place to its own.

Less than for an aligned one: a mirror image is no optimum of the frozen models, and ends distorted.
"""


SWAPPED = 0.5
"""How far a maze's halves lie apart the other way round, of their distance in the base model, to have changed sides."""


@dataclass(frozen=True, eq=False)
class Embedding:
    """A run's embedding of states beside its base model's.

    Attributes:
        method: Label of the method.
        task: The transfer task.
        seed: The run's seed.
        base_model: Seed of the base model.
        score: Alignment, in [0, 1].
        aligned: Whether the score is at least the threshold.
        mirrored: Whether it is a mirror image of the base model's.
        swapped: Whether the maze's halves have changed sides, if it isn't aligned.
        positions: Where the states lie in the maze, ``[n, 2]``: row and column.
        base: The base model's embeddings, ``[n, 2]``.
        transfer: The run's, ``[n, 2]``.
        base_predicted: Where the base model expects each action to lead, ``[n, actions, 2]``, if the record says so.
        transfer_predicted: Where the run's model does.
    """

    method: str
    task: str
    seed: int
    base_model: int
    score: float
    aligned: bool
    mirrored: bool
    swapped: bool
    positions: FloatArray
    base: FloatArray
    transfer: FloatArray
    base_predicted: FloatArray | None = None
    transfer_predicted: FloatArray | None = None


def embeddings(records: Sequence[Record]) -> tuple[Embedding, ...]:
    """The embeddings in two dimensions that records hold, by method, task, base model and seed."""
    labels = method_labels(records)
    found = [
        _embedding(record, labels[record.method.id, record.config_hash])
        for record in records
        if record.method is not None
    ]
    return tuple(sorted(filter(None, found), key=lambda e: (e.method, e.task, e.base_model, e.seed)))


def _embedding(record: Record, method: str) -> Embedding | None:
    facts: Any = record.diagnostics.get("alignment")
    if not isinstance(facts, Mapping) or not {"positions", "base", "transfer"} <= set(facts):
        return None
    try:
        base, transfer, positions = (np.array(facts[k], dtype=np.float64) for k in ("base", "transfer", "positions"))
        score, aligned = float(facts["score"]), bool(facts["aligned"])
        predictions = [_predictions(facts.get(k), len(base)) for k in ("base_predicted", "transfer_predicted")]
    except (KeyError, TypeError, ValueError):  # another program's diagnostics of this name
        return None
    if not base.shape == transfer.shape == positions.shape == (len(base), DIMENSIONS):
        return None
    seed = record.expert_seed if record.expert_seed is not None else record.seed
    task = record.transfers[0]
    kind = is_mirror_image(facts), bool(has_swapped_sides(facts))
    return Embedding(method, task, record.seed, seed, score, aligned, *kind, positions, base, transfer, *predictions)


def _predictions(points: Any, n: int) -> FloatArray | None:
    """Of n states, ``[n, actions, 2]``; ``None`` if a record has none, or something else of that name."""
    after = np.array([] if points is None else points, dtype=np.float64)
    return after if after.ndim == 3 and (len(after), after.shape[2]) == (n, DIMENSIONS) else None


def is_mirror_image(facts: Mapping[str, Any]) -> bool:
    """Whether an embedding that isn't aligned is the base model's, reflected or turned by a right angle or more.

    Of all reflections and rotations about the centre, the one that brings the embedding closest to the base model's
    (both centred, in the sense of least squares) says little of an embedding that is close to nothing. Here it counts
    only if the score reaches ``MIRRORED``, and doesn't without it. What is merely shifted, or turned a little, isn't a
    mirror image.

    Args:
        facts: A record's diagnostics of its alignment.
    """
    ends = _ends(facts)
    if ends is None:
        return False
    base, transfer = (points - points.mean(axis=0) for points in ends)
    if alignment_scores(base, transfer).mean() >= MIRRORED:
        return False
    left, _, right = np.linalg.svd(transfer.T @ base)
    turn = left @ right
    turned = np.linalg.det(turn) < 0 or np.trace(turn) <= len(turn) - 2  # a right angle has a trace of d - 2
    return bool(turned and alignment_scores(base, transfer @ turn).mean() >= MIRRORED)


def has_swapped_sides(facts: Mapping[str, Any]) -> bool | None:
    """Whether the left and the right half of the maze have changed sides, in an embedding that isn't aligned.

    On the line through the centres of the base model's halves, the transfer's halves lie the other way round, at least
    ``SWAPPED`` as far apart; however they are folded, shifted or turned otherwise.

    Args:
        facts: A record's diagnostics of its alignment.

    Returns:
        ``None`` if they don't say where states lie in a maze.
    """
    ends = _ends(facts)
    try:
        columns = np.array(facts["positions"], dtype=np.float64)[:, 1]
    except (KeyError, TypeError, ValueError, IndexError):
        return None
    right = columns > (columns.min() + columns.max()) / 2 if len(columns) else np.zeros(0, np.bool_)
    if not right.any() or (ends is not None and len(ends[0]) != len(right)):
        return None
    if ends is None:
        return False
    base, transfer = (points[right].mean(axis=0) - points[~right].mean(axis=0) for points in ends)
    return bool(transfer @ base <= -SWAPPED * (base @ base) < 0)


def _ends(facts: Mapping[str, Any]) -> tuple[FloatArray, FloatArray] | None:
    """Both embeddings, ``[n, d]``; ``None`` if they are aligned, or missing, or another program's of this name."""
    try:
        base, transfer = (np.array(facts[name], dtype=np.float64) for name in ("base", "transfer"))
        aligned = bool(facts["aligned"])
    except (KeyError, TypeError, ValueError):
        return None
    sound = base.ndim == 2 and base.shape == transfer.shape and base.size > 0
    return (base, transfer) if sound and not aligned and np.isfinite([base, transfer]).all() else None
