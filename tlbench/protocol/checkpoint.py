"""Checkpoints: how a training of hours goes on from its middle, replaying its actions instead of restoring lanes.

Emulators can't be saved exactly, and replay memories are large. So a checkpoint holds the actions taken so far and the
learner's own state: taken up again, the learner steps fresh lanes with those actions, learning nothing, which brings
lanes, meter, bins of training episodes and replay memory back to where they were; then it loads its state.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from tlbench.protocol.budget import Meter
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.evaluation import Outcome
from tlbench.protocol.interface import Array, JSONValue, Params


class ReplayError(TlbenchError):
    """Replaying a checkpoint's actions didn't lead where they led before: the node has to start from nothing."""


@dataclass(frozen=True)
class Saved:
    """A learner's state between an update and the next step: all that replaying actions doesn't bring back.

    Attributes:
        tensors: Networks, moments, by a name of the learner's choice.
        facts: Anything else, as JSON: counters, states of its generators.
    """

    tensors: Params
    facts: Mapping[str, JSONValue]


@dataclass(frozen=True)
class Checkpoint:
    """A training in its middle.

    Attributes:
        learner: The learner's state.
        actions: Every lane's action at every step since training began, ``[steps * lanes]``.
        facts: The harness's side, as JSON: where training began, outcomes so far, states of the global generators.
    """

    learner: Saved
    actions: Array
    facts: Mapping[str, JSONValue]


class Keeper(Protocol):
    """Where a task's checkpoints are kept."""

    @property
    def found(self) -> Checkpoint | None:
        """The checkpoint to go on from."""

    def due(self) -> bool:
        """Whether it is time for the next one."""

    def keep(self, checkpoint: Checkpoint) -> None:
        """Keep this one instead of the one before.

        Raises:
            StorageError: If it can't be written.
        """


class Checkpoints:
    """What a task offers a learner that can go on from the middle of its training.

    The learner calls :meth:`begin` before it resets its lanes. As long as :attr:`replaying`, it steps them with
    :meth:`actions`, stores what they give as ever, and neither learns nor draws from a generator of its own. At each
    place where it is fit to be saved (nothing under way: after an update, before the next step) it asks
    :meth:`resumed` for the state to load, which is there once, when the replay has come to its end; and, if
    :meth:`due`, it hands its state to :meth:`save`.

    Args:
        keeper: Where checkpoints are kept.
        space: The space of one action.
        meter: The task's meter.
        facts: The task's side of a checkpoint, as JSON; evaluates what is still to be evaluated.
    """

    def __init__(
        self, keeper: Keeper, space: spaces.Discrete[Any], meter: Meter, facts: Callable[[], dict[str, JSONValue]]
    ) -> None:
        bounds = int(space.start), int(space.start + space.n - 1)
        self._dtype = np.promote_types(*(np.min_scalar_type(bound) for bound in bounds))
        self._keeper, self._meter, self._facts = keeper, meter, facts
        self.found = keeper.found
        self._ahead: Checkpoint | None = None
        self._resumed = False
        self._began: int | None = None
        self._log = bytearray()
        self._seen = 0

    def begin(self) -> None:
        """Note where a training begins; from here on the actions of all lanes are noted."""
        self._began, self._log, self._seen = self._meter.spent, bytearray(), 0
        self._ahead = self.found if self.found is not None and self.found.facts["began"] == self._began else None

    @property
    def replaying(self) -> bool:
        """Whether the learner's state is still to be taken up."""
        return self._ahead is not None

    def actions(self, lanes: int) -> NDArray[np.int64]:
        """The actions of the next step of a replay, ``[lanes]``.

        Raises:
            ReplayError: If there are no more.
        """
        start = len(self._log) // self._dtype.itemsize
        rows: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        if self._ahead is not None:
            rows = self._ahead.actions[start : start + lanes].astype(np.int64)
        if len(rows) < lanes:
            raise ReplayError("the checkpoint has no more actions where the training wants some")
        return rows

    def note(self, actions: Array, obs: Any, rewards: Array, dones: Array) -> None:
        """Called by the lanes after each of their steps."""
        if self._began is None:
            return
        self._log += actions.astype(self._dtype).tobytes()
        for shown in (rewards, dones, obs):
            if isinstance(shown, np.ndarray):
                self._seen = zlib.crc32(np.ascontiguousarray(shown).data, self._seen)

    def resumed(self) -> Saved | None:
        """The learner's state if the replay has just come to its end.

        The global generators of Python, NumPy and torch (on the CPU) are then as they were.

        Raises:
            ReplayError: If the lanes didn't show what they showed before.
        """
        ahead = self._ahead
        if ahead is None or len(self._log) < len(ahead.actions) * self._dtype.itemsize:
            return None
        if self._log != ahead.actions.tobytes() or self._seen != ahead.facts["seen"]:
            raise ReplayError("the environment doesn't repeat itself")
        self._ahead, self._resumed = None, True
        _set_generators(ahead.facts["generators"])
        return ahead.learner

    def due(self) -> bool:
        """Whether the learner is to save its state now."""
        return self._began is not None and not self.replaying and self._keeper.due()

    def save(self, learner: Saved) -> None:
        """Keep a checkpoint; nothing of it reaches the training.

        Raises:
            StorageError: If it can't be written.
        """
        facts = {**self._facts(), "began": self._began, "seen": self._seen, "generators": _generators()}
        actions = np.frombuffer(bytes(self._log), dtype=self._dtype)
        self._keeper.keep(Checkpoint(learner, actions, facts))

    def check_resumed(self) -> None:
        """Called when learning has ended.

        Raises:
            ReplayError: If there is a checkpoint that wasn't taken up.
        """
        if self.found is not None and not self._resumed:
            raise ReplayError("the training didn't come to the place of its checkpoint")


@runtime_checkable
class Resumable(Protocol):
    """A task whose training may keep checkpoints."""

    @property
    def checkpoints(self) -> Checkpoints | None:
        """``None`` where none are to be kept."""


def outcomes_to_json(outcomes: list[Outcome | None]) -> list[JSONValue]:
    """Outcomes of points as JSON."""
    return [None if o is None else [list(o.returns), list(o.lengths)] for o in outcomes]


def outcomes_from_json(content: Any) -> list[Outcome | None]:
    """The inverse of :func:`outcomes_to_json`."""
    return [None if pair is None else Outcome(tuple(pair[0]), tuple(pair[1])) for pair in content]


def _generators() -> JSONValue:
    version, state, gauss = random.getstate()
    found: Any = np.random.get_state(legacy=True)
    name, words, *rest = found
    numpy = [name, words.tolist(), *rest]
    return {"python": [version, list(state), gauss], "numpy": numpy, "torch": torch.get_rng_state().tolist()}


def _set_generators(states: Any) -> None:
    version, state, gauss = states["python"]
    random.setstate((version, tuple(state), gauss))
    np.random.set_state(tuple(states["numpy"]))
    torch.set_rng_state(torch.tensor(states["torch"], dtype=torch.uint8))
