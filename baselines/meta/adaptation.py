"""The inner loop, and what the outer loop sees of it: policies after adaptation, of all tasks in one computation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.func import grad, vmap

from tlbench.baselines.meta.episodes import Batch
from tlbench.baselines.meta.policy import FunctionalPolicy


class InnerLoop:
    """Gradient steps on one task's episodes.

    Args:
        policy: The policy.
        rate: Step size.
        first_order: Whether steps count as constants when the result is differentiated.
    """

    def __init__(self, policy: FunctionalPolicy, rate: float, first_order: bool = False) -> None:
        self.policy = policy
        self._rate = rate
        self._first_order = first_order
        self._slope: Callable[[torch.Tensor, Batch], torch.Tensor] = grad(self.objective)

    def objective(self, theta: torch.Tensor, batch: Batch) -> torch.Tensor:
        """The policy gradient's objective: mean of log-probability times advantage."""
        log_prob = self.policy.log_prob(self.policy.outputs(theta, batch.obs), batch.actions)
        return (batch.weights * log_prob * batch.advantages).sum()

    def step(self, theta: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Parameters ``[D]`` after a step up the objective."""
        slope = self._slope(theta, batch)
        return theta + self._rate * (slope.detach() if self._first_order else slope)

    def adapt(self, theta: torch.Tensor, batches: Sequence[Batch]) -> torch.Tensor:
        """Parameters ``[D]`` after a step on each of the batches, in order."""
        for batch in batches:
            theta = self.step(theta, batch)
        return theta


class MetaObjective:
    """What the outer step raises: the surrogate return of adapted policies, as a function of where they start.

    Args:
        loop: The inner loop.
        practice: For each inner step, the tasks' batches ``[M, N, ...]`` that it was taken on.
        tested: Batches ``[M, N, ...]`` played with the adapted policies.
        theta: The start ``[D]`` that the batches belong to.
    """

    def __init__(self, loop: InnerLoop, practice: Sequence[Batch], tested: Batch, theta: torch.Tensor) -> None:
        self._loop = loop
        self._practice = tuple(practice)
        self._tested = tested
        self._old = self.outputs(theta).detach()
        self._old_log_prob = loop.policy.log_prob(self._old, tested.actions)

    def outputs(self, theta: torch.Tensor) -> torch.Tensor:
        """Action distributions ``[M, N, k]`` of the policies adapted from ``theta``."""

        def of_task(start: torch.Tensor, practice: tuple[Batch, ...], obs: torch.Tensor) -> torch.Tensor:
            return self._loop.policy.outputs(self._loop.adapt(start, practice), obs)

        found: torch.Tensor = vmap(of_task, in_dims=(None, 0, 0))(theta, self._practice, self._tested.obs)
        return found

    def surrogate(self, outputs: torch.Tensor) -> torch.Tensor:
        """Mean over tasks and steps of the likelihood ratio times the advantage."""
        ratio = torch.exp(self._loop.policy.log_prob(outputs, self._tested.actions) - self._old_log_prob)
        return self._mean(ratio * self._tested.advantages)

    def divergence(self, outputs: torch.Tensor) -> torch.Tensor:
        """Mean KL divergence of these action distributions from those that played."""
        return self._mean(self._loop.policy.kl(self._old, outputs))

    def _mean(self, values: torch.Tensor) -> torch.Tensor:
        return (self._tested.weights * values).sum(dim=1).mean()
