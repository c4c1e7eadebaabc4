"""Planning in the abstract space: Q of every action, averaged over depths."""

from __future__ import annotations

import torch

from tlbench.baselines.learners.crar.networks import Networks

BRANCHES = 2
"""Actions that are followed below the root: those with the highest Q."""


def plan(networks: Networks, x: torch.Tensor, depth: int) -> torch.Tensor:
    """Q of every action, the mean of the estimates at depths 0 to ``depth``.

    The estimate at depth 0 is Q itself; at depth d it follows every action at the root and the best two below it for
    d steps of the model, and takes Q where it ends (section 5 of the CRAR paper).

    Args:
        networks: The model.
        x: Abstract states ``[batch, ...]``.
        depth: How far to look ahead.

    Returns:
        ``[batch, actions]``.
    """
    values = networks.values(x)
    estimate = values
    levels: list[tuple[torch.Tensor, torch.Tensor]] = []
    for level in range(depth):
        branches = networks.actions if level == 0 else min(BRANCHES, networks.actions)
        actions = values.topk(branches, dim=1).indices if level else _all_actions(values)
        x, rewards, discounts = networks.step(x.repeat_interleave(branches, dim=0), actions.flatten())
        levels.append((rewards.view(-1, branches), discounts.view(-1, branches)))
        values = networks.values(x)
        estimate = estimate + _back_up(levels, values.amax(dim=1))
    return estimate / (depth + 1)


def _all_actions(values: torch.Tensor) -> torch.Tensor:
    return torch.arange(values.shape[1], device=values.device).expand(values.shape)


def _back_up(levels: list[tuple[torch.Tensor, torch.Tensor]], leaves: torch.Tensor) -> torch.Tensor:
    """From the values of the leaves to Q of the root's actions, ``[batch, actions]``."""
    for rewards, discounts in reversed(levels):
        q = rewards + discounts * leaves.view(rewards.shape)
        leaves = q.amax(dim=1)
    return q
