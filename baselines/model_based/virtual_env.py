"""An environment whose dynamics are learned: an SB3 ``VecEnv`` that any algorithm can train on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn

from tlbench.baselines.model_based.dynamics import DynamicsEnsemble
from tlbench.protocol.interface import Array, Interface

Floats = NDArray[np.float32]


class Scales:
    """Between a task and what networks see of it: normalised observations, actions in [-1, 1].

    Args:
        models: Whose normalisation is used, as it is at the time of each call.
        interface: The task's.
    """

    def __init__(self, models: DynamicsEnsemble, interface: Interface) -> None:
        obs, actions = interface.observation_space, interface.action_space
        assert isinstance(obs, spaces.Box)
        assert isinstance(actions, spaces.Box)
        self._models = models
        self.observation_space, self.action_space = obs, actions
        low, high = actions.low.astype(np.float32), actions.high.astype(np.float32)
        self.centre: Floats = (high + low) / np.float32(2)
        self.half: Floats = (high - low) / np.float32(2)
        self.seen_space = spaces.Box(-np.inf, np.inf, obs.shape, np.float32)
        self.unit_space = spaces.Box(-1.0, 1.0, actions.shape, np.float32)

    @property
    def mean(self) -> Floats:
        """Means of observations, ``[d]``."""
        return self._models.obs_mean.numpy()

    @property
    def std(self) -> Floats:
        """Standard deviations of observations, ``[d]``."""
        return self._models.obs_std.numpy()

    def seen(self, obs: Array) -> Floats:
        """Normalised observations, ``[n, d]``."""
        return np.asarray((obs - self.mean) / self.std, np.float32)

    def real_actions(self, unit: Array) -> Array:
        """Actions of the task for actions in [-1, 1], ``[n, k]``."""
        space = self.action_space
        real: Array = np.clip(self.centre + self.half * unit, space.low, space.high).astype(space.dtype)
        return real


class VirtualEnv(VecEnv):
    """Lanes of a learned task. Lane groups belong to the models, so a policy meets all of them in every rollout.

    Observations are normalised and actions lie in [-1, 1] (:class:`Scales`); rewards and terminations are the task's
    own functions of the predicted transition. Episodes start in real start states and are cut at the horizon.

    Args:
        models: The ensemble; later fitting changes what the environment does.
        scales: The task's scales.
        interface: The task's, with known reward and termination.
        starts: Real start states, ``[n, d]``; the attribute may be set to others.
        horizon: Steps after which an episode is truncated.
        lanes: Lanes; a multiple of the number of models.
        rng: Draws start states.

    Raises:
        ValueError: If the lanes can't be shared out equally.
    """

    def __init__(
        self,
        models: DynamicsEnsemble,
        scales: Scales,
        interface: Interface,
        starts: torch.Tensor,
        horizon: int,
        lanes: int,
        rng: np.random.Generator,
    ) -> None:
        if lanes % models.members:
            raise ValueError(f"{lanes} lanes can't be shared out among {models.members} models")
        assert interface.reward is not None
        assert interface.terminated is not None
        self.models, self.scales = models, scales
        self.reward: Callable[[Array, Array, Array], Array] = interface.reward
        self.terminated: Callable[[Array, Array, Array], Array] = interface.terminated
        self.horizon = horizon
        self.starts = starts
        self._rng = rng
        self._obs = torch.zeros(lanes, starts.shape[1])
        self._unit = torch.zeros(lanes, *scales.unit_space.shape)
        self._elapsed = np.zeros(lanes, np.int64)
        self._no_infos: list[dict[str, Any]] = [{}] * lanes
        super().__init__(lanes, scales.seen_space, scales.unit_space)

    @property
    def states(self) -> torch.Tensor:
        """Present states, not normalised, ``[lanes, d]``."""
        return self._obs

    def reset(self) -> Floats:
        """Start an episode in every lane."""
        self._restart(np.arange(self.num_envs))
        return self._seen()

    def step_async(self, actions: Array) -> None:
        """Keep the actions, ``[lanes, k]``, clipped to [-1, 1]."""
        self._unit = torch.from_numpy(np.clip(actions, -1.0, 1.0).astype(np.float32))

    def step_wait(self) -> VecEnvStepReturn:
        """Step all lanes, each with its model."""
        groups = self.models.members, self.num_envs // self.models.members
        following = self.models.step(self._obs.view(*groups, -1), self._unit.view(*groups, -1)).view_as(self._obs)
        dtype: Any = self.scales.observation_space.dtype
        arguments = (
            self._obs.numpy().astype(dtype),
            self.scales.real_actions(self._unit.numpy()),
            following.numpy().astype(dtype),
        )
        rewards = np.asarray(self.reward(*arguments), np.float32)
        terminated = np.asarray(self.terminated(*arguments), np.bool_)
        self._obs = following
        self._elapsed += 1
        dones = terminated | (self._elapsed >= self.horizon)
        if not dones.any():
            return self._seen(), rewards, dones, self._no_infos
        last, infos = self._seen(), list(self._no_infos)
        ended = np.flatnonzero(dones)
        for lane in ended:
            infos[lane] = {"terminal_observation": last[lane], "TimeLimit.truncated": not terminated[lane]}
        self._restart(ended)
        return self._seen(), rewards, dones, infos

    def _restart(self, lanes: NDArray[np.intp]) -> None:
        rows = torch.from_numpy(self._rng.integers(len(self.starts), size=len(lanes)))
        self._obs[torch.from_numpy(lanes)] = self.starts[rows]
        self._elapsed[lanes] = 0

    def _seen(self) -> Floats:
        return self.scales.seen(self._obs.numpy())

    def close(self) -> None:
        """Nothing is held."""

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Only ``render_mode`` is there: none."""
        if attr_name != "render_mode":
            raise AttributeError(attr_name)
        return [None] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Lanes have no attributes."""
        del value, indices
        raise AttributeError(attr_name)

    def env_method(self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any) -> list[Any]:
        """Lanes have no methods but SB3's ``get_wrapper_attr`` of ``render_mode``."""
        if method_name == "get_wrapper_attr" and len(args) == 1 and not kwargs:
            return self.get_attr(args[0], indices)
        raise AttributeError(method_name)

    def env_is_wrapped(self, wrapper_class: type[Any], indices: VecEnvIndices = None) -> list[bool]:
        """They carry no wrappers."""
        del wrapper_class
        return [False] * len(list(self._get_indices(indices)))

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Ignored: start states come from the generator given."""
        del seed
        return [None] * self.num_envs
