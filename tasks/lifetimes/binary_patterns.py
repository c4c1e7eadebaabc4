"""Binary pattern completion: see random patterns of +1 and -1 once, then complete one from a part of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.interface import Array
from tlbench.tasks.lifetimes.schedules import Completion


class BinaryPatterns:
    """Lifetimes of random binary patterns.

    Miconi, Clune & Stanley (2018), section 4.1, reviewed in plasticity-and-model-based-review.txt, section 4.1. The
    defaults are the sizes of the comparison with the LSTM: 2 patterns of 50 bits, as many +1 as -1, each for 3 steps
    with 1 step between, then 3 steps of one of them with half of its bits set to 0.

    Score: 1 minus the share of the pattern's bits whose sign is wrong at the last step. Guessing the erased bits scores
    0.75 where half of them are erased. An output of exactly 0 has neither sign.

    Args:
        bits: Values per input.
        size: Bits of a pattern, the first ones; the others are always 0 and don't count. All by default.
        patterns: Patterns of a lifetime.
        cycles: How often all of them are shown.
        show_steps: Steps that a pattern is shown for.
        delay_steps: Steps of zeros after it.
        test_steps: Steps of the test.
        erased: Share of the tested pattern's bits that are set to 0, rounded to whole bits.
        erasure: ``"scattered"`` bits, or a ``"block"`` of neighbouring ones (round the end, if need be).

    Raises:
        TlbenchError: If the sizes don't fit together.
    """

    def __init__(
        self,
        bits: int = 50,
        size: int | None = None,
        patterns: int = 2,
        cycles: int = 1,
        show_steps: int = 3,
        delay_steps: int = 1,
        test_steps: int = 3,
        erased: float = 0.5,
        erasure: Literal["scattered", "block"] = "scattered",
    ) -> None:
        self._bits, self._size = bits, bits if size is None else size
        if not 2 <= self._size <= bits:
            raise TlbenchError(f"binary patterns: size must be from 2 to bits = {bits}, not {size}")
        if not 0 < erased <= 1:
            raise TlbenchError(f"binary patterns: erased must be above 0 and at most 1, not {erased}")
        if erasure not in ("scattered", "block"):
            raise TlbenchError(f"binary patterns: erasure must be scattered or block, not {erasure!r}")
        self._erased, self._erasure = max(1, round(erased * self._size)), erasure
        self._schedule = Completion(patterns, cycles, show_steps, delay_steps, test_steps)
        self.observation_space: spaces.Space[Any] = spaces.Box(-1, 1, (bits,))
        self.action_space: spaces.Space[Any] = spaces.Box(-1, 1, (bits,))

    def draw(self, n: int, rng: np.random.Generator) -> Mapping[str, Array]:
        """Draw n lifetimes; see :class:`~tlbench.protocol.sources.Lifetimes`."""
        size, patterns = self._size, self._schedule.patterns
        shown = np.zeros((n, patterns, self._bits), np.float32)
        balanced = np.where(np.arange(size) < size // 2, np.float32(1), np.float32(-1))
        shown[..., :size] = rng.permuted(np.tile(balanced, (n, patterns, 1)), axis=2)
        erased = np.zeros((n, self._bits), np.bool_)
        erased[:, :size] = self._erase(n, rng)
        return self._schedule.lifetimes(shown, erased, rng)

    def score(self, outputs: Array, lifetimes: Mapping[str, Array]) -> NDArray[np.float64]:
        """Share of the pattern's bits whose sign is right at the last step, ``[n]``."""
        right = np.sign(outputs[-1]) == lifetimes["targets"][-1]
        share: NDArray[np.float64] = right[:, : self._size].mean(axis=1)
        return share

    def _erase(self, n: int, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Which bits of the tested pattern are erased, ``[n, size]``."""
        chosen = np.arange(self._size) < self._erased
        if self._erasure == "scattered":
            return rng.permuted(np.tile(chosen, (n, 1)), axis=1)
        block: NDArray[np.bool_] = chosen[(np.arange(self._size) - rng.integers(self._size, size=(n, 1))) % self._size]
        return block
