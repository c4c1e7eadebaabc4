"""Starting-point methods: all that they choose is where learning on the target starts, and what stays fixed."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel

from tlbench.protocol.interface import (
    BudgetedTask,
    Context,
    Expert,
    Knowledge,
    Method,
    Params,
    first_source_only,
    training_facts,
)


class StartingPointMethod(Method):
    """A method that only chooses where learning on the target starts, and which parameters stay fixed."""

    @first_source_only
    def learn_source(
        self, sources: Sequence[BudgetedTask], experts: Sequence[Expert], ctx: Context
    ) -> Knowledge | None:
        """Take the parameters of the first source's expert as they are."""
        del sources, ctx
        return Knowledge(dict(experts[0].params))

    def transform(self, knowledge: Knowledge, fresh: Params, ctx: Context) -> tuple[Params, Sequence[str]]:
        """Choose the start.

        Args:
            knowledge: What :meth:`learn_source` returned.
            fresh: The fresh agent's parameters on the target.
            ctx: Seed and diagnostics.

        Returns:
            Start parameters for the roles that are to change (others stay fresh), and the roles that are frozen.
        """
        del ctx
        return carried(knowledge.tensors, fresh), ()

    def target_config(self, ctx: Context) -> BaseModel | None:
        """The learner's configuration on the target; never the control's."""
        return ctx.learner_config

    def after(self, start: Params, final: Params, ctx: Context) -> None:
        """Report diagnostics that compare start and end of target training."""
        del start, final, ctx

    def learn_target(self, target: BudgetedTask, knowledge: Knowledge | None, ctx: Context) -> None:
        """Build the fresh agent, load the start, train."""
        agent = ctx.build(target.interface, self.target_config(ctx) if knowledge is not None else None)
        fresh = agent.params()
        start: Params = {}
        if knowledge is not None:
            start, frozen = self.transform(knowledge, fresh, ctx)
            agent.load(start, frozen)
            ctx.diagnostics["carried_share"] = carried_share(start, fresh)
        agent.train(target)
        ctx.diagnostics |= training_facts(agent)
        self.after({**fresh, **start}, agent.params(), ctx)


def carried(source: Params, fresh: Params) -> Params:
    """The source's parameters whose role and shape both exist in ``fresh``; the others are to start fresh."""
    return {r: t for r, t in source.items() if r in fresh and t.shape == fresh[r].shape}


def carried_share(start: Params, fresh: Params) -> float:
    """Share of the target's scalar parameters, in [0, 1], that ``start`` sets."""
    total = sum(t.numel() for t in fresh.values())
    return sum(t.numel() for t in start.values()) / total if total else 0.0
