"""Forward and backward pass of a small MLP in NumPy, on torch's own parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from tlbench.baselines.learners.networks import IN_PLACE, Activation, Float32, layer_views, mlp


class TrainedMLP:
    """Linear layers with an activation between them, none at the end.

    Args:
        linears: The layers, on the CPU; their storage must stay where it is.
        activation: The activation.
        grads: Where a parameter's gradient is written; those without a place are frozen.
    """

    def __init__(
        self, linears: Sequence[nn.Linear], activation: Activation, grads: Mapping[torch.Tensor, Float32]
    ) -> None:
        self._layers = layer_views(linears)
        self._activation = activation
        self._grads = [(grads.get(m.weight), grads.get(m.bias)) for m in linears]
        trained = (i for i, pair in enumerate(self._grads) if any(grad is not None for grad in pair))
        self._lowest = next(trained, len(linears))

    def forward(self, x: Float32) -> tuple[list[Float32], Float32]:
        """Every layer's input, ``[B, in]`` each, and the outputs, ``[B, out]``."""
        inputs = [x]
        for weight, bias in self._layers[:-1]:
            h: Float32 = inputs[-1] @ weight
            h += bias
            IN_PLACE[self._activation](h)
            inputs.append(h)
        return inputs, mlp(inputs[-1], self._layers[-1:], self._activation)

    def backward(self, inputs: Sequence[Float32], delta: Float32) -> None:
        """Write the parameters' gradients.

        Args:
            inputs: As :meth:`forward` gave them.
            delta: The loss's gradient by the outputs, ``[B, out]``.
        """
        for i in range(len(self._layers) - 1, self._lowest - 1, -1):
            weight, bias = self._grads[i]
            if weight is not None:
                np.matmul(delta.T, inputs[i], out=weight)
            if bias is not None:
                np.add.reduce(delta, axis=0, out=bias)
            if i > self._lowest:
                delta = self._below(i, inputs[i], delta)

    def input_gradient(self, inputs: Sequence[Float32], delta: Float32) -> Float32:
        """The loss's gradient by the input, ``[B, in]``; see :meth:`backward`."""
        for i in range(len(self._layers) - 1, 0, -1):
            delta = self._below(i, inputs[i], delta)
        return delta @ self._layers[0][0].T

    def _below(self, i: int, output: Float32, delta: Float32) -> Float32:
        below: Float32 = delta @ self._layers[i][0].T
        below *= output > 0 if self._activation == "relu" else 1 - output * output
        return below
