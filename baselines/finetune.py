"""Fine-tuning: the expert's parameters as they are, wherever role and shape match, then training goes on.

The classical starting-point method (Taylor & Stone 2009, "Transfer learning for reinforcement learning domains"). With
the head reset, the last layer (and the exploration noise) starts fresh, as is common where source and target act
differently. What a paper may leave open: the optimiser starts fresh, and a value network, where the learner has one,
is carried like everything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from tlbench.protocol.interface import Config, Context, JSONValue, Knowledge, Params
from tlbench.protocol.starting_point import StartingPointMethod, carried

HEAD_ROLES = ("head.", "value.head.", "log_std")


class FinetuneConfig(Config):
    """Settings of fine-tuning."""

    reset_head: bool = Field(False, description="Start the last layers and the exploration noise fresh.")


class Finetune(StartingPointMethod):
    """Starts from the expert's parameters and goes on training."""

    Config = FinetuneConfig
    id = "finetune-{learner}"
    variants: ClassVar[dict[str, dict[str, JSONValue]]] = {
        "finetune-{learner}": {},
        "finetune-reset-head-{learner}": {"reset_head": True},
    }

    def transform(self, knowledge: Knowledge, fresh: Params, ctx: Context) -> tuple[Params, Sequence[str]]:
        """Carry what fits, without the head if it is to be reset."""
        del ctx
        start = carried(knowledge.tensors, fresh)
        if self.config.reset_head:
            start = {role: tensor for role, tensor in start.items() if not role.startswith(HEAD_ROLES)}
        return start, ()
