"""Component transfer: the encoder is trained again, the models and values on top of it stay as they are.

Document: van Driessel and François-Lavet, *Component Transfer Learning for Deep RL Based on Abstract Representations*,
sections 4.1 and 5.2.3, and the settings of its code. The expert's transition, reward, discount and Q networks are
frozen on the target, so that the encoder, which starts from the expert's, is drawn back to the abstract space that they
know. Four variants:

- `component-reset-encoder`: the encoder starts from the expert's with the entries of each tensor permuted, as the
  document's code does where its text says "reset"; `reset = "fresh"` starts it as the control's.
- `component-finetune-all`: nothing is frozen (the same as `finetune-crar`; here for the document's comparison).
- `component-no-disambiguation`: without the loss L_d1 on the target.
- `component-delayed-structure`: without L_d1, L'_d1 and L_d2 for the first 15 % of the budget (15 of 100 epochs).

What the document leaves open: the optimiser starts fresh; target networks start equal to the trained ones, encoder
included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import BaseModel, Field

from tlbench.baselines.learners.crar.networks import ENCODER_ROLES
from tlbench.protocol.interface import Config, Context, JSONValue, Knowledge, Params
from tlbench.protocol.starting_point import StartingPointMethod, carried


class ComponentConfig(Config):
    """Settings of component transfer."""

    freeze: bool = Field(True, description="Freeze everything but the encoder.")
    reset: Literal["none", "permute", "fresh"] = Field("none", description="What becomes of the expert's encoder.")
    disambiguation: bool = Field(True, description="Keep the loss L_d1 on the target.")
    delay: float = Field(0.0, ge=0, le=1, description="Share of the budget without the losses on the abstract space.")


class Component(StartingPointMethod):
    """Trains the expert's encoder again while all else that it knows is frozen."""

    Config = ComponentConfig
    id = "component"
    learners = ("crar",)
    variants: ClassVar[dict[str, dict[str, JSONValue]]] = {
        "component": {},
        "component-reset-encoder": {"reset": "permute"},
        "component-finetune-all": {"freeze": False},
        "component-no-disambiguation": {"disambiguation": False},
        "component-delayed-structure": {"delay": 0.15},
    }

    def transform(self, knowledge: Knowledge, fresh: Params, ctx: Context) -> tuple[Params, Sequence[str]]:
        """Carry what fits; freeze all that is carried but the encoder."""
        start = carried(knowledge.tensors, fresh)
        frozen = [role for role in start if not role.startswith(ENCODER_ROLES)] if self.config.freeze else []
        encoder = [role for role in start if role.startswith(ENCODER_ROLES)]
        if self.config.reset == "fresh":
            start = {role: tensor for role, tensor in start.items() if role not in encoder}
        elif self.config.reset == "permute":
            generator = torch.Generator().manual_seed(ctx.seed)
            start |= {role: permuted(start[role], generator) for role in encoder}
        return start, frozen

    def target_config(self, ctx: Context) -> BaseModel | None:
        """The learner's configuration without the losses that the variant leaves out."""
        config = ctx.learner_config
        assert config is not None, "the method names its learner"
        changes: dict[str, object] = {}
        if not self.config.disambiguation:
            changes["disambiguation_weight"] = 0.0
        if self.config.delay:
            changes["unstructured_share"] = self.config.delay
        return config.model_copy(update=changes)

    def after(self, start: Params, final: Params, ctx: Context) -> None:
        """Report how far the encoder moved: the norm of its change over the norm of its start."""
        roles = [role for role in start if role.startswith(ENCODER_ROLES)]
        change = torch.cat([(final[role] - start[role]).flatten() for role in roles]).norm()
        before = torch.cat([start[role].flatten() for role in roles]).norm()
        ctx.diagnostics["encoder_change"] = float(change / before)


def permuted(tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The same entries in random order."""
    order = torch.randperm(tensor.numel(), generator=generator)
    return tensor.flatten()[order].view(tensor.shape)
