"""SPAM: the start of target training is the expert's network, compressed by an autoencoder.

Document: Lee & Kim, "SPAM: Biology-Inspired Starting Point Method for Transfer Learning Using Autoencoder Compression",
Algorithm 1.

In words: train an expert on the source; flatten its weights into one vector; train an autoencoder with layers of 256
and 128 units to reproduce that vector; decode; load the decoded vector as the start of training on the target.

The document leaves open, and this module chooses (every choice but the first is a setting):

* Which weights: those of the policy network. The exploration noise ``log_std`` is no network weight and starts fresh
  (a ReLU would force it to 0 or more); a critic, which the document's learner doesn't have, starts fresh unless
  ``include_value``.
* Output: ReLU. The document doesn't say so, but its zero ratio of 0.61 to 0.62 needs a unit that gives exact zeros:
  about half of all weights are negative, and some positive ones end dead. ``spam-linear`` has no ReLU there.
* Hidden activation tanh, Glorot initialisation, Adam with learning rate 1e-3, 200 steps (the loss is flat after about
  100), one vector (the run's own expert), loss the plain L2 norm.
* Head mismatch (CartPole's two logits, a pendulum's one mean): decoded tensors whose role and shape exist on the
  target are loaded, all others start fresh. ``reset_head`` leaves the head fresh even where it fits.
* Sparsity ratio: exact zeros don't survive a few Adam steps, so the ratio as defined (section 4.1.3) is reported beside
  one that counts weights below ``zero_tol`` in magnitude.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from tlbench.protocol.interface import (
    BudgetedTask,
    Config,
    Context,
    Expert,
    JSONValue,
    Knowledge,
    Params,
    first_source_only,
)
from tlbench.protocol.starting_point import StartingPointMethod, carried

ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU, "linear": nn.Identity}


class SpamConfig(Config):
    """Settings of SPAM."""

    layers: tuple[int, ...] = Field((256, 128), min_length=1, description="Units of the hidden layers.")
    activation: Literal["tanh", "relu", "linear"] = Field("tanh", description="Hidden activation.")
    output: Literal["relu", "linear"] = Field("relu", description="Activation of the decoded weights.")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's learning rate.")
    steps: int = Field(200, ge=1, description="Optimiser steps; the loss is flat after about 100.")
    zero_tol: float = Field(0.1, ge=0, description="Magnitude below which a weight counts as zero (second ratio).")
    include_value: bool = Field(False, description="Compress a critic's weights too.")
    reset_head: bool = Field(False, description="Start the head fresh even where it fits.")


class Spam(StartingPointMethod):
    """Starts from the expert's weights, compressed and decoded by an autoencoder (SPAM)."""

    Config = SpamConfig
    id = "spam-{learner}"
    variants: ClassVar[dict[str, dict[str, JSONValue]]] = {
        "spam-{learner}": {},
        "spam-linear-{learner}": {"output": "linear"},
    }
    aliases: ClassVar[dict[str, str]] = {"spam": "spam-vpg", "spam-linear": "spam-linear-vpg"}

    @first_source_only
    def learn_source(
        self, sources: Sequence[BudgetedTask], experts: Sequence[Expert], ctx: Context
    ) -> Knowledge | None:
        """Compress the weights of the first source's expert: train the autoencoder on their vector, decode."""
        del sources
        weights = {role: tensor for role, tensor in experts[0].params.items() if self._compressed(role)}
        vector = torch.cat([tensor.detach().cpu().flatten() for tensor in weights.values()])
        decoded = compress(vector, self.config, ctx.seed)
        pieces = torch.split(decoded, [tensor.numel() for tensor in weights.values()])
        tensors = {role: piece.view(weights[role].shape).clone() for role, piece in zip(weights, pieces, strict=True)}
        diagnostics: dict[str, JSONValue] = {
            "zero_ratio": float((decoded == 0).float().mean()),
            "reconstruction_error": float((decoded - vector).norm() / vector.norm()),
        }
        return Knowledge(tensors, diagnostics=diagnostics)

    def transform(self, knowledge: Knowledge, fresh: Params, ctx: Context) -> tuple[Params, Sequence[str]]:
        """Load the decoded tensors that fit."""
        del ctx
        start = carried(knowledge.tensors, fresh)
        if self.config.reset_head:
            start = {role: tensor for role, tensor in start.items() if ".head." not in f".{role}"}
        return start, ()

    def after(self, start: Params, final: Params, ctx: Context) -> None:
        """Sparsity ratios: zeros after target training over zeros at its start, exact and with tolerance.

        Counted over the compressed roles, as they were on the target; ``None`` if there was no zero at the start.
        """
        roles = [role for role in start if self._compressed(role)]
        before = torch.cat([start[role].flatten() for role in roles])
        later = torch.cat([final[role].flatten() for role in roles])
        zeros, tolerance = int((before == 0).sum()), self.config.zero_tol
        kept, near = int((later == 0).sum()), int((later[before == 0].abs() < tolerance).sum())
        ctx.diagnostics["sparsity_ratio"] = kept / zeros if zeros else None
        ctx.diagnostics["sparsity_ratio_tolerant"] = near / zeros if zeros else None
        ctx.diagnostics["sparsity_tolerance"] = tolerance

    def _compressed(self, role: str) -> bool:
        return role != "log_std" and (self.config.include_value or not role.startswith("value."))


def compress(vector: torch.Tensor, config: SpamConfig, seed: int) -> torch.Tensor:
    """Train the autoencoder on one vector and decode it.

    Args:
        vector: The flattened weights, ``[d]``.
        config: Layers, activations, optimiser.
        seed: Seed of the initial weights.

    Returns:
        The decoded vector, ``[d]``.
    """
    generator = torch.Generator().manual_seed(seed)
    sizes = [len(vector), *config.layers, len(vector)]
    modules: list[nn.Module] = []
    for i, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        linear = nn.Linear(fan_in, fan_out)
        nn.init.xavier_uniform_(linear.weight, generator=generator)
        nn.init.zeros_(linear.bias)
        last = i == len(sizes) - 2
        modules += [linear, ACTIVATIONS[config.output if last else config.activation]()]
    network = nn.Sequential(*modules)
    optimiser = torch.optim.Adam(network.parameters(), lr=config.learning_rate, fused=True)
    for _ in range(config.steps):
        optimiser.zero_grad()
        loss = torch.linalg.vector_norm(network(vector) - vector)
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        decoded: torch.Tensor = network(vector)
    return decoded
