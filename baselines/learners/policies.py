"""SB3 policies that act in NumPy: the same networks and distributions, a fifth of the time per vector step."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import CategoricalDistribution, Distribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.preprocessing import get_action_dim
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch.distributions import Categorical, Normal

from tlbench.baselines.learners.networks import (
    TORCH_ACTIVATIONS,
    Activation,
    Float32,
    FrozenMLP,
    Layer,
    layer_views,
    linear_layers,
    mlp,
)
from tlbench.protocol.interface import Array, Interface

NOISE_ROWS = 128
"""Vector steps for which noise is drawn at once."""


def unsupported_spaces(interface: Interface) -> str | None:
    """Why these policies can't act in a task, or ``None`` if they can."""
    obs, action = interface.observation_space, interface.action_space
    if not isinstance(obs, spaces.Box) or (len(obs.shape) != 1 and obs.dtype.kind != "f"):
        return f"needs a 1-D Box of observations, or a Box of floats, which is flattened, not {obs}"
    if isinstance(action, spaces.Discrete):
        return None if action.start == 0 else f"needs discrete actions that count from 0, not {action}"
    if not isinstance(action, spaces.Box) or len(action.shape) != 1:
        return f"needs discrete actions or a 1-D Box of them, not {action}"
    return None


def actor_critic_settings(config: Any) -> dict[str, Any]:
    """Keyword arguments of :class:`LeanPolicy` from a configuration with the networks' settings.

    Args:
        config: Has ``hidden_sizes`` (policy and value alike), ``activation`` and ``log_std_init``.
    """
    return {
        "net_arch": list(config.hidden_sizes),
        "activation_fn": TORCH_ACTIVATIONS[config.activation],
        "log_std_init": config.log_std_init,
        "optimizer_kwargs": {"eps": 1e-5, "fused": True},
    }


class Noise:
    """Rows of noise for acting, drawn many at a time.

    Args:
        rng: The generator.
        actions: Entries per lane.
        gumbel: Standard Gumbel noise; else standard normal.
    """

    def __init__(self, rng: np.random.Generator, actions: int, gumbel: bool) -> None:
        self._rng = rng
        self._actions = actions
        self._gumbel = gumbel
        self._block: Array = np.empty((0, 0, actions))
        self._next = 0

    def row(self, lanes: int) -> Array:
        """The next noise, ``[lanes, actions]``."""
        if self._next == len(self._block) or self._block.shape[1] != lanes:
            shape = (NOISE_ROWS, lanes, self._actions)
            if self._gumbel:
                self._block = -np.log(self._rng.standard_exponential(shape))
            else:
                self._block = self._rng.standard_normal(shape, dtype=np.float32)
            self._next = 0
        row: Array = self._block[self._next]
        self._next += 1
        return row


class LeanPolicy(ActorCriticPolicy):
    """SB3's actor-critic MLP policy with a NumPy ``forward`` and unchecked distributions.

    ``forward`` reads zero-copy views of the parameters, taken when a rollout starts (SB3 calls
    ``set_training_mode(False)`` then), and draws from the policy's own generator. With gradients enabled, or off the
    CPU, it is SB3's own. Everything else (``predict``, ``evaluate_actions``, ...) is SB3's.

    Args:
        *args: As for SB3's ``ActorCriticPolicy``.
        **kwargs: As for SB3's ``ActorCriticPolicy``.

    Raises:
        ValueError: If ``activation_fn`` is neither ``nn.Tanh`` nor ``nn.ReLU``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._views: tuple[list[Layer], list[Layer]] | None = None
        super().__init__(*args, **kwargs)
        names: list[Activation] = [n for n, c in TORCH_ACTIVATIONS.items() if c is self.activation_fn]
        if not names:
            raise ValueError(f"activation_fn must be one of {', '.join(TORCH_ACTIVATIONS)}, not {self.activation_fn}")
        self.activation = names[0]
        self.discrete = isinstance(self.action_dist, CategoricalDistribution)
        self.reseed(None)

    def reseed(self, seed: int | np.random.SeedSequence | None) -> None:
        """Seed the generator that actions are drawn with."""
        space = self.action_space
        actions = int(space.n) if isinstance(space, spaces.Discrete) else get_action_dim(space)
        self._noise = Noise(np.random.default_rng(seed), actions, gumbel=self.discrete)

    def set_training_mode(self, mode: bool) -> None:
        """Switch modes; entering evaluation mode refreshes the views of the parameters."""
        super().set_training_mode(mode)
        if not mode:
            self.refresh_views()

    def refresh_views(self) -> None:
        """Take views of the parameters; needed again only where their storage has changed."""
        critic = layer_views(self.critic_linears()) if self.critic_linears() else []
        self._views = layer_views(self.actor_linears()), critic
        if not self.discrete:
            self._log_std: Float32 = self.log_std.detach().cpu().numpy()

    def actor_linears(self) -> list[torch.nn.Linear]:
        """The policy's linear layers, by depth, the head last."""
        return linear_layers(self.mlp_extractor.policy_net, self.action_net)

    def critic_linears(self) -> list[torch.nn.Linear]:
        """The value network's linear layers, by depth, the head last."""
        return linear_layers(self.mlp_extractor.value_net, self.value_net)

    def freeze(self) -> FrozenMLP:
        """A deterministic copy for evaluation."""
        return FrozenMLP.from_linears(self.actor_linears(), self.activation, self.action_space)

    def outputs(self, x: Float32) -> Float32:
        """Logits or means, ``[lanes, actions]``, for observations ``[lanes, ...]``."""
        if self._views is None:
            self.refresh_views()
        assert self._views is not None
        return mlp(x.reshape(len(x), -1), self._views[0], self.activation)

    def sample(self, x: Float32) -> Array:
        """Draw actions (unclipped), ``[lanes]`` or ``[lanes, d]``, for observations ``[lanes, ...]``.

        A discrete action is the argmax of logits plus Gumbel noise, which is a draw from their softmax.
        """
        out, noise = self.outputs(x), self._noise.row(len(x))
        actions: Array = (out + noise).argmax(axis=1) if self.discrete else out + np.exp(self._log_std) * noise
        return actions

    def forward(
        self, obs: torch.Tensor, deterministic: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Actions, values ``[lanes, 1]`` and log-probabilities ``[lanes]``, as SB3's own (up to rounding)."""
        if torch.is_grad_enabled() or self.device.type != "cpu":
            return super().forward(obs, deterministic)
        x: Float32 = obs.numpy().astype(np.float32, copy=False).reshape(len(obs), -1)
        out = self.outputs(x)
        assert self._views is not None
        values = mlp(x, self._views[1], self.activation)
        actions: Array
        if self.discrete:
            actions = (out if deterministic else out + self._noise.row(len(x))).argmax(axis=1)
            out -= out.max(axis=1, keepdims=True)
            log_prob = out[np.arange(len(x)), actions] - np.log(np.exp(out).sum(axis=1))
        else:
            noise = np.zeros_like(out) if deterministic else self._noise.row(len(x))
            actions = out + np.exp(self._log_std) * noise
            log_prob = (-0.5 * noise * noise - self._log_std - 0.5 * math.log(2 * math.pi)).sum(axis=1)
        return torch.from_numpy(actions), torch.from_numpy(values), torch.from_numpy(log_prob)

    def _get_action_dist_from_latent(self, latent_pi: torch.Tensor) -> Distribution:
        """As SB3's, without checking the distribution's arguments at every call."""
        out = self.action_net(latent_pi)
        if self.discrete:
            self.action_dist.distribution = Categorical(logits=out, validate_args=False)
        else:
            std = torch.ones_like(out) * self.log_std.exp()
            self.action_dist.distribution = Normal(out, std, validate_args=False)
        return self.action_dist

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        """Parameters may move (``to``, ``float``, ...): drop the views."""
        self._views = None
        return super()._apply(*args, **kwargs)  # type: ignore[no-untyped-call]

    def __getstate__(self) -> dict[str, Any]:
        """A copy takes its own views."""
        return {**self.__dict__, "_views": None}


class ActorPolicy(LeanPolicy):
    """The same without a critic: its values are 0."""

    def _build(self, lr_schedule: Schedule) -> None:
        """Build SB3's networks and drop the value head (``net_arch`` gives the critic no layers of its own)."""
        super()._build(lr_schedule)
        del self.value_net
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]

    def critic_linears(self) -> list[torch.nn.Linear]:
        """None."""
        return []

    def forward(
        self, obs: torch.Tensor, deterministic: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Actions, zeros and log-probabilities."""
        distribution = self.get_distribution(obs)
        actions = distribution.get_actions(deterministic=deterministic)
        return actions, self.predict_values(obs), distribution.log_prob(actions)

    def evaluate_actions(
        self, obs: PyTorchObs, actions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Zeros, log-probabilities and entropies of given actions."""
        distribution = self.get_distribution(obs)
        return self.predict_values(obs), distribution.log_prob(actions), distribution.entropy()

    def predict_values(self, obs: PyTorchObs) -> torch.Tensor:
        """Zeros, ``[lanes, 1]``."""
        assert isinstance(obs, torch.Tensor)
        return torch.zeros((len(obs), 1), device=obs.device)
