"""Adam in NumPy, on flat storage that it shares with torch's parameters and optimiser."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np
import torch

from tlbench.baselines.learners.networks import Float32

FLUSH_EVERY = 64
"""Steps between clean-ups of Adam's moments: those of units without gradient decay into denormals, which are slow."""

FLUSH_BELOW = 1e-30
"""Moments of less than this magnitude become 0; they move no parameter."""


class FlatAdam:
    """torch's Adam without weight decay or AMSGrad, for parameters whose gradients are computed in NumPy.

    The parameters and Adam's moments move into flat arrays; the torch tensors become views of them, so that SB3 sees
    (and saves) what is computed here.

    Args:
        parameters: What is trained, on the CPU.
        optimizer: torch's Adam over them; its learning rate is read at every step.

    Attributes:
        theta: All parameters, flat.
        grads: Where a parameter's gradient is written.
        steps: Steps taken so far.
    """

    def __init__(self, parameters: Sequence[torch.Tensor], optimizer: torch.optim.Optimizer) -> None:
        self._parameters, self._optimizer = parameters, optimizer
        self.theta = moved_to_flat(parameters)
        self._mean, self._square, self._grad, self._scratch = (np.zeros_like(self.theta) for _ in range(4))
        self.grads: dict[torch.Tensor, Float32] = {}
        self.steps = start = 0
        for parameter in parameters:
            piece = slice(start, start + parameter.numel())
            start = piece.stop
            shape = tuple(parameter.shape)
            moments = [torch.from_numpy(flat[piece].reshape(shape)) for flat in (self._mean, self._square)]
            state = optimizer.state[parameter]
            if state:
                moments[0].copy_(state["exp_avg"])
                moments[1].copy_(state["exp_avg_sq"])
                self.steps = int(state["step"])
            state.update(step=torch.tensor(float(self.steps)), exp_avg=moments[0], exp_avg_sq=moments[1])
            self.grads[parameter] = self._grad[piece].reshape(shape)

    def holds(self, optimizer: torch.optim.Optimizer) -> bool:
        """Whether the parameters still live here (loading, copying and moving a model take them away)."""
        base, item = self.theta.__array_interface__["data"][0], self.theta.itemsize
        for parameter in self._parameters:
            if parameter.data_ptr() != base:
                return False
            base += item * parameter.numel()
        return optimizer is self._optimizer

    def step(self, max_grad_norm: float | None = None) -> None:
        """Move the parameters along the gradients that were written.

        Args:
            max_grad_norm: Gradients are scaled down to this norm, all together; not at all if none.
        """
        self.steps += 1
        group = self._optimizer.param_groups[0]
        rate, eps, (beta1, beta2) = float(group["lr"]), float(group["eps"]), group["betas"]
        grad, mean, square, scratch = self._grad, self._mean, self._square, self._scratch
        if max_grad_norm is not None:
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
        scratch /= sqrt(1 - beta2**self.steps)
        scratch += eps
        np.divide(mean, scratch, out=scratch)
        scratch *= rate / (1 - beta1**self.steps)
        self.theta -= scratch

    def flush(self) -> None:
        """Set moments that have decayed to nothing to 0."""
        for moments in (self._mean, self._square):
            moments[np.abs(moments) < FLUSH_BELOW] = 0

    def tell(self) -> None:
        """Write the number of steps into torch's optimiser."""
        for parameter in self._parameters:
            self._optimizer.state[parameter]["step"].fill_(self.steps)


def moved_to_flat(parameters: Sequence[torch.Tensor]) -> Float32:
    """One array with all parameters, which become views of it."""
    flat = np.zeros(sum(p.numel() for p in parameters), dtype=np.float32)
    start = 0
    for parameter in parameters:
        piece = slice(start, start + parameter.numel())
        start = piece.stop
        view = torch.from_numpy(flat[piece].reshape(tuple(parameter.shape)))
        view.copy_(parameter.detach())
        parameter.data = view
    return flat
