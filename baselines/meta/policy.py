"""Gaussian and categorical MLP policies as functions of one flat parameter vector, so that they can be adapted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from gymnasium import spaces

from tlbench.baselines.learners.networks import Activation, Float32, FrozenMLP, Layer, mlp
from tlbench.protocol.errors import DivergedError
from tlbench.protocol.interface import Array, Interface, Params

ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu}


class FunctionalPolicy:
    """A stochastic MLP policy without parameters of its own: they are an argument, one vector ``[D]``.

    Actions of a Box are learned on the scale on which bounded entries lie in [-1, 1]. The distribution of an action is
    described by one row of outputs: logits ``[n]``, or means and log standard deviations ``[2 d]``, the latter the
    same for every observation.

    Args:
        interface: Spaces that ``unsupported_spaces`` has nothing against; observations are flattened.
        hidden_sizes: Units of the hidden layers.
        activation: Activation of the hidden layers.
        log_std_init: Initial log standard deviation, on the scale of the means.
    """

    def __init__(
        self, interface: Interface, hidden_sizes: Sequence[int], activation: Activation, log_std_init: float
    ) -> None:
        space, shape = interface.action_space, interface.observation_space.shape
        assert shape is not None
        self.action_space = space
        self.discrete = isinstance(space, spaces.Discrete)
        actions = int(space.n) if isinstance(space, spaces.Discrete) else int(np.prod(space.shape or ()))
        self._activation: Activation = activation
        self._log_std_init = log_std_init
        sizes = [math.prod(shape), *hidden_sizes, actions]
        names = [f"body.{i}" for i in range(len(hidden_sizes))] + ["head"]
        self.shapes: dict[str, tuple[int, ...]] = {}
        for name, (fan_in, fan_out) in zip(names, pairwise(sizes), strict=True):
            self.shapes |= {f"{name}.weight": (fan_out, fan_in), f"{name}.bias": (fan_out,)}
        if isinstance(space, spaces.Box):
            self.shapes["log_std"] = (actions,)
            bounded = np.isfinite(space.low) & np.isfinite(space.high)
            low, high = np.where(bounded, space.low, -1.0), np.where(bounded, space.high, 1.0)
            self._middle: Float32 = ((low + high) / 2).astype(np.float32)
            self._half: Float32 = ((high - low) / 2).astype(np.float32)

    def initial(self, seed: int) -> torch.Tensor:
        """Fresh parameters ``[D]``: weights uniform as Glorot and Bengio (2010) have them, biases 0."""
        generator = torch.Generator().manual_seed(seed)
        params = {role: torch.zeros(shape) for role, shape in self.shapes.items()}
        for role, tensor in params.items():
            if role.endswith("weight"):
                torch.nn.init.xavier_uniform_(tensor, generator=generator)
            elif role == "log_std":
                tensor.fill_(self._log_std_init)
        return self.pack(params)

    def pack(self, params: Params) -> torch.Tensor:
        """Parameters by role as one vector ``[D]``."""
        return torch.cat([params[role].flatten() for role in self.shapes])

    def unpack(self, theta: torch.Tensor) -> Params:
        """A vector ``[D]`` as parameters by role (views)."""
        pieces = torch.split(theta, [math.prod(shape) for shape in self.shapes.values()])
        return {role: p.view(shape) for (role, shape), p in zip(self.shapes.items(), pieces, strict=True)}

    def outputs(self, theta: torch.Tensor, obs: torch.Tensor) -> torch.Tensor:
        """Descriptions of the action distributions, ``[N, n]`` or ``[N, 2 d]``, for observations ``[N, in]``."""
        params, activation = self.unpack(theta), ACTIVATIONS[self._activation]
        x = obs
        for name in (role.removesuffix(".weight") for role in params if role.endswith("weight")):
            x = x @ params[f"{name}.weight"].T + params[f"{name}.bias"]
            x = x if name == "head" else activation(x)
        return x if self.discrete else torch.cat([x, params["log_std"].expand_as(x)], dim=-1)

    def log_prob(self, outputs: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Log-probabilities ``[...]`` of actions ``[...]`` or ``[..., d]``."""
        if self.discrete:
            return outputs.log_softmax(dim=-1).gather(-1, actions.unsqueeze(-1)).squeeze(-1)
        mean, log_std = outputs.chunk(2, dim=-1)
        z = (actions - mean) * torch.exp(-log_std)
        return (-0.5 * z * z - log_std - 0.5 * math.log(2 * math.pi)).sum(dim=-1)

    def kl(self, old: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
        """KL divergences ``[...]`` of the distributions ``new`` from ``old``: KL(old || new)."""
        if self.discrete:
            log_p, log_q = old.log_softmax(dim=-1), new.log_softmax(dim=-1)
            return (log_p.exp() * (log_p - log_q)).sum(dim=-1)
        (m, s), (mean, log_std) = old.chunk(2, dim=-1), new.chunk(2, dim=-1)
        spread = torch.exp(2 * s) + (m - mean) ** 2
        return (log_std - s + 0.5 * spread * torch.exp(-2 * log_std) - 0.5).sum(dim=-1)

    def sampler(self, theta: torch.Tensor) -> Sampler:
        """What draws actions with these parameters."""
        params = self.unpack(theta.detach().cpu())
        log_std = None if self.discrete else params["log_std"].numpy()
        return Sampler(self._layers(params), self._activation, log_std)

    def to_environment(self, actions: Array) -> Array:
        """Actions ``[lanes, ...]`` as drawn, as the environment takes them: scaled, and clipped to the space."""
        space = self.action_space
        if not isinstance(space, spaces.Box):
            return actions
        scaled: Array = np.clip(self._middle + self._half * actions, space.low, space.high)
        return scaled.astype(space.dtype, copy=False)

    def freeze(self, theta: torch.Tensor) -> FrozenMLP:
        """A deterministic copy for evaluation, in the environment's scale of actions."""
        layers = self._layers(self.unpack(theta.detach().cpu()))
        if not self.discrete:
            weight, bias = layers[-1]
            layers[-1] = weight * self._half, self._middle + self._half * bias
        stacked = [(np.array(w[None], order="C"), np.array(b[None, None])) for w, b in layers]
        return FrozenMLP(stacked, self._activation, self.action_space)

    def _layers(self, params: Params) -> list[Layer]:
        names = [role.removesuffix(".weight") for role in params if role.endswith("weight")]
        return [(params[f"{n}.weight"].numpy().T, params[f"{n}.bias"].numpy()) for n in names]


class Sampler:
    """Draws actions in NumPy.

    Args:
        layers: Weights ``[in, out]`` and biases.
        activation: The activation between layers.
        log_std: ``[d]``; ``None`` for discrete actions.
    """

    def __init__(self, layers: Sequence[Layer], activation: Activation, log_std: Float32 | None) -> None:
        self._layers = layers
        self._activation = activation
        with np.errstate(over="ignore"):
            self._std = None if log_std is None else np.exp(log_std)

    def draw(self, obs: Float32, rng: np.random.Generator) -> Array:
        """Actions ``[lanes]`` or, unscaled and unclipped, ``[lanes, d]``, for observations ``[lanes, in]``.

        A discrete action is the argmax of logits plus Gumbel noise, which is a draw from their softmax.

        Raises:
            DivergedError: If an action, or a discrete one's logit, is not finite.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            out = mlp(obs, self._layers, self._activation)
            if self._std is None:
                drawn: Array = out - np.log(rng.standard_exponential(out.shape))
            else:
                drawn = out + self._std * rng.standard_normal(out.shape, dtype=np.float32)
        if not np.isfinite(drawn).all():
            raise DivergedError("the policy's actions are not finite: choose a smaller step size")
        return drawn.argmax(axis=1) if self._std is None else drawn
