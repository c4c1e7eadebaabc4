"""Completion of natural images: see grey images, then complete one of which a half is erased."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.interface import Array
from tlbench.tasks.lifetimes.folders import CIFAR_FILES, cifar_10
from tlbench.tasks.lifetimes.photographs import patches, photograph
from tlbench.tasks.lifetimes.schedules import Completion

CIFAR_SIDE = 32
FLAT = 1e-3
"""Largest deviation from its mean up to which an image is stretched as if it were this large."""


class NaturalImages:
    """Lifetimes of grey images.

    Miconi, Clune & Stanley (2018), section 4.2, reviewed in plasticity-and-model-based-review.txt, section 4.1. Every
    image is shifted to mean 0 and scaled to a largest absolute value of 1; the erased half (upper, lower, left or
    right) is 0. The default schedule is short; the original's is 3 cycles of 20 steps with 2 steps between, on
    CIFAR-10.

    Score: 1 minus the mean absolute error over the erased half at the last step. It can be negative; outputs of 0
    score about 0.6 to 0.7.

    Args:
        data: ``"photographs"`` (built in) or ``"cifar-10"`` (the user's; see ``folders.py``).
        part: Which photographs, joined by ``+``; of CIFAR-10 ``train`` or ``test``.
        side: Pixels of a patch's side; 32 for CIFAR-10.
        patterns: Images of a lifetime.
        cycles: How often all of them are shown.
        show_steps: Steps that an image is shown for.
        delay_steps: Steps of zeros after it.
        test_steps: Steps of the test.

    Raises:
        TlbenchError: If there is no such data.
    """

    def __init__(
        self,
        data: Literal["photographs", "cifar-10"] = "photographs",
        part: str = "flower",
        side: int = 12,
        patterns: int = 2,
        cycles: int = 2,
        show_steps: int = 3,
        delay_steps: int = 1,
        test_steps: int = 3,
    ) -> None:
        if data not in ("photographs", "cifar-10"):
            raise TlbenchError(f"images: data must be photographs or cifar-10, not {data!r}")
        self._images: NDArray[np.float32] | None = None
        self._names = tuple(part.split("+"))
        if data == "cifar-10":
            if part not in CIFAR_FILES:
                raise TlbenchError(f"images: part of cifar-10 must be train or test, not {part!r}")
            if side != CIFAR_SIDE:
                raise TlbenchError(f"images: the side of cifar-10 is {CIFAR_SIDE}, not {side}")
            self._images = cifar_10(part)
        elif not 2 <= side <= min(min(photograph(name).shape) for name in self._names):
            raise TlbenchError(f"images: side must be at least 2 and fit into the photographs, not {side}")
        self._side = side
        self._schedule = Completion(patterns, cycles, show_steps, delay_steps, test_steps)
        self.observation_space: spaces.Space[Any] = spaces.Box(-1, 1, (side**2,))
        self.action_space: spaces.Space[Any] = spaces.Box(-1, 1, (side**2,))

    def draw(self, n: int, rng: np.random.Generator) -> Mapping[str, Array]:
        """Draw n lifetimes; see :class:`~tlbench.protocol.sources.Lifetimes`."""
        count = n * self._schedule.patterns
        if self._images is None:
            images = patches(self._names, count, self._side, rng)
        else:
            images = self._images[rng.integers(len(self._images), size=count)]
        flat = images.reshape(n, self._schedule.patterns, -1)
        flat = flat - flat.mean(axis=2, keepdims=True)
        flat /= np.maximum(np.abs(flat).max(axis=2, keepdims=True), FLAT)
        return self._schedule.lifetimes(flat, self._halves(n, rng), rng)

    def score(self, outputs: Array, lifetimes: Mapping[str, Array]) -> NDArray[np.float64]:
        """1 minus the mean absolute error over the erased half at the last step, ``[n]``."""
        error = np.abs(outputs[-1].astype(np.float64) - lifetimes["targets"][-1]) * lifetimes["erased"]
        scores: NDArray[np.float64] = 1 - error.sum(axis=1) / lifetimes["erased"].sum(axis=1)
        return scores

    def _halves(self, n: int, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Which half is erased, ``[n, side * side]``."""
        first = np.arange(self._side) < self._side // 2
        rows, columns = (np.broadcast_to(part, (self._side, self._side)) for part in (first[:, None], first[None]))
        halves = np.stack([rows, ~rows, columns, ~columns]).reshape(4, -1)
        return halves[rng.integers(4, size=n)]
