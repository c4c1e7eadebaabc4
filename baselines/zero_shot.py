"""Zero-shot transfer: the expert acts on the target without learning; what doesn't fit stays at its fresh values."""

from __future__ import annotations

from typing import ClassVar

from tlbench.protocol.interface import BudgetedTask, Context, JSONValue, Knowledge
from tlbench.protocol.starting_point import StartingPointMethod, carried_share


class ZeroShot(StartingPointMethod):
    """Acts with the expert's parameters and never learns."""

    id = "zero-shot-{learner}"
    variants: ClassVar[dict[str, dict[str, JSONValue]]] = {"zero-shot-{learner}": {}}

    def learn_target(self, target: BudgetedTask, knowledge: Knowledge | None, ctx: Context) -> None:
        """Publish the policy and return: every point evaluates it as it is."""
        agent = ctx.build(target.interface)
        fresh = agent.params()
        if knowledge is not None:
            start, _ = self.transform(knowledge, fresh, ctx)
            agent.load(start)
            ctx.diagnostics["carried_share"] = carried_share(start, fresh)
        ctx.diagnostics["gradient_steps"] = 0
        target.publish(agent.policy)
