"""What differs among sources that are learned together is named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import pytest
from gymnasium import spaces

from tlbench.baselines.common_interface import common_interface
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.interface import BudgetedTask, Interface


@dataclass
class Source:
    """What is asked of a source."""

    interface: Interface
    unit: str = "env_steps"


def source(length: int = 2, actions: int = 2, discount: float = 0.9, unit: str = "env_steps") -> BudgetedTask:
    """A source with these properties."""
    interface = Interface(spaces.Box(-1, 1, (length,)), spaces.Discrete(actions), discount, {"goal": float(length)})
    return cast(BudgetedTask, Source(interface, unit))


def test_parameters_may_differ_and_the_first_interface_is_returned() -> None:
    sources = [source(), source(), source()]
    assert common_interface(sources) is sources[0].interface


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (source(length=3), r"observations: Box\(.*\(2,\).*and Box\(.*\(3,\)"),
        (source(actions=3), "actions: Discrete.2. and Discrete.3."),
        (source(discount=0.99), "discounts: 0.9 and 0.99"),
        (source(unit="samples"), "units: env_steps and samples"),
    ],
)
def test_what_differs_is_named(other: BudgetedTask, named: str) -> None:
    with pytest.raises(TlbenchError, match=f"differ in their {named}"):
        common_interface([source(), source(), other])
