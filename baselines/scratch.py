"""Learning from scratch: the control of every method, as a method of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from tlbench.protocol.interface import (
    BudgetedTask,
    Context,
    Expert,
    JSONValue,
    Knowledge,
    Method,
    learn_from_scratch,
)


class Scratch(Method):
    """Learns the target from scratch (the control)."""

    id = "scratch-{learner}"
    variants: ClassVar[dict[str, dict[str, JSONValue]]] = {"scratch-{learner}": {}}
    experts = 0
    uses_source = False

    def learn_source(
        self, sources: Sequence[BudgetedTask], experts: Sequence[Expert], ctx: Context
    ) -> Knowledge | None:
        """Nothing is learned on the source."""
        del sources, experts, ctx
        return None

    def learn_target(self, target: BudgetedTask, knowledge: Knowledge | None, ctx: Context) -> None:
        """Train the fresh agent."""
        del knowledge
        learn_from_scratch(target, ctx)
