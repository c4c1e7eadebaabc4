"""SB3's DQN update of a small MLP, in NumPy, on storage that it shares with the torch parameters and optimiser."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tlbench.baselines.learners.networks import Activation, Float32, layer_views, mlp

ROWS_AT_ONCE = 4096
"""Transitions whose targets are computed in one product; bounds memory."""

FLUSH_EVERY = 64
"""Steps between clean-ups of Adam's moments: those of units without gradient decay into denormals, which are slow."""

FLUSH_BELOW = 1e-30
"""Moments of less than this magnitude become 0; they move no parameter."""


class NumpyUpdate:
    """Minibatch steps on a Q-network: targets, Huber gradient, clipping by norm, Adam; as in SB3's ``DQN.train``.

    The trained parameters and Adam's moments move into flat arrays; the torch tensors become views of them, so that
    SB3 sees (and saves) what is computed here. Frozen parameters (``requires_grad`` false) stay where they are: they
    have no gradient, no moments and no share in the gradient's norm.

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
        self.optimizer = optimizer
        self._linears, self._target_linears, self._activation = linears, target_linears, activation
        self._trained = [p for m in linears for p in (m.weight, m.bias) if p.requires_grad]
        size = sum(p.numel() for p in self._trained)
        self._theta, self._mean, self._square, self._grad = (np.zeros(size, dtype=np.float32) for _ in range(4))
        self._scratch = np.zeros(size, dtype=np.float32)
        grads: dict[torch.Tensor, Float32] = {}
        start, self._steps = 0, 0
        for parameter in self._trained:
            piece = slice(start, start + parameter.numel())
            start = piece.stop
            shape = tuple(parameter.shape)
            views = [torch.from_numpy(flat[piece].reshape(shape)) for flat in (self._theta, self._mean, self._square)]
            views[0].copy_(parameter.detach())
            parameter.data = views[0]
            state = optimizer.state[parameter]
            if state:
                views[1].copy_(state["exp_avg"])
                views[2].copy_(state["exp_avg_sq"])
                self._steps = int(state["step"])
            state.update(step=torch.tensor(float(self._steps)), exp_avg=views[1], exp_avg_sq=views[2])
            grads[parameter] = self._grad[piece].reshape(shape)
        self._grads = [(grads.get(m.weight), grads.get(m.bias)) for m in linears]
        self._lowest = next((i for i, pair in enumerate(self._grads) if any(g is not None for g in pair)), len(linears))

    def holds(self, optimizer: torch.optim.Optimizer) -> bool:
        """Whether the trained parameters still live here (loading, copying and moving a model take them away)."""
        base, item = self._theta.__array_interface__["data"][0], self._theta.itemsize
        for parameter in self._trained:
            if parameter.data_ptr() != base:
                return False
            base += item * parameter.numel()
        return optimizer is self.optimizer

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
        layers = layer_views(self._linears)
        rows = np.arange(batch)
        for step, (x, chosen, wanted) in enumerate(zip(obs, actions, targets.reshape(steps, batch), strict=True)):
            inputs = [x]
            for layer in layers[:-1]:
                inputs.append(mlp_layer(inputs[-1], layer, self._activation))
            q = mlp(inputs[-1], layers[-1:], self._activation)
            error = q[rows, chosen]
            error -= wanted
            np.clip(error, -1.0, 1.0, out=error)  # the Huber loss's derivative
            error /= batch
            delta = np.zeros_like(q)
            delta[rows, chosen] = error
            self._backward(inputs, delta)
            self._adam(self._steps + step + 1, max_grad_norm)
            if step % FLUSH_EVERY == 0:
                for moments in (self._mean, self._square):
                    moments[np.abs(moments) < FLUSH_BELOW] = 0
        self._steps += steps
        for parameter in self._trained:
            self.optimizer.state[parameter]["step"].fill_(self._steps)

    def _targets(self, rewards: Float32, next_obs: Float32, ended: Float32, gamma: float) -> Float32:
        layers = layer_views(self._target_linears)
        blocks = range(0, len(next_obs), ROWS_AT_ONCE)
        best = [mlp(next_obs[i : i + ROWS_AT_ONCE], layers, self._activation).max(axis=1) for i in blocks]
        targets: Float32 = rewards + (1 - ended) * gamma * np.concatenate(best)
        return targets

    def _backward(self, inputs: Sequence[Float32], delta: Float32) -> None:
        for i in range(len(self._linears) - 1, self._lowest - 1, -1):
            weight, bias = self._grads[i]
            if weight is not None:
                np.matmul(delta.T, inputs[i], out=weight)
            if bias is not None:
                np.add.reduce(delta, axis=0, out=bias)
            if i > self._lowest:
                delta = delta @ self._linears[i].weight.detach().numpy()
                delta *= inputs[i] > 0 if self._activation == "relu" else 1 - inputs[i] * inputs[i]

    def _adam(self, step: int, max_grad_norm: float) -> None:
        group = self.optimizer.param_groups[0]
        rate, eps, (beta1, beta2) = float(group["lr"]), float(group["eps"]), group["betas"]
        grad, mean, square, scratch = self._grad, self._mean, self._square, self._scratch
        scale = max_grad_norm / (sqrt(float(grad @ grad)) + 1e-6)
        if scale < 1:
            grad *= scale
        np.subtract(grad, mean, out=scratch)
        scratch *= 1 - beta1
        mean += scratch
        np.multiply(grad, grad, out=scratch)
        scratch *= 1 - beta2
        square *= beta2
        square += scratch
        np.sqrt(square, out=scratch)
        scratch /= sqrt(1 - beta2**step)
        scratch += eps
        np.divide(mean, scratch, out=scratch)
        scratch *= rate / (1 - beta1**step)
        self._theta -= scratch


def mlp_layer(x: Float32, layer: tuple[Float32, Float32], activation: Activation) -> Float32:
    """One hidden layer with its activation, ``[B, out]`` for inputs ``[B, in]``."""
    h = x @ layer[0]
    h += layer[1]
    if activation == "relu":
        np.maximum(h, 0.0, out=h)
    else:
        np.tanh(h, out=h)
    return h
