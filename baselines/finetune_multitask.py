"""Fine-tuning from multi-task pretraining: one policy for all sources, trained on them jointly, then on the target.

The baseline that MAML calls pretraining (Finn et al. 2017, section 5.3): the policy isn't told which task it is in, so
that it learns what is best on average over the sources. It has the sources' whole budget and no experts, where
``finetune-*`` starts from the expert of the first source alone. What is left open, and was chosen: sources have equally
many lanes in every rollout, the last parameters are carried (no evaluation on the sources chooses any), the value
network too, and the optimiser starts afresh on the target.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from tlbench.baselines.joint_training import train_jointly
from tlbench.protocol.interface import BudgetedTask, Context, Expert, JSONValue, Knowledge
from tlbench.protocol.starting_point import StartingPointMethod


class FinetuneMultitask(StartingPointMethod):
    """Starts from one policy that was trained on all sources jointly, and goes on training."""

    id = "finetune-multitask-{learner}"
    variants: ClassVar[dict[str, dict[str, JSONValue]]] = {"finetune-multitask-{learner}": {}}
    learners = ("ppo", "trpo")
    experts = 0

    def learn_source(
        self, sources: Sequence[BudgetedTask], experts: Sequence[Expert], ctx: Context
    ) -> Knowledge | None:
        """Train on all sources."""
        del experts
        agent = train_jointly(sources, ctx)
        return Knowledge(agent.params(), diagnostics={"source_gradient_steps": agent.gradient_steps})
