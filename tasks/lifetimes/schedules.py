"""Lifetimes in which patterns are shown in turn and one of them has to be completed at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlbench.protocol.errors import TlbenchError

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Completion:
    """How a lifetime goes: each of the patterns for some steps, a pause of zeros, all that again; then the test.

    Attributes:
        patterns: Patterns of a lifetime.
        cycles: How often all of them are shown, each time in another order.
        show_steps: Steps that a pattern is shown for.
        delay_steps: Steps of zeros after it.
        test_steps: Steps that the erased pattern is shown for; the last one counts.
    """

    patterns: int
    cycles: int
    show_steps: int
    delay_steps: int
    test_steps: int

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            least = 0 if name == "delay_steps" else 1
            if value < least:
                raise TlbenchError(f"lifetimes: {name} must be at least {least}, not {value}")

    @property
    def length(self) -> int:
        """Steps of a lifetime."""
        return self.patterns * self.cycles * (self.show_steps + self.delay_steps) + self.test_steps

    def lifetimes(self, shown: Floats, erased: NDArray[np.bool_], rng: np.random.Generator) -> Mapping[str, Any]:
        """Lay out lifetimes.

        Args:
            shown: Their patterns, ``[n, patterns, d]``; which one is tested is drawn.
            erased: Where the tested pattern is set to 0, ``[n, d]``.
            rng: The generator.

        Returns:
            ``inputs`` and ``targets`` ``[T, n, d]``, ``mask`` ``[T, n]`` (the last step alone), ``erased``.
        """
        n, _, d = shown.shape
        inputs = np.zeros((self.length, n, d), np.float32)
        rows, step = np.arange(n), 0
        for _ in range(self.cycles):
            order = rng.permuted(np.tile(np.arange(self.patterns), (n, 1)), axis=1)
            for turn in range(self.patterns):
                inputs[step : step + self.show_steps] = shown[rows, order[:, turn]]
                step += self.show_steps + self.delay_steps
        tested = shown[rows, rng.integers(self.patterns, size=n)]
        inputs[step:] = np.where(erased, np.float32(0), tested)
        targets = np.tile(tested, (self.length, 1, 1))
        mask = np.zeros((self.length, n), np.bool_)
        mask[-1] = True
        return {"inputs": inputs, "targets": targets, "mask": mask, "erased": erased}
