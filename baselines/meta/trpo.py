"""One step of trust region policy optimisation (Schulman et al. 2015) for any objective that goes through outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch.func import grad, grad_and_value, jvp, vjp

Product = Callable[[torch.Tensor], torch.Tensor]


class Objective(Protocol):
    """Something to be raised while outputs stay near what they are now."""

    def outputs(self, theta: torch.Tensor) -> torch.Tensor:
        """Outputs at parameters ``[D]``."""

    def surrogate(self, outputs: torch.Tensor) -> torch.Tensor:
        """What is to be raised, a scalar."""

    def divergence(self, outputs: torch.Tensor) -> torch.Tensor:
        """How far outputs are from the present ones, a scalar with minimum 0 there."""


class Step(NamedTuple):
    """Outcome of a step.

    Attributes:
        theta: New parameters ``[D]``; the old ones if no length of step was good.
        gain: By how much the surrogate rose.
        divergence: How far the outputs moved.
        accepted: Whether a step was taken.
    """

    theta: torch.Tensor
    gain: float
    divergence: float
    accepted: bool


def linked(objective: Objective, theta: torch.Tensor) -> tuple[torch.Tensor, Product]:
    """The outputs at ``theta``, and what takes a gradient in them to one in the parameters ``[D]``."""
    now, pull_back, *_ = vjp(objective.outputs, theta)
    return now.detach(), lambda slope: pull_back(slope)[0].detach()


def curvature(objective: Objective, theta: torch.Tensor) -> Product:
    """Products ``[D] -> [D]`` with the Hessian of the divergence at ``theta``.

    With J the derivative of the outputs and F the divergence's Hessian in them, it is J' F J, exactly: the term with
    the outputs' second derivative has the divergence's slope as a factor, and that is 0 at its minimum.
    """
    now, pull_back = linked(objective, theta)
    slope = grad(objective.divergence)

    def product(vector: torch.Tensor) -> torch.Tensor:
        change = jvp(objective.outputs, (theta,), (vector,))[1]
        return pull_back(jvp(slope, (now,), (change,))[1])

    return product


def conjugate_gradient(
    product: Product, wanted: torch.Tensor, iterations: int, tolerance: float = 1e-5
) -> torch.Tensor:
    """Solve A x = b for a symmetric positive definite A, from x = 0.

    Args:
        product: Products with A.
        wanted: The right-hand side b, ``[D]``.
        iterations: At most so many products.
        tolerance: The residual's norm at which it ends, relative to b's.
    """
    x, residual = torch.zeros_like(wanted), wanted
    direction, squared = residual, residual @ residual
    least = tolerance**2 * squared
    for _ in range(iterations):
        if squared <= least:
            break
        image = product(direction)
        length = squared / (direction @ image)
        x, residual = x + length * direction, residual - length * image
        before, squared = squared, residual @ residual
        direction = residual + squared / before * direction
    return x


def trust_region_step(
    objective: Objective, theta: torch.Tensor, limit: float, iterations: int, damping: float, backtracks: int
) -> Step:
    """Go along the natural gradient as far as the limit allows, then back until it is held and the surrogate rises.

    Args:
        objective: The objective.
        theta: Parameters ``[D]``.
        limit: Bound on the divergence.
        iterations: Products spent on the direction.
        damping: Multiple of the identity that is added to the curvature.
        backtracks: Lengths tried, each 0.8 times the one before.
    """
    now, pull_back = linked(objective, theta)
    slope, before = grad_and_value(objective.surrogate)(now)
    gradient = pull_back(slope)
    hessian = curvature(objective, theta)

    def damped(vector: torch.Tensor) -> torch.Tensor:
        return hessian(vector) + damping * vector

    direction = conjugate_gradient(damped, gradient, iterations)
    reach = torch.sqrt(2 * limit / (direction @ damped(direction)))
    with torch.no_grad():
        for number in range(backtracks):
            candidate = theta + 0.8**number * reach * direction
            outputs = objective.outputs(candidate)
            gain, moved = float(objective.surrogate(outputs) - before), float(objective.divergence(outputs))
            if gain > 0 and moved <= limit:  # false where one is not a number
                return Step(candidate, gain, moved, True)
    return Step(theta, 0.0, 0.0, False)
