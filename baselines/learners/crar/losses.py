"""CRAR's losses, all from one encoding of the states and of their successors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch

from tlbench.baselines.learners.crar.networks import Networks

CONCENTRATION = 5.0
"""How fast the disambiguation losses fall with distance (C_d)."""


class Transitions(NamedTuple):
    """A minibatch: observations, actions ``[batch]``, rewards, whether the episode ended, next observations."""

    obs: torch.Tensor
    actions: torch.Tensor
    rewards: torch.Tensor
    ended: torch.Tensor
    next_obs: torch.Tensor


@dataclass(frozen=True)
class Weights:
    """Factors of the losses; a loss with factor 0 adds nothing.

    Attributes:
        transition: Of the squared error of predicted abstract states.
        reward: Of the squared error of rewards.
        discount: Of the squared error of discounts.
        q: Of the squared error of Q.
        disambiguation: Of L_d1, which parts abstract states of random pairs.
        succession: Of L'_d1, which parts abstract states of successive states.
        bound: Of L_d2, which keeps abstract states in [-1, 1].
    """

    transition: float = 1.0
    reward: float = 1.0
    discount: float = 1.0
    q: float = 1.0
    disambiguation: float = 1.0
    succession: float = 1.0
    bound: float = 1.0

    def without_structure(self) -> Weights:
        """Without the three losses that shape the abstract space."""
        return Weights(self.transition, self.reward, self.discount, self.q, 0.0, 0.0, 0.0)


NAMES = ("transition", "reward", "discount", "q", "disambiguation", "succession", "bound")


def losses(
    networks: Networks, target: Networks, batch: Transitions, discount: float, double: bool
) -> dict[str, torch.Tensor]:
    """Every loss of a minibatch, unweighted.

    Args:
        networks: What is trained.
        target: Where the values of next states come from.
        batch: The minibatch.
        discount: The task's discount.
        double: Choose next actions by the trained Q (double Q-learning).
    """
    x, x_next = networks.encode(torch.cat((batch.obs, batch.next_obs))).chunk(2)
    goes_on = 1 - batch.ended
    predicted, rewards, discounts = networks.step(x, batch.actions)
    with torch.no_grad():
        x_target = target.encode(batch.next_obs)
        next_values = target.values(x_target)
        chosen = networks.values(x_next) if double else next_values
        best = next_values.gather(1, chosen.argmax(dim=1, keepdim=True))[:, 0]
        wanted = batch.rewards + discount * goes_on * best
    taken = networks.values(x).gather(1, batch.actions[:, None])[:, 0]
    errors = (predicted - x_next).flatten(1).square().mean(dim=1)
    return {
        "transition": (errors * goes_on).mean(),
        "reward": (rewards - batch.rewards).square().mean(),
        "discount": (discounts - discount * goes_on).square().mean(),
        "q": (taken - wanted).square().mean(),
        "disambiguation": closeness(x, x.roll(1, dims=0)),
        "succession": closeness(x, x_next),
        "bound": (x.square().amax(dim=1) - 1).clamp(0, 100).mean(),  # per cell, where there are planes
    }


def closeness(x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Mean of exp(-5 times the distance) over the pairs of two batches of abstract states."""
    distances = ((x - other).flatten(1).square().sum(dim=1) + 1e-12).sqrt()  # the root has no slope at 0
    return (-CONCENTRATION * distances).exp().mean()
