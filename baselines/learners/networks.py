"""NumPy forward pass of small MLPs: for acting on live torch parameters, and for frozen evaluation policies.

A torch call on a few rows costs more in dispatch than in arithmetic; the same products in NumPy take a fifth of the
time. The tests hold both against SB3's own computation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Self

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import nn

from tlbench.protocol.errors import DivergedError
from tlbench.protocol.interface import Array

Activation = Literal["tanh", "relu"]
Float32 = NDArray[np.float32]
Layer = tuple[Float32, Float32]
"""Weight ``[in, out]`` (or ``[S, in, out]``) and bias ``[out]`` (or ``[S, 1, out]``)."""

TORCH_ACTIVATIONS: dict[Activation, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU}


def _tanh(x: Float32) -> None:
    np.tanh(x, out=x)


def _relu(x: Float32) -> None:
    np.maximum(x, 0.0, out=x)


IN_PLACE: dict[Activation, Callable[[Float32], None]] = {"tanh": _tanh, "relu": _relu}
"""Activations that overwrite their argument."""


def linear_layers(*modules: nn.Module) -> list[nn.Linear]:
    """The linear layers of the modules, in order."""
    return [m for module in modules for m in module.modules() if isinstance(m, nn.Linear)]


def layer_views(linears: Sequence[nn.Linear]) -> list[Layer]:
    """Weights ``[in, out]`` and biases as NumPy arrays: zero-copy views on the CPU, copies from another device."""
    return [(m.weight.detach().cpu().numpy().T, m.bias.detach().cpu().numpy()) for m in linears]


def mlp(x: Float32, layers: Sequence[Layer], activation: Activation) -> Float32:
    """An MLP with an activation between its layers, none at the end.

    Args:
        x: Inputs, ``[lanes, in]`` or ``[S, lanes, in]``.
        layers: Weights and biases; stacked ones for a stacked input.
        activation: The activation.

    Returns:
        Outputs, ``[lanes, out]`` or ``[S, lanes, out]``.
    """
    in_place = IN_PLACE[activation]
    for weight, bias in layers[:-1]:
        x = x @ weight
        x += bias
        in_place(x)
    weight, bias = layers[-1]
    x = x @ weight
    x += bias
    return x


class FrozenMLP:
    """A deterministic policy on copied weights; many can be stacked and act in one batch.

    Solo policies go through the same batched products with S = 1, so that a stack's row s equals policy s bit for bit.

    Args:
        layers: Stacked weights ``[S, in, out]`` and biases ``[S, 1, out]``, float32.
        activation: The activation between layers.
        action_space: ``Discrete`` (argmax of the outputs) or a 1-D ``Box`` (the outputs clipped to its bounds).
    """

    def __init__(self, layers: Sequence[Layer], activation: Activation, action_space: spaces.Space[Any]) -> None:
        self._layers = list(layers)
        self._activation = activation
        self._action_space = action_space
        self._stacked = False

    @classmethod
    def from_linears(
        cls, linears: Sequence[nn.Linear], activation: Activation, action_space: spaces.Space[Any]
    ) -> Self:
        """Copy the weights of torch layers."""
        layers = [(w[None].copy(order="C"), b[None, None].copy()) for w, b in layer_views(linears)]
        return cls(layers, activation, action_space)

    def act(self, obs: Array, state: Any, first: NDArray[np.bool_]) -> tuple[Array, Any]:
        """Act deterministically.

        Args:
            obs: ``[lanes, ...]``, flattened; ``[S, lanes, ...]`` for a stack.
            state: Ignored: there is no memory.
            first: Ignored.

        Returns:
            Actions ``[lanes, ...]`` (``[S, lanes, ...]``) and ``None``. Means that are not a number stay so.

        Raises:
            DivergedError: If a discrete action would be chosen from logits that are not a number.
        """
        del state, first
        x = np.asarray(obs, dtype=np.float32)
        x = x.reshape(*x.shape[:2], -1) if self._stacked else x.reshape(1, len(x), -1)
        out = mlp(x, self._layers, self._activation)
        if not self._stacked:
            out = out[0]
        space = self._action_space
        if isinstance(space, spaces.Box):
            return np.clip(out, space.low, space.high).astype(space.dtype, copy=False), None
        if np.isnan(out).any():
            raise DivergedError("the policy's logits are not a number")
        return out.argmax(axis=-1), None

    def frozen(self) -> Self:
        """Itself: it never changes."""
        return self

    @classmethod
    def stack(cls, policies: Sequence[Self]) -> Self:
        """Stack S policies of equal shapes.

        Raises:
            ValueError: If there is none, or shapes, activations or action spaces differ.
        """
        if not policies:
            raise ValueError("nothing to stack")
        head = policies[0]
        if any(p._activation != head._activation or p._action_space != head._action_space for p in policies):
            raise ValueError("policies of different activations or action spaces can't be stacked")
        if any([w.shape for w, _ in p._layers] != [w.shape for w, _ in head._layers] for p in policies):
            raise ValueError("policies of different shapes can't be stacked")
        columns = zip(*(p._layers for p in policies), strict=True)
        layers = [(np.concatenate([w for w, _ in c]), np.concatenate([b for _, b in c])) for c in columns]
        stacked = cls(layers, head._activation, head._action_space)
        stacked._stacked = True
        return stacked


def all_finite(parameters: Sequence[torch.Tensor]) -> bool:
    """Whether every entry of every tensor is finite."""
    if not parameters:
        return True
    sums = torch.stack([p.detach().sum() for p in parameters])  # one look at the device, and much cheaper
    return bool(sums.isfinite().all()) or all(bool(torch.isfinite(p).all()) for p in parameters)
