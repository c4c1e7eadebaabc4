"""SB3's DQN update of a small MLP, in NumPy, on storage that it shares with the torch parameters and optimiser."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tlbench.baselines.learners.backprop import TrainedMLP
from tlbench.baselines.learners.flat_adam import FLUSH_EVERY, FlatAdam
from tlbench.baselines.learners.networks import Activation, Float32, layer_views, mlp

ROWS_AT_ONCE = 4096
"""Transitions whose targets are computed in one product; bounds memory."""


class NumpyUpdate:
    """Minibatch steps on a Q-network: targets, Huber gradient, clipping by norm, Adam; as in SB3's ``DQN.train``.

    Frozen parameters (``requires_grad`` false) have no gradient, no moments and no share in the gradient's norm.

    Args:
        linears: The Q-network's layers, on the CPU.
        target_linears: The target network's layers.
        activation: The activation between layers.
        optimizer: torch's Adam over the trained parameters, without weight decay or AMSGrad.
    """

    def __init__(
        self,
        linears: Sequence[nn.Linear],
        target_linears: Sequence[nn.Linear],
        activation: Activation,
        optimizer: torch.optim.Optimizer,
    ) -> None:
        self._linears, self._target_linears, self._activation = linears, target_linears, activation
        self._adam = FlatAdam([p for m in linears for p in (m.weight, m.bias) if p.requires_grad], optimizer)

    def holds(self, optimizer: torch.optim.Optimizer) -> bool:
        """Whether the trained parameters still live here (loading, copying and moving a model take them away)."""
        return self._adam.holds(optimizer)

    def run(
        self,
        obs: Float32,
        actions: NDArray[np.int64],
        rewards: Float32,
        next_obs: Float32,
        ended: Float32,
        gamma: float,
        max_grad_norm: float,
    ) -> None:
        """Take one step per minibatch, in order; the target network is the same for all.

        Args:
            obs: ``[K, B, d]``.
            actions: ``[K, B]``.
            rewards: ``[K, B]``.
            next_obs: ``[K, B, d]``.
            ended: ``[K, B]``, 1 where the episode terminated.
            gamma: The discount.
            max_grad_norm: Gradients are scaled down to this norm.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # divergence shows in the parameters
            self._run(obs, actions, rewards, next_obs, ended, gamma, max_grad_norm)

    def _run(
        self,
        obs: Float32,
        actions: NDArray[np.int64],
        rewards: Float32,
        next_obs: Float32,
        ended: Float32,
        gamma: float,
        max_grad_norm: float,
    ) -> None:
        steps, batch = actions.shape
        targets = self._targets(rewards.ravel(), next_obs.reshape(steps * batch, -1), ended.ravel(), gamma)
        network = TrainedMLP(self._linears, self._activation, self._adam.grads)
        rows = np.arange(batch)
        for step, (x, chosen, wanted) in enumerate(zip(obs, actions, targets.reshape(steps, batch), strict=True)):
            inputs, q = network.forward(x)
            error = q[rows, chosen]
            error -= wanted
            np.clip(error, -1.0, 1.0, out=error)  # the Huber loss's derivative
            error /= batch
            delta = np.zeros_like(q)
            delta[rows, chosen] = error
            network.backward(inputs, delta)
            self._adam.step(max_grad_norm)
            if step % FLUSH_EVERY == 0:
                self._adam.flush()
        self._adam.tell()

    def _targets(self, rewards: Float32, next_obs: Float32, ended: Float32, gamma: float) -> Float32:
        layers = layer_views(self._target_linears)
        blocks = range(0, len(next_obs), ROWS_AT_ONCE)
        best = [mlp(next_obs[i : i + ROWS_AT_ONCE], layers, self._activation).max(axis=1) for i in blocks]
        targets: Float32 = rewards + (1 - ended) * gamma * np.concatenate(best)
        return targets
