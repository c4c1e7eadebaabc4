"""The meter: counts units against a budget and calls back at points that are due. It knows no evaluation."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import NoReturn, SupportsIndex

from tlbench.protocol.errors import BudgetExhausted, ProtocolViolationError

REFUSALS = 10_000
"""Metered calls refused after the budget's end before the process is ended for a method that won't stop."""

EXIT_REFUSED = 86
"""Exit status of a process whose method went on after its budget's end."""


class Meter:
    """Counts units; raises ``BudgetExhausted`` instead of letting a call exceed the budget.

    A point due at count c is reported on entry to the *next* metered call, so that what the data up to c taught is
    what is evaluated.

    Args:
        budget: Units in all.
        fractions: Nominal fractions of the budget at which points are due, increasing.
        on_due: Called with (first point, last point + 1, count) when these points are due.
    """

    def __init__(self, budget: int, fractions: Sequence[float], on_due: Callable[[int, int, int], None]) -> None:
        self.budget = budget
        self.spent = 0
        self._due = [math.ceil(round(fraction * budget, 6)) for fraction in fractions]  # 0.07 * 100 is above 7
        self._point = 0
        self._next = self._due[0] if self._due else math.inf
        self._on_due = on_due
        self._refused = 0

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse to be copied or pickled, with a task or its lanes: the copy would count for itself."""
        raise ProtocolViolationError("a task and its lanes have one meter and can't be copied: use task.envs(n) again")

    def charge(self, units: int) -> None:
        """Enter a metered call: report the points that are due, then count its units.

        Raises:
            BudgetExhausted: If the call would exceed the budget; nothing is counted then.
        """
        if self.spent >= self._next:
            self._report()
        if self.spent + units > self.budget:
            self._refuse()
        self.spent += units

    def finish(self) -> None:
        """Report all points not yet reported, at the present count: learning has returned."""
        if self._point < len(self._due):
            first, self._point, self._next = self._point, len(self._due), math.inf
            self._on_due(first, len(self._due), self.spent)

    def _report(self) -> None:
        first = last = self._point
        while last < len(self._due) - 1 and self.spent >= self._due[last]:
            last += 1  # the final point waits for finish(): learning from the last data comes before it
        if last > first:
            self._point = last
            self._on_due(first, last, self.spent)
        self._next = self._due[last] if last < len(self._due) - 1 else math.inf

    def _refuse(self) -> None:
        self._refused += 1
        if self._refused > REFUSALS:
            os._exit(EXIT_REFUSED)
        raise BudgetExhausted
