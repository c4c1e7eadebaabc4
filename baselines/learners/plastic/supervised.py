"""Learning supervised lifetimes: gradient descent through whole ones, and a policy that lives them step by step."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tlbench.baselines.learners.plastic.networks import Network, begun
from tlbench.baselines.learners.roles import check_finite, copied, load_roles
from tlbench.protocol.errors import BudgetExhausted
from tlbench.protocol.interface import Array, BudgetedTask, Params

TINY = 1e-7
"""Smallest probability whose logarithm is taken."""


class MemoryPolicy:
    """A network living lifetimes step by step, without gradients; its state is the network's memory.

    Args:
        network: The network; it may go on learning.
    """

    def __init__(self, network: Network) -> None:
        self.network = network

    def act(self, obs: Array, state: Any, first: NDArray[np.bool_]) -> tuple[Array, Any]:
        """Outputs ``[lanes, d]`` for inputs ``[lanes, ...]``, and the memory after them."""
        with torch.no_grad():
            x = torch.as_tensor(np.asarray(obs, dtype=np.float32))
            outputs, state = self.network.step(x, begun(self.network, state, torch.as_tensor(first)))
            return outputs.numpy(), state

    def frozen(self) -> MemoryPolicy:
        """A copy that learning does not change."""
        return MemoryPolicy(copy.deepcopy(self.network).requires_grad_(False))


def loss_of(outputs: torch.Tensor, targets: torch.Tensor, mask: torch.Tensor, labels: bool) -> torch.Tensor:
    """The mean over the steps that count of the squared error (summed over a pattern) or of minus the log-likelihood.

    Args:
        outputs: ``[T, B, d]``.
        targets: ``[T, B, d]``; one-hot for labels.
        mask: ``[T, B]``, where it counts.
        labels: Whether outputs are probabilities of labels.
    """
    wrong = -targets * outputs.clamp_min(TINY).log() if labels else (outputs - targets).square()
    weights = mask.to(outputs.dtype)
    return (wrong.sum(2) * weights).sum() / weights.sum()


class SupervisedAgent:
    """A network for lifetimes with Adam.

    Args:
        network: The network, on the CPU.
        labels: Whether its outputs are probabilities of labels.
        learning_rate: Adam's learning rate.
        lifetimes: Lifetimes per gradient step.
        max_grad_norm: Largest norm of a gradient.
    """

    def __init__(
        self, network: Network, labels: bool, learning_rate: float, lifetimes: int, max_grad_norm: float
    ) -> None:
        self.network = network
        self.policy = MemoryPolicy(network)
        self.gradient_steps = 0
        self._labels = labels
        self._learning_rate = learning_rate
        self._lifetimes = lifetimes
        self._max_grad_norm = max_grad_norm
        self._roles = network.roles()
        self._optimizer = self._fresh_optimizer()

    def train(self, task: BudgetedTask) -> None:
        """Publish the policy and learn until the budget ends.

        Raises:
            DivergedError: If a parameter is no longer finite.
        """
        task.publish(self.policy)
        check_finite(self._roles, self.gradient_steps)
        try:
            for batch in task.episodes(min(self._lifetimes, task.budget)):
                self.learn(batch)
        except BudgetExhausted:
            pass
        check_finite(self._roles, self.gradient_steps)

    def learn(self, batch: Mapping[str, Array]) -> float:
        """One gradient step on lifetimes ``[T, n, ...]``; returns the loss (NaN if every role is frozen)."""
        live = [p for p in self._roles.values() if p.requires_grad]
        if not live:
            return float("nan")
        inputs, targets = (torch.as_tensor(np.asarray(batch[name], np.float32)) for name in ("inputs", "targets"))
        loss = loss_of(self.network(inputs), targets, torch.as_tensor(batch["mask"]), self._labels)
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(live, self._max_grad_norm)
        self._optimizer.step()
        self.gradient_steps += 1
        if self.gradient_steps % 100 == 0:
            check_finite(self._roles, self.gradient_steps)
        return loss.item()

    def params(self) -> Params:
        """A copy of all parameters by role."""
        return copied(self._roles)

    def load(self, params: Params, frozen: Sequence[str] = ()) -> None:
        """Set parameters by role and fix which are frozen; the optimiser starts afresh, without moments.

        Raises:
            KeyError: If a role is unknown.
            ValueError: If a shape differs.
        """
        load_roles(self._roles, params, frozen)
        self._optimizer = self._fresh_optimizer()

    def _fresh_optimizer(self) -> torch.optim.Adam:
        return torch.optim.Adam(self._roles.values(), lr=self._learning_rate, fused=True)
