"""The evaluator ``alignment``: does a policy embed a target's observations where its base model embeds the source's?"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from itertools import product
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tlbench.protocol.errors import ProtocolViolationError, TlbenchError
from tlbench.protocol.evaluation import Outcome, Snapshot, untouched_randomness
from tlbench.protocol.interface import Array, JSONValue, Policy
from tlbench.protocol.specs import TaskSpec

ALIGNED = 0.75
"""Mean score from which a transfer counts as aligned.

On the simple maze's grid itself a shift by half a cell reaches it; a shift by a whole cell, a mirror image, and both
rooms in one place don't.
"""

DIAGNOSTIC_PAIRS = 40
"""Pairs behind the diagnostics (the document measures distances on 40 mazes)."""

MIRRORED_DIMENSIONS = 3
"""Mirror images are looked for in embeddings of at most so many dimensions."""

Floats = NDArray[np.float64]


class Pairs(Protocol):
    """States as a source and as a target show them; built with the target's options.

    A class may have ``base_options``, the options of the source that it shows, so that suites with another are refused.
    """

    def draw(self, n: int, rng: np.random.Generator) -> Mapping[str, Array]:
        """Draw n states: ``base`` and ``transfer`` ``[n, ...]`` (fewer, if there are no n).

        ``positions`` ``[n, 2]`` may say where the states lie on a grid, for pictures.
        """


def load_pairs(task: TaskSpec) -> Pairs:
    """The pairs that a task names as ``module:Class``.

    Raises:
        TlbenchError: If there is no such class or it doesn't take the task's options.
    """
    module, _, name = (task.pairs or "").partition(":")
    try:
        pairs: Pairs = getattr(importlib.import_module(module), name)(**task.options)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise TlbenchError(f"a task's pairs must be 'module:Class' of paired observations: {error}") from None
    return pairs


def unlike_source(target: TaskSpec, source: TaskSpec) -> str | None:
    """Why a target's pairs don't show states as its source does; ``None`` if they do, or don't say how they show them.

    Raises:
        TlbenchError: As :func:`load_pairs`.
    """
    pairs = load_pairs(target)
    shown: Mapping[str, Any] = getattr(pairs, "base_options", {})
    defaults = inspect.signature(type(pairs)).parameters
    for name, value in shown.items():
        default = defaults[name].default if name in defaults else None
        if source.options.get(name, default) != value:
            return f"its pairs show the source with {name} = {value}, which has {source.options.get(name, default)}"
    return None


def embed(policy: Policy, obs: Array) -> Floats | None:
    """A policy's embedding of observations, ``[n, d]``, or ``None`` if a number isn't finite.

    Raises:
        ProtocolViolationError: If the policy has no embedding or it has another shape.
    """
    method: Any = getattr(policy, "embed", None)
    if method is None:
        raise ProtocolViolationError(f"{type(policy).__name__} has no embed(obs), which this task's evaluator asks for")
    with untouched_randomness():
        embedding = np.asarray(method(obs), dtype=np.float64)
    if embedding.ndim != 2 or len(embedding) != len(obs):
        raise ProtocolViolationError(f"embed(obs) gave {embedding.shape} for {len(obs)} observations, not [n, d]")
    return embedding if np.isfinite(embedding).all() else None


def predicted(policy: Policy, obs: Array) -> Floats | None:
    """Where a policy's model expects each action to lead, ``[n, actions, d]``.

    Returns:
        ``None`` if the policy has no such model, or if what it gives is no finite array of that shape.
    """
    method: Any = getattr(policy, "predict_embeddings", None)
    if method is None:
        return None
    with untouched_randomness():
        after = np.asarray(method(obs), dtype=np.float64)
    return after if after.ndim == 3 and len(after) == len(obs) and np.isfinite(after).all() else None


def alignment_scores(base: Floats, transfer: Floats) -> Floats:
    """How close each state is embedded to where the base model embeds it, ``[n]`` in [0, 1].

    1 is the same place; 0 is as far off as the base model's embeddings of two different states are on average, or
    farther, or of another dimension.

    Args:
        base: The base model's embeddings of the source's observations, ``[n, d]``.
        transfer: The policy's embeddings of the target's observations of the same states, ``[n, e]``.
    """
    spread = mean_distance(base)
    if base.shape != transfer.shape or spread == 0:
        return np.zeros(len(base))
    scores: Floats = np.clip(1 - np.linalg.norm(base - transfer, axis=1) / spread, 0.0, 1.0)
    return scores


def mean_distance(embedding: Floats) -> float:
    """Mean Euclidean distance of two different states, 0 if there is only one."""
    n = len(embedding)
    distances = np.linalg.norm(embedding[:, None] - embedding[None], axis=2)
    return float(distances.sum() / (n * (n - 1))) if n > 1 else 0.0


def evaluate_alignment(snapshot: Snapshot, pairs: Pairs, base: Policy | None) -> Outcome | None:
    """Score a frozen policy on one pair per seed.

    Args:
        snapshot: The policy, and one seed per pair.
        pairs: Where pairs come from.
        base: The base model; a run without one has nothing to be aligned with and scores 0.

    Returns:
        The score of each pair, with lengths of 1, or ``None`` if an embedding isn't finite.

    Raises:
        ProtocolViolationError: If a policy has no embedding.
        TlbenchError: If there aren't as many pairs as seeds.
    """
    n = len(snapshot.seeds)
    if base is None:
        return Outcome((0.0,) * n, (1,) * n)
    drawn = pairs.draw(n, np.random.default_rng(list(snapshot.seeds)))
    if len(drawn["base"]) != n:
        raise TlbenchError(f"the suite asks for {n} pairs of observations, but there are only {len(drawn['base'])}")
    at_base, now = embed(base, drawn["base"]), embed(snapshot.policy, drawn["transfer"])
    if at_base is None or now is None:
        return None
    return Outcome(tuple(alignment_scores(at_base, now).tolist()), (1,) * n)


def alignment_facts(policy: Policy, base: Policy, pairs: Pairs, seed: int) -> dict[str, JSONValue] | None:
    """Diagnostics of a finished run: distances, the score, and whether the embedding is a mirror image.

    Args:
        policy: The policy at the end.
        base: The base model.
        pairs: Where pairs come from.
        seed: Chooses the pairs.

    Returns:
        ``None`` if a policy has no embedding, or it isn't finite or of another dimension.
    """
    if not (hasattr(policy, "embed") and hasattr(base, "embed")):
        return None
    drawn = pairs.draw(DIAGNOSTIC_PAIRS, np.random.default_rng(seed))
    at_base, now = embed(base, drawn["base"]), embed(policy, drawn["transfer"])
    if at_base is None or now is None or at_base.shape != now.shape:
        return None
    score = float(alignment_scores(at_base, now).mean())
    facts: dict[str, JSONValue] = {
        "pairs": len(at_base),
        "l2": float(np.linalg.norm(at_base - now, axis=1).mean()),
        "l2_of_different_states": mean_distance(at_base),
        "score": score,
        "threshold": ALIGNED,
        "aligned": score >= ALIGNED,
    }
    if at_base.shape[1] <= MIRRORED_DIMENSIONS:
        facts["mirrored"] = mirrored_axes(at_base, now)
        facts["base"], facts["transfer"] = at_base.round(4).tolist(), now.round(4).tolist()
        after = predicted(base, drawn["base"]), predicted(policy, drawn["transfer"])
        for name, points in zip(("base_predicted", "transfer_predicted"), after, strict=True):
            if points is not None and points.shape[2] == at_base.shape[1]:
                facts[name] = points.round(4).tolist()
        if "positions" in drawn:
            facts["positions"] = np.asarray(drawn["positions"]).tolist()
    return facts


def mirrored_axes(base: Floats, transfer: Floats) -> list[JSONValue]:
    """The axes along which the embedding is mirrored: none if it isn't.

    Of all ways to flip axes of the policy's embedding, both embeddings being centred, the one that brings it closest to
    the base model's.
    """
    wanted, found = base - base.mean(axis=0), transfer - transfer.mean(axis=0)
    flips = np.array(list(product((1.0, -1.0), repeat=base.shape[1])))
    closest = flips[np.linalg.norm(found * flips[:, None] - wanted, axis=2).mean(axis=1).argmin()]
    return [int(axis) for axis in np.flatnonzero(closest < 0)]
