"""Experience other than environment steps: a suite's fixed offline transitions, and supervised lifetimes."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from tlbench.protocol.errors import DivergedError, ProtocolViolationError, TlbenchError
from tlbench.protocol.evaluation import Outcome, Snapshot, untouched_randomness
from tlbench.protocol.interface import Array
from tlbench.protocol.seeding import derive_seed, derive_seeds
from tlbench.protocol.specs import TaskSpec, digest_of
from tlbench.protocol.vector import cannot_be_built, open_lanes


def offline_transitions(task: TaskSpec, discrete: bool) -> dict[str, Array]:
    """The task's offline data: transitions of a uniform policy, the same for every method and seed.

    Args:
        task: A task with ``offline`` settings.
        discrete: Show continuous actions through the suite's discretisation.

    Returns:
        ``obs``, ``actions``, ``rewards``, ``next_obs`` and ``terminated``, each ``[transitions, ...]``.
    """
    assert task.offline is not None
    lanes, wanted = task.offline.lanes, task.offline.transitions
    stream = ("offline", digest_of(task.identity("source" if task.target is None else "target")))
    collected = task.model_copy(update={"options": {**task.options, **task.offline.options}})
    env = open_lanes(collected, lanes, "disabled", discrete)
    space = env.single_action_space
    rng = np.random.default_rng(derive_seed(*stream))
    seeds: Any = derive_seeds(lanes, *stream)
    obs, _ = env.reset(seed=seeds)
    columns: dict[str, Array] = {}  # filled in place: pictures of the documents' sizes take gigabytes
    for begin in range(0, wanted, lanes):
        actions = _uniform(space, lanes, rng)
        next_obs, rewards, terminated, truncated, _ = env.step(actions)
        step = {"obs": obs, "actions": actions, "rewards": rewards, "next_obs": next_obs, "terminated": terminated}
        columns = columns or {name: np.empty((wanted, *part.shape[1:]), part.dtype) for name, part in step.items()}
        for name, part in step.items():
            columns[name][begin : begin + lanes] = part[: wanted - begin]
        obs, ended = next_obs, terminated | truncated
        if ended.any():
            obs, _ = env.reset(options={"reset_mask": ended})
    env.close()
    return columns


def _uniform(space: spaces.Space[Any], lanes: int, rng: np.random.Generator) -> Array:
    if isinstance(space, spaces.Discrete):
        return rng.integers(space.start, space.start + space.n, size=lanes)
    assert isinstance(space, spaces.Box)
    return rng.uniform(space.low, space.high, size=(lanes, *space.shape)).astype(space.dtype)


class Lifetimes(Protocol):
    """A distribution of supervised lifetimes: the environment of a task whose unit is ``episodes``."""

    observation_space: spaces.Space[Any]
    action_space: spaces.Space[Any]

    def draw(self, n: int, rng: np.random.Generator) -> Mapping[str, Array]:
        """Draw n lifetimes: ``inputs`` and ``targets`` ``[T, n, ...]`` and ``mask`` ``[T, n]`` (where it counts)."""

    def score(self, outputs: Array, lifetimes: Mapping[str, Array]) -> NDArray[np.float64]:
        """Score ``[n]`` of a policy's outputs ``[T, n, ...]``: 1 minus the error."""


def load_lifetimes(task: TaskSpec) -> Lifetimes:
    """The lifetimes that a task names as ``module:Class``.

    Raises:
        TlbenchError: If there is no such class or it doesn't take the task's options.
    """
    module, _, name = task.environment.partition(":")
    try:
        cls = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise TlbenchError(f"a task in episodes needs environment = 'module:Class' of lifetimes: {error}") from None
    try:
        lifetimes: Lifetimes = cls(**task.options)
    except (TypeError, ValueError) as error:
        raise cannot_be_built(task, error) from error
    return lifetimes


def evaluate_lifetimes(snapshot: Snapshot, lifetimes: Lifetimes) -> Outcome | None:
    """Run a frozen policy through held-out lifetimes, step by step and without gradients.

    Args:
        snapshot: The policy, and one seed per lifetime.
        lifetimes: The distribution.

    Returns:
        Score and length of each lifetime, or ``None`` if an output was not finite.

    Raises:
        ProtocolViolationError: If the outputs have the wrong shape.
    """
    n = len(snapshot.seeds)
    batch = lifetimes.draw(n, np.random.default_rng(list(snapshot.seeds)))
    inputs = batch["inputs"]
    first, state, outputs = np.ones(n, dtype=np.bool_), None, []
    with untouched_randomness():
        for step in inputs:
            try:
                output, state = snapshot.policy.act(step, state, first)
            except DivergedError:
                return None
            outputs.append(np.asarray(output))
            first = np.zeros(n, dtype=np.bool_)
    stacked = np.stack(outputs)
    wanted = (len(inputs), n, *(lifetimes.action_space.shape or ()))
    if stacked.shape != wanted:
        raise ProtocolViolationError(f"outputs have shape {stacked.shape}, the task expects {wanted}")
    if not np.isfinite(stacked).all():
        return None
    scores = lifetimes.score(stacked, batch)
    return Outcome(tuple(float(score) for score in scores), (len(inputs),) * n)
