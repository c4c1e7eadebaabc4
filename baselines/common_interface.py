"""What the sources of a method that learns on all of them together must have in common."""

from __future__ import annotations

from collections.abc import Sequence

from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.interface import BudgetedTask, Interface


def common_interface(sources: Sequence[BudgetedTask]) -> Interface:
    """The interface of the first source, which the others share as far as spaces, discount and unit go.

    Raises:
        TlbenchError: If one of these differs.
    """
    first = sources[0]
    for other in sources[1:]:
        for fact, here, there in (
            ("observations", first.interface.observation_space, other.interface.observation_space),
            ("actions", first.interface.action_space, other.interface.action_space),
            ("discounts", first.interface.discount, other.interface.discount),
            ("units", first.unit, other.unit),
        ):
            if here != there:
                raise TlbenchError(f"sources that are learned together differ in their {fact}: {here} and {there}")
    return first.interface
