"""Evaluation of frozen policies: one lane per episode, many policies in one batch, nothing that training can feel."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from tlbench.protocol.errors import DivergedError, ProtocolViolationError
from tlbench.protocol.interface import Policy, StackablePolicy
from tlbench.protocol.sealing import unsealed

MAX_LANES = 1024
"""Lanes evaluated at once; bounds memory, never changes a result."""

LIFETIME_PARTS = 10
"""Parts of an episode whose rewards are told apart."""

OpenLanes = Callable[[int], VectorEnv[Any, Any, Any]]

Watch = Callable[[NDArray[np.float64], NDArray[np.bool_]], None]
"""Is shown the rewards of a step, and which lanes' episodes were running."""


@dataclass(frozen=True)
class Snapshot:
    """A frozen policy, the count at which it was taken, and the seed of each of its evaluation episodes."""

    policy: Policy
    count: int
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Outcome:
    """Raw evaluation of one snapshot: return and length of each episode, or ``None`` if it had no finite action."""

    returns: tuple[float, ...]
    lengths: tuple[int, ...]


def check_actions(actions: Any, space: spaces.Space[Any], lanes: int) -> NDArray[Any]:
    """Hold a policy's actions against the action space.

    Args:
        actions: ``[lanes, ...]``.
        space: The space of one action.
        lanes: How many are wanted.

    Raises:
        DivergedError: If an action is NaN or infinite.
        ProtocolViolationError: If the shape is wrong or an action lies outside the space.
    """
    array = np.asarray(actions)
    shape = () if isinstance(space, spaces.Discrete) else cast(tuple[int, ...], space.shape)
    if array.shape != (lanes, *shape):
        raise ProtocolViolationError(f"actions have shape {array.shape}, the task expects {(lanes, *shape)}")
    if isinstance(space, spaces.Discrete):
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise DivergedError("an action is not finite")
        if array.dtype.kind not in "iu":
            raise ProtocolViolationError(f"actions are {array.dtype}, the task expects integers")
        low, high = int(space.start), int(space.start + space.n - 1)
        if array.min() < low or array.max() > high:
            raise ProtocolViolationError(f"an action lies outside the action space {space}")
    elif isinstance(space, spaces.Box):
        if not (array >= space.low).all() or not (array <= space.high).all():
            if not np.isfinite(array).all():
                raise DivergedError("an action is not finite")
            raise ProtocolViolationError(f"an action lies outside the action space {space}")
    elif not all(space.contains(row) for row in array):
        raise ProtocolViolationError(f"an action lies outside the action space {space}")
    return array


@contextmanager
def untouched_randomness() -> Iterator[None]:
    """Gives the global generators back as they were: evaluation can't influence training."""
    python, numpy, pytorch = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(pytorch)


def evaluate(snapshots: Sequence[Snapshot], open_lanes: OpenLanes) -> list[Outcome | None]:
    """Run every episode of every snapshot to its end.

    Snapshots of one stackable class are evaluated in one batch; others one after the other. The outcome of a snapshot
    doesn't depend on the others.

    Args:
        snapshots: What to evaluate; all have the same number of episodes.
        open_lanes: Opens n lanes of the task without autoreset.

    Returns:
        One outcome per snapshot; ``None`` where the policy gave an action that is not finite.

    Raises:
        ProtocolViolationError: If an action has the wrong shape or lies outside the space.
    """
    if not snapshots:
        return []
    episodes = len(snapshots[0].seeds)
    group = max(1, MAX_LANES // episodes) if _stackable(snapshots) else 1
    outcomes: list[Outcome | None] = []
    for start in range(0, len(snapshots), group):
        chunk = snapshots[start : start + group]
        with untouched_randomness():
            try:
                outcomes.extend(_roll_out(chunk, open_lanes))
            except DivergedError:  # find out which, one by one
                outcomes.extend([None] if len(chunk) == 1 else [o for s in chunk for o in evaluate([s], open_lanes)])
    return outcomes


def _stackable(snapshots: Sequence[Snapshot]) -> bool:
    first = type(snapshots[0].policy)
    return isinstance(snapshots[0].policy, StackablePolicy) and all(type(s.policy) is first for s in snapshots)


class _Stack:
    """The policies of a chunk acting together; finished policies drop out when half of the rest is idle."""

    def __init__(self, policies: Sequence[Policy], episodes: int) -> None:
        self._policies = policies
        self._episodes = episodes
        self._rows = np.arange(len(policies))
        self._solo = not isinstance(policies[0], StackablePolicy)
        self._policy = self._stacked()
        self._state: Any = None
        self._first = np.ones((len(policies), episodes), dtype=np.bool_)

    def act(self, obs: NDArray[Any], alive: NDArray[np.bool_], previous: NDArray[Any] | None) -> NDArray[Any]:
        """Actions of all lanes; lanes of dropped policies repeat their last action (they are frozen)."""
        if self._solo:
            actions, self._state = self._policy.act(obs, self._state, self._first[0])
            self._first = np.zeros_like(self._first)
            return np.asarray(actions)
        grid = obs.reshape(len(self._policies), self._episodes, *obs.shape[1:])
        chosen, self._state = self._policy.act(grid[self._rows], self._state, self._first)
        self._first = np.zeros((len(self._rows), self._episodes), dtype=np.bool_)
        chosen = np.asarray(chosen)
        flat = chosen.reshape(-1, *chosen.shape[2:])
        if previous is None:
            return flat
        actions = previous.reshape(len(self._policies), self._episodes, *chosen.shape[2:]).copy()
        actions[self._rows] = chosen
        self._drop(alive)
        return actions.reshape(-1, *chosen.shape[2:])

    def _drop(self, alive: NDArray[np.bool_]) -> None:
        if self._state is not None:
            return  # memory is kept per stack: policies with memory stay together
        busy = np.flatnonzero(alive.reshape(len(self._policies), self._episodes).any(axis=1))
        if 0 < len(busy) <= len(self._rows) // 2:
            self._rows = busy
            self._policy = self._stacked()
            self._first = self._first[: len(busy)]

    def _stacked(self) -> Policy:
        if self._solo:
            return self._policies[0]
        chosen = [cast(StackablePolicy, self._policies[row]) for row in self._rows.tolist()]
        return type(chosen[0]).stack(chosen)


def rewards_within(snapshot: Snapshot, open_lanes: OpenLanes) -> list[float] | None:
    """The rewards of a policy over the course of an episode: they rise where it learns within its lifetime.

    Args:
        snapshot: What to evaluate.
        open_lanes: Opens n lanes of the task without autoreset.

    Returns:
        Mean reward per step and episode in each tenth of the longest episode's steps (of fewer parts, if it has fewer
        steps); an episode that is over adds nothing. ``None`` if the policy gave an action that is not finite.
    """
    rows: list[float] = []
    with untouched_randomness():
        try:
            _roll_out([snapshot], open_lanes, lambda rewards, alive: rows.append(float((rewards * alive).mean())))
        except DivergedError:
            return None
    return [float(part.mean()) for part in np.array_split(rows, min(LIFETIME_PARTS, len(rows)))]


def _roll_out(snapshots: Sequence[Snapshot], open_lanes: OpenLanes, watch: Watch | None = None) -> list[Outcome]:
    episodes = len(snapshots[0].seeds)
    lanes = len(snapshots) * episodes
    with unsealed():
        env = open_lanes(lanes)
    space = env.single_action_space
    stack = _Stack([snapshot.policy for snapshot in snapshots], episodes)
    seeds: Any = [seed for snapshot in snapshots for seed in snapshot.seeds]
    obs, _ = env.reset(seed=seeds)
    returns, lengths = np.zeros(lanes), np.zeros(lanes, dtype=np.int64)
    alive = np.ones(lanes, dtype=np.bool_)
    actions: NDArray[Any] | None = None
    try:
        while True:
            actions = check_actions(stack.act(obs, alive, actions), space, lanes)
            obs, rewards, terminated, truncated, _ = env.step(actions)
            if watch is not None:
                watch(rewards, alive)
            returns += np.where(alive, rewards, 0.0)
            lengths += alive
            alive &= ~(terminated | truncated)
            if not alive.any():
                break
    finally:
        env.close()
    per_snapshot = zip(returns.reshape(-1, episodes).tolist(), lengths.reshape(-1, episodes).tolist(), strict=True)
    return [Outcome(tuple(r), tuple(n)) for r, n in per_snapshot]
