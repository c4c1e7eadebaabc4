"""Embeddings in records' diagnostics: where a base model and a transfer embed the states of a maze."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tlbench.analysis.curves import FloatArray
from tlbench.analysis.load import method_labels
from tlbench.protocol.alignment import alignment_scores
from tlbench.protocol.records import Record

DIMENSIONS = 2

MIRRORED = 0.5
"""Score, once flipped, from which an embedding is a mirror image: halfway from another state's place to its own.

Less than for an aligned one: a mirror image is no optimum of the frozen models, and ends distorted.
"""


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
        mirrored: Axes along which it is a mirror image, if it is one.
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
    mirrored: tuple[int, ...]
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
        mirrored = tuple(int(axis) for axis in facts["mirrored"]) if is_mirror_image(facts) else ()
    except (KeyError, TypeError, ValueError):  # another program's diagnostics of this name
        return None
    if not base.shape == transfer.shape == positions.shape == (len(base), DIMENSIONS):
        return None
    seed = record.expert_seed if record.expert_seed is not None else record.seed
    task = record.transfers[0]
    return Embedding(method, task, record.seed, seed, score, aligned, mirrored, positions, base, transfer, *predictions)


def _predictions(points: Any, n: int) -> FloatArray | None:
    """Of n states, ``[n, actions, 2]``; ``None`` if a record has none, or something else of that name."""
    after = np.array([] if points is None else points, dtype=np.float64)
    return after if after.ndim == 3 and (len(after), after.shape[2]) == (n, DIMENSIONS) else None


def is_mirror_image(facts: Mapping[str, Any]) -> bool:
    """Whether an embedding that isn't aligned comes close to the base model's once it is flipped.

    A record names the axes whose flipping brings the embedding closest to the base model's, which says little of one
    that is close to nothing. Here it counts only if, both being centred, its score then reaches ``MIRRORED``.

    Args:
        facts: A record's diagnostics of its alignment.
    """
    try:
        axes = [int(axis) for axis in facts["mirrored"]]
        base, transfer = (np.array(facts[name], dtype=np.float64) for name in ("base", "transfer"))
        if facts["aligned"] or not axes or base.ndim != 2 or base.shape != transfer.shape:
            return False
        base, transfer = base - base.mean(axis=0), transfer - transfer.mean(axis=0)
        transfer[:, axes] *= -1
        return bool(alignment_scores(base, transfer).mean() >= MIRRORED)
    except (KeyError, TypeError, ValueError, IndexError):  # no embedding, or another program's diagnostics
        return False
