"""A bounded sample of segments in which each that was ever added is as likely as any other."""

from __future__ import annotations

import numpy as np

from tlbench.baselines.model_based.segments import Segments

MOST_SEGMENTS = 2_000_000
"""Segments held: under a gigabyte of the ant's, and more than any published suite has."""


class Memory:
    """Segments, all of them up to a number and a uniform sample of them from there on.

    Attributes:
        held: The segments.
        seen: How many they stand for.
    """

    def __init__(self, empty: Segments, rng: np.random.Generator) -> None:
        """Begin with none.

        Args:
            empty: No segments, of the right sizes.
            rng: Draws what is given up, where there are too many.
        """
        self.held, self.seen, self._rng = empty, len(empty), rng

    def __len__(self) -> int:
        return len(self.held)

    def add(self, more: Segments, seen: int | None = None) -> None:
        """Add segments.

        Args:
            more: The segments.
            seen: How many they stand for themselves; as many as there are, if nothing was left out.
        """
        seen = len(more) if seen is None else seen
        self.seen += seen
        surplus = len(self.held) + len(more) - MOST_SEGMENTS
        if surplus <= 0:
            self.held = Segments.joined([self.held, more])
            return
        wanted = round(MOST_SEGMENTS * seen / self.seen)
        new = min(max(wanted, MOST_SEGMENTS - len(self.held)), len(more), MOST_SEGMENTS)
        self.held = Segments.joined([self.some(MOST_SEGMENTS - new), _drawn(more, new, self._rng)])

    def some(self, most: int) -> Segments:
        """At most so many of them, drawn without replacement."""
        return _drawn(self.held, most, self._rng)


def _drawn(segments: Segments, most: int, rng: np.random.Generator) -> Segments:
    count = min(len(segments), most)
    return segments[np.sort(rng.choice(len(segments), count, replace=False))]
