"""SB3's DQN policy, acting in NumPy where its network is a small MLP; frozen copies; parameters by role."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.dqn.policies import DQNPolicy, QNetwork
from torch import nn

from tlbench.baselines.learners.networks import TORCH_ACTIVATIONS, Activation, Float32, FrozenMLP, layer_views, mlp
from tlbench.protocol.errors import DivergedError
from tlbench.protocol.interface import Array, Params

ConvLayer = tuple[int, int, int]
"""Channels, kernel size, stride."""


class Convolutions(BaseFeaturesExtractor):
    """Convolutions over images, flattened: SB3's ``NatureCNN`` with any layers and without its linear one.

    Args:
        observation_space: Images, channels first.
        layers: Channels, kernel size and stride of each.
        activation_fn: The activation after each.
    """

    def __init__(
        self, observation_space: spaces.Box, layers: Sequence[ConvLayer], activation_fn: type[nn.Module] = nn.ReLU
    ) -> None:
        super().__init__(observation_space, conv_features(observation_space.shape, layers))
        channels = [observation_space.shape[0], *(layer[0] for layer in layers)]
        modules: list[nn.Module] = []
        for before, (after, kernel, stride) in zip(channels, layers, strict=False):
            modules += [nn.Conv2d(before, after, kernel, stride), activation_fn()]
        self.cnn = nn.Sequential(*modules, nn.Flatten())

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """Features ``[lanes, d]`` of images ``[lanes, channels, height, width]``."""
        features: torch.Tensor = self.cnn(observations)
        return features


class ImageQNetwork(QNetwork):
    """SB3's network of values, for 8-bit images: they are scaled on its device, in channels-last order, in place."""

    def forward(self, obs: torch.Tensor) -> torch.Tensor:  # type: ignore[override]  # images are no dictionary
        """Values ``[lanes, actions]`` of 8-bit images ``[lanes, channels, height, width]``."""
        scaled = obs.contiguous(memory_format=torch.channels_last).float().div_(255)
        values: torch.Tensor = self.q_net(self.features_extractor(scaled))
        return values


def conv_features(shape: Sequence[int], layers: Sequence[ConvLayer]) -> int:
    """Features that convolutions leave of an image ``(channels, height, width)``; 0 if it is too small for them."""
    channels, *sides = shape
    for channels, kernel, stride in layers:  # noqa: B007  (the last one's count)
        sides = [max(0, (side - kernel) // stride + 1) for side in sides]
    return int(channels * np.prod(sides))


class LeanQPolicy(DQNPolicy):
    """SB3's DQN policy that acts in NumPy where its network is an MLP on the CPU.

    Convolutions are kept in channels-last order, in which they cost less on a CPU.

    Args:
        *args: As for SB3's ``DQNPolicy``.
        **kwargs: As for SB3's ``DQNPolicy``.

    Raises:
        ValueError: If ``activation_fn`` is neither ``nn.Tanh`` nor ``nn.ReLU``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names: list[Activation] = [n for n, c in TORCH_ACTIVATIONS.items() if c is self.activation_fn]
        if not names:
            raise ValueError(f"activation_fn must be one of {', '.join(TORCH_ACTIVATIONS)}, not {self.activation_fn}")
        self.activation = names[0]
        self._layers = weighted_layers(self.q_net)  # looked up at every step: walking the modules would cost more
        if is_image_space(self.observation_space):
            self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            for module in self.modules():
                if isinstance(module, nn.ReLU):
                    module.inplace = True

    def make_q_net(self) -> QNetwork:
        """A network of values; one for images if these are."""
        kind = ImageQNetwork if is_image_space(self.observation_space) else QNetwork
        return kind(**self._update_features_extractor(self.net_args, features_extractor=None)).to(self.device)

    def in_numpy(self) -> bool:
        """Whether the network is an MLP on the CPU."""
        return self.device.type == "cpu" and all(isinstance(m, nn.Linear) for m in self._layers)

    def greedy(self, obs: Array) -> NDArray[np.int64]:
        """The actions of highest value, ``[lanes]``."""
        if self.in_numpy():
            x: Float32 = np.asarray(obs, dtype=np.float32).reshape(len(obs), -1)
            layers = layer_views([m for m in self._layers if isinstance(m, nn.Linear)])
            chosen: NDArray[np.int64] = mlp(x, layers, self.activation).argmax(axis=1)
            return chosen
        with torch.no_grad():
            values: torch.Tensor = self.q_net(torch.as_tensor(obs, device=self.device))
            best: NDArray[np.int64] = values.argmax(dim=1).cpu().numpy()
            return best

    def freeze(self) -> FrozenMLP | FrozenNetwork:
        """A deterministic copy for evaluation."""
        if self.in_numpy():
            return FrozenMLP.from_linears(linears(self.q_net), self.activation, self.action_space)
        return FrozenNetwork(copy.deepcopy(self.q_net))


class FrozenNetwork:
    """A greedy policy on a copied torch network; not stackable.

    Lanes that show what they showed before, because their episode has ended, get their action without the network: at
    the end of an evaluation few lanes are left.

    Args:
        network: The copy.
    """

    def __init__(self, network: QNetwork) -> None:
        self._network = network.requires_grad_(False)
        self._network.set_training_mode(False)

    def act(self, obs: Array, state: Any, first: NDArray[np.bool_]) -> tuple[Array, Any]:
        """The action of highest value per lane; the state is this policy, the observations and what was done on them.

        Raises:
            DivergedError: If a value is not a number.
        """
        del first
        if state is None or state[0] is not self:
            actions = self._best(obs)
        else:
            _, before, actions = state
            actions = actions.copy()
            moved = np.flatnonzero((obs != before).reshape(len(obs), -1).any(axis=1))
            if len(moved):
                actions[moved] = self._best(obs[moved])
        return actions, (self, obs.copy(), actions)

    def _best(self, obs: Array) -> NDArray[np.int64]:
        with torch.no_grad():
            values: torch.Tensor = self._network(torch.as_tensor(obs, device=self._network.device))
            best, actions = values.max(dim=1)  # NaN is the largest
            pair = torch.stack((best, actions.to(best.dtype))).cpu().numpy()
        if np.isnan(pair[0]).any():
            raise DivergedError("the policy's values are not a number")
        chosen: NDArray[np.int64] = pair[1].astype(np.int64)
        return chosen

    def frozen(self) -> Self:
        """Itself: it never changes."""
        return self


def weighted_layers(network: QNetwork) -> list[nn.Linear | nn.Conv2d]:
    """The layers with weights, convolutional and linear, by depth; the last gives the values."""
    return [m for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d)]


def linears(network: QNetwork) -> list[nn.Linear]:
    """The layers of an MLP."""
    return [m for m in weighted_layers(network) if isinstance(m, nn.Linear)]


def q_parameters_by_role(network: QNetwork) -> Params:
    """The live parameters by role: ``body.0.weight``, ``body.0.bias``, ..., ``head.weight``, ``head.bias``."""
    layers = weighted_layers(network)
    names = [*(f"body.{i}" for i in range(len(layers) - 1)), "head"]
    roles: Params = {}
    for name, layer in zip(names, layers, strict=True):
        assert layer.bias is not None
        roles[f"{name}.weight"], roles[f"{name}.bias"] = layer.weight, layer.bias
    return roles
