"""tlbench: benchmark suite and leaderboard for transfer learning in deep reinforcement learning.

The public names are loaded when they are first used::

    import tlbench

    result = tlbench.evaluate(method="spam", suite="classic")
    result.to_frame()
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tlbench.cli.api import Evaluation as Evaluation
    from tlbench.cli.api import evaluate as evaluate
    from tlbench.protocol.errors import BudgetExhausted as BudgetExhausted
    from tlbench.protocol.errors import DivergedError as DivergedError
    from tlbench.protocol.errors import TlbenchError as TlbenchError
    from tlbench.protocol.interface import Agent as Agent
    from tlbench.protocol.interface import BudgetedTask as BudgetedTask
    from tlbench.protocol.interface import Config as Config
    from tlbench.protocol.interface import Context as Context
    from tlbench.protocol.interface import Expert as Expert
    from tlbench.protocol.interface import Interface as Interface
    from tlbench.protocol.interface import Knowledge as Knowledge
    from tlbench.protocol.interface import Learner as Learner
    from tlbench.protocol.interface import Method as Method
    from tlbench.protocol.interface import Params as Params
    from tlbench.protocol.interface import Policy as Policy
    from tlbench.protocol.starting_point import StartingPointMethod as StartingPointMethod
    from tlbench.protocol.starting_point import carried as carried

_HOMES = {
    "tlbench.cli.api": ("Evaluation", "evaluate"),
    "tlbench.protocol.errors": ("BudgetExhausted", "DivergedError", "TlbenchError"),
    "tlbench.protocol.interface": (
        "Agent",
        "BudgetedTask",
        "Config",
        "Context",
        "Expert",
        "Interface",
        "Knowledge",
        "Learner",
        "Method",
        "Params",
        "Policy",
    ),
    "tlbench.protocol.starting_point": ("StartingPointMethod", "carried"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("tlbench")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'tlbench' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME_OF, "__version__"])
