"""Networks as flat vectors: which entries are which role, and many networks as one stack of layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from tlbench.baselines.learners.networks import Activation, Float32, FrozenMLP, Layer, mlp
from tlbench.protocol.errors import DivergedError
from tlbench.protocol.interface import Array, Params

Vector = NDArray[np.float32]
Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class Layout:
    """Where the layers of an MLP lie in a flat vector: weight ``[in, out]``, then bias, layer by layer.

    Attributes:
        names: Names of the layers by depth: ``body.0``, ..., ``head``.
        shapes: (inputs, outputs) of each layer.
        activation: The activation between layers.
        action_space: What the outputs are turned into; see :class:`FrozenMLP`.
        squashed: Whether outputs pass a tanh that spans the action space; see :class:`SquashedMLP`.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, int], ...]
    activation: Activation
    action_space: spaces.Space[Any]
    squashed: bool = False

    @classmethod
    def of(
        cls, params: Params, activation: Activation, action_space: spaces.Space[Any], squashed: bool = False
    ) -> Layout:
        """The layout of a policy's parameters; roles that are not its layers' are left out."""
        names = tuple(role.removesuffix(".weight") for role in params if role.endswith(".weight"))
        names = tuple(name for name in names if name.startswith(("body.", "head")))
        shapes = tuple((params[f"{n}.weight"].shape[1], params[f"{n}.weight"].shape[0]) for n in names)
        return cls(names, shapes, activation, action_space, squashed)

    @property
    def size(self) -> int:
        """Entries of one network."""
        return sum(self.sizes)

    @property
    def sizes(self) -> list[int]:
        """Entries of each layer."""
        return [(fan_in + 1) * fan_out for fan_in, fan_out in self.shapes]

    def layer_slices(self) -> dict[str, slice]:
        """The entries of each layer, weight and bias."""
        ends = np.cumsum(self.sizes).tolist()
        return {name: slice(end - n, end) for name, end, n in zip(self.names, ends, self.sizes, strict=True)}

    def role_slices(self) -> dict[str, slice]:
        """The entries of each role."""
        found = {}
        for (name, part), (fan_in, fan_out) in zip(self.layer_slices().items(), self.shapes, strict=True):
            middle = part.start + fan_in * fan_out
            found[f"{name}.weight"], found[f"{name}.bias"] = slice(part.start, middle), slice(middle, part.stop)
        return found

    def pack(self, params: Params) -> Vector:
        """Parameters as one vector, ``[D]``."""
        parts = []
        for name in self.names:
            weight = params[f"{name}.weight"].detach().cpu().numpy()
            parts += [weight.T.reshape(-1), params[f"{name}.bias"].detach().cpu().numpy()]
        return np.concatenate(parts).astype(np.float32)

    def unpack(self, vector: Vector) -> Params:
        """A copy of a vector's entries by role."""
        params: Params = {}
        for role, part in self.role_slices().items():
            piece = torch.from_numpy(vector[part].copy())
            name = role.rpartition(".")[0]
            if role.endswith(".weight"):
                fan_in, fan_out = self.shapes[self.names.index(name)]
                piece = piece.view(fan_in, fan_out).T.contiguous()
            params[role] = piece
        return params

    def layers(self, matrix: Matrix) -> list[Layer]:
        """Views of stacked networks ``[S, D]``: weights ``[S, in, out]`` and biases ``[S, 1, out]`` by depth."""
        found: list[Layer] = []
        slices = self.role_slices()
        for name, (fan_in, fan_out) in zip(self.names, self.shapes, strict=True):
            weight = matrix[:, slices[f"{name}.weight"]].reshape(-1, fan_in, fan_out)
            found.append((weight, matrix[:, slices[f"{name}.bias"]][:, None]))
        return found

    def policy(self, vector: Vector) -> FrozenMLP:
        """The deterministic policy of one network; a copy."""
        kind = SquashedMLP if self.squashed else FrozenMLP
        return kind(self.layers(vector[None].copy()), self.activation, self.action_space)

    def scores(self, outputs: Float32) -> Float32:
        """What actions are chosen by: outputs ``[..., out]``, squashed if these networks' are.

        Raises:
            DivergedError: If an output is not a number.
        """
        if np.isnan(outputs).any():
            raise DivergedError("a network's outputs are not a number")
        return np.tanh(outputs) if self.squashed else outputs

    def actions(self, scores: Float32) -> Array:
        """Actions from scores ``[..., out]``."""
        return spanned(scores, self.action_space) if self.squashed else clipped(scores, self.action_space)


class SquashedMLP(FrozenMLP):
    """A frozen policy whose outputs pass a tanh; of a ``Box``, the tanh spans the bounds."""

    def act(self, obs: Array, state: Any, first: NDArray[np.bool_]) -> tuple[Array, Any]:
        """Act deterministically; see :class:`FrozenMLP`."""
        del state, first
        x = np.asarray(obs, dtype=np.float32)
        out = mlp(x if self._stacked else x[None], self._layers, self._activation)
        if not self._stacked:
            out = out[0]
        if isinstance(self._action_space, spaces.Discrete) and np.isnan(out).any():
            raise DivergedError("the policy's scores are not a number")
        return spanned(np.tanh(out), self._action_space), None


def spanned(scores: Float32, space: spaces.Space[Any]) -> Array:
    """Scores in [-1, 1] ``[..., out]`` as actions: the largest wins, or -1 to 1 span the bounds of a ``Box``."""
    if not isinstance(space, spaces.Box):
        return np.asarray(scores.argmax(axis=-1))
    return clipped(space.low + (scores + 1) / 2 * (space.high - space.low), space)


def clipped(outputs: Array, space: spaces.Space[Any]) -> Array:
    """Outputs ``[..., out]`` as actions: the largest wins, or those of a ``Box`` are clipped to its bounds."""
    if not isinstance(space, spaces.Box):
        return np.asarray(outputs.argmax(axis=-1))
    return np.clip(outputs, space.low, space.high).astype(space.dtype, copy=False)
