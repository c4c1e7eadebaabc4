"""How far an evaluation is and how long it still takes, corrected by how long finished nodes took."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from tlbench.execution.executors import Ending
from tlbench.execution.plan import Node

TRUST = 0.05
"""Weight of the estimates themselves, in finished nodes."""


class Costs(Protocol):
    """What is known of nodes before they are done."""

    def node(self, node: Node) -> float:
        """Estimated seconds of a node."""

    def units(self, node: Node) -> int:
        """Units of budget that a node spends."""


class Clock:
    """Estimates the time left.

    Estimates of nodes know how fast environments step, not how long a learner takes to learn. So the seconds of a node
    are taken to be ``a * estimated + b * units``, with ``a`` and ``b`` at least 0 and the least squared relative errors
    over the finished nodes.

    Args:
        nodes: All nodes to be done.
        jobs: Processes.
        costs: What is known of them.
    """

    def __init__(self, nodes: Sequence[Node], jobs: int, costs: Costs) -> None:
        self.total = len(nodes)
        self.done = 0
        self.failed = 0
        self.running: dict[str, str] = {}
        self._jobs = max(1, jobs)
        self._left = {node.key: np.array([costs.node(node), float(costs.units(node))]) for node in nodes}
        summed = sum(self._left.values(), np.zeros(2))
        self._scale = np.array([1.0, summed[0] / summed[1] if summed[1] else 0.0])  # units, in estimated seconds
        self._rows: list[np.ndarray[tuple[int], np.dtype[np.float64]]] = []
        self.began = time.monotonic()

    def start(self, node: Node) -> None:
        """A node was started."""
        self.running[node.key] = node.label

    def end(self, node: Node, ending: Ending) -> None:
        """A node ended."""
        self.done += 1
        self.failed += ending.error is not None
        self.running.pop(node.key, None)
        facts = self._left.pop(node.key, None)
        if facts is not None and ending.error is None and ending.seconds > 0:
            self._rows.append(facts * self._scale / ending.seconds)

    @property
    def seconds_left(self) -> float:
        """Estimated seconds until all is done."""
        left = sum(self._left.values(), np.zeros(2)) * self._scale
        return float(left @ self._factors()) / max(1, min(self._jobs, len(self._left)))

    def line(self) -> str:
        """One line: how far, how long yet."""
        failed = f", {self.failed} failed" if self.failed else ""
        left = f", about {duration(self.seconds_left)} left" if self.done < self.total else ""
        return f"{self.done} of {self.total} done{failed}{left}"

    def _factors(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Factors on estimated seconds and on scaled units: (1, 0) as long as nothing is known."""
        rows = np.array([*self._rows, [TRUST, 0.0], [0.0, TRUST]])
        wanted = np.array([*(1.0 for _ in self._rows), TRUST, 0.0])
        both: np.ndarray[tuple[int], np.dtype[np.float64]] = np.linalg.lstsq(rows, wanted, rcond=None)[0]
        if (both >= 0).all():
            return both
        alone = 1 if both[0] < 0 else 0  # the other one would count backwards
        factors = np.zeros(2)
        factors[alone] = max(0.0, float(rows[:, alone] @ wanted) / float(rows[:, alone] @ rows[:, alone]))
        return factors


def duration(seconds: float) -> str:
    """Seconds in words: ``40 s``, ``3 min``, ``2.1 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
