"""The course of the losses: means over stretches of updates that grow as training goes on."""

from __future__ import annotations

from collections.abc import Mapping

import torch

ROWS = 100
"""At most this many stretches are kept; then two become one."""


class LossHistory:
    """Means of every loss over equal stretches of updates."""

    def __init__(self) -> None:
        self.stretch = 10
        self._rows: list[dict[str, float]] = []
        self._sums: dict[str, torch.Tensor] = {}
        self._count = 0

    def add(self, losses: Mapping[str, torch.Tensor]) -> None:
        """Add an update's losses."""
        for name, loss in losses.items():
            value = loss.detach()
            self._sums[name] = self._sums[name] + value if self._count else value
        self._count += 1
        if self._count == self.stretch:
            self._rows.append({name: float(total) / self._count for name, total in self._sums.items()})
            self._count = 0
            if len(self._rows) == ROWS:
                self._rows = [_mean(a, b) for a, b in zip(self._rows[::2], self._rows[1::2], strict=True)]
                self.stretch *= 2

    def table(self) -> dict[str, list[float]]:
        """Per loss its means, and ``update``: the last update of each stretch."""
        updates = [float((i + 1) * self.stretch) for i in range(len(self._rows))]
        names = self._rows[0] if self._rows else ()
        return {"update": updates, **{name: [float(f"{row[name]:.4g}") for row in self._rows] for name in names}}


def _mean(one: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    return {name: (one[name] + other[name]) / 2 for name in one}
