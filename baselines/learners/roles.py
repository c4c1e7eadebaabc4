"""Parameters by role: copying, loading and freezing them, whatever network they belong to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from tlbench.baselines.learners.networks import all_finite
from tlbench.protocol.errors import DivergedError
from tlbench.protocol.interface import Params


def copied(roles: Mapping[str, torch.Tensor]) -> Params:
    """A copy of all parameters by role, on the CPU."""
    return {role: p.detach().cpu().clone() for role, p in roles.items()}


def load_roles(roles: Mapping[str, torch.Tensor], params: Params, frozen: Sequence[str]) -> None:
    """Set parameters by role, and let gradients reach all but the frozen ones.

    Args:
        roles: The live parameters.
        params: New values for some or all roles.
        frozen: Roles that get no gradient, whether in ``params`` or not.

    Raises:
        KeyError: If a role is unknown.
        ValueError: If a shape differs.
    """
    for role in (*params, *frozen):
        if role not in roles:
            raise KeyError(f"unknown role {role!r}; there are {', '.join(roles)}")
    for role, tensor in params.items():
        if tensor.shape != roles[role].shape:
            raise ValueError(f"the shape of {role} is {tuple(tensor.shape)}, not {tuple(roles[role].shape)}")
    with torch.no_grad():
        for role, tensor in params.items():
            roles[role].copy_(tensor)
    for role, parameter in roles.items():
        parameter.requires_grad_(role not in frozen)
        parameter.grad = None


def check_finite(roles: Mapping[str, torch.Tensor], gradient_steps: int) -> None:
    """Raise ``DivergedError`` if a parameter is not finite."""
    if not all_finite(list(roles.values())):
        role = next(r for r, p in roles.items() if not all_finite([p]))
        raise DivergedError(f"{role} is not finite after {gradient_steps} gradient steps")
