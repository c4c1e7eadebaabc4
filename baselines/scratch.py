"""Learning from scratch: the control of every method, as a method of its own."""

from __future__ import annotations

from typing import ClassVar

from tlbench.protocol.interface import BudgetedTask, Context, JSONValue, Knowledge, TargetOnly, learn_from_scratch


class Scratch(TargetOnly):
    """Learns the target from scratch (the control)."""

    id = "scratch-{learner}"
    variants: ClassVar[dict[str, dict[str, JSONValue]]] = {"scratch-{learner}": {}}

    def learn_target(self, target: BudgetedTask, knowledge: Knowledge | None, ctx: Context) -> None:
        """Train the fresh agent."""
        del knowledge
        learn_from_scratch(target, ctx)
