"""HalfCheetah, vectorised, and its task families: run at a given speed, or in a given direction."""

import math
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium import utils
from gymnasium.envs.mujoco import half_cheetah_v5
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from tlbench.tasks.environments.batched import Bools, Floats, KnownReward, KnownTermination, Lanes, never
from tlbench.tasks.environments.batched_mujoco import BatchedMujocoEnv, draw_uniform_and_normal
from tlbench.tasks.environments.mujoco_dynamics import no_deprecations

CONTROL_COST = 0.1
FAMILY_CONTROL_COST = 0.05
SPEED = 8
"""Index of the torso's horizontal speed in an observation."""


class HalfCheetahVectorEnv(BatchedMujocoEnv):
    """Make a planar two-legged robot run forward by torques on its six joints.

    ## Description
    As Gymnasium's `HalfCheetah-v5`, simulated by MuJoCo. Every transition is bitwise equal to the single
    environment's given actions of type float32.

    ## Action Space
    `Box(-1, 1, shape=(6,), dtype=float32)`: torques on thigh, shin and foot of both legs; larger ones are clipped by
    MuJoCo.

    ## Observation Space
    `Box(-inf, inf, shape=(17,), dtype=float64)`: height and angle of the torso, the six joint angles, and the nine
    velocities, the torso's horizontal speed first. The horizontal position is left out.

    ## Rewards
    The horizontal speed over the step, minus 0.1 times the sum of squared actions.

    ## Starting State
    Positions uniform within ±`reset_noise_scale` around the model's, velocities normal with that standard deviation.

    ## Episode End
    Truncation: after 1,000 steps. There is no termination.

    ## Arguments
    - `reset_noise_scale` (0.1): the range of start states.
    - `autoreset_mode` (`"same_step"`), `max_episode_steps` (1000): see `BatchedEnv`.

    ## Version History
    - v5: as Gymnasium's `HalfCheetah-v5`.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        reset_noise_scale: float = 0.1,
        max_episode_steps: int = 1000,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
    ) -> None:
        """Create the lanes; the class lists the arguments."""
        self._reset_noise_scale = reset_noise_scale
        with no_deprecations():
            single = half_cheetah_v5.HalfCheetahEnv()
        self._dt = single.dt
        super().__init__(num_envs, single, max_episode_steps=max_episode_steps, autoreset_mode=autoreset_mode)

    def termination_function(self) -> KnownTermination:
        """It never terminates."""
        return never

    def _draw_starts(self, generator: np.random.Generator, count: int) -> Floats:
        nq, nv = self._qpos.shape[1], self._qvel.shape[1]
        return draw_uniform_and_normal(generator, count, nq, nv, self._reset_noise_scale)

    def _remember(self, lanes: Lanes | slice, actions: NDArray[Any]) -> None:
        self._x_before = self._qpos[lanes, 0].copy()
        self._actions = actions

    def _observe(self, lanes: Lanes | slice) -> Floats:
        return np.concatenate([self._qpos[lanes, 1:], self._qvel[lanes]], axis=1)

    def _outcome(self, lanes: Lanes | slice, observations: Floats) -> tuple[Floats, Bools]:
        speed = (self._qpos[lanes, 0] - self._x_before) / self._dt
        return speed - CONTROL_COST * np.sum(np.square(self._actions), axis=1), np.zeros(len(observations), np.bool_)


class HalfCheetahVelocityEnv(half_cheetah_v5.HalfCheetahEnv):
    """The single environment of `HalfCheetahVelocityVectorEnv`, which describes it."""

    def __init__(self, velocity: float = 1.0, **kwargs: Any) -> None:
        """Create Gymnasium's environment, which takes `kwargs`."""
        self._velocity = _finite("velocity", velocity)
        with no_deprecations():
            super().__init__(**kwargs)
        utils.EzPickle.__init__(self, velocity=velocity, **kwargs)

    def _get_rew(self, x_velocity: float, action: NDArray[Any]) -> tuple[float, dict[str, float]]:
        cost = FAMILY_CONTROL_COST * np.sum(np.square(action))
        distance = np.abs(self.data.qvel[0] - self._velocity)
        return -distance - cost, {"reward_forward": -distance, "reward_ctrl": -cost}


class HalfCheetahVelocityVectorEnv(HalfCheetahVectorEnv):
    """Make the half-cheetah run at a given speed: a family of tasks that differ in their reward.

    ## Description
    The family of MAML (Finn et al. 2017) on Gymnasium's `HalfCheetah-v5`. The reward is a function of observation and
    action, so that a method with a learned model can know it: the speed is the torso's after the step, as it is
    observed, not the mean over the step.

    ## Action Space, Observation Space, Starting State
    As `HalfCheetahVectorEnv`.

    ## Rewards
    Minus the distance of the torso's horizontal speed from `velocity`, minus 0.05 times the sum of squared actions.

    ## Episode End
    Truncation: after 200 steps. There is no termination.

    ## Arguments
    - `velocity` (1.0): the speed wanted; the family's range is 0 to 2.
    - `reset_noise_scale` (0.1), `autoreset_mode` (`"same_step"`): as `HalfCheetahVectorEnv`.
    - `max_episode_steps` (200): see `BatchedEnv`.

    ## Version History
    - v1: first.
    """

    def __init__(
        self, num_envs: int = 1, *, velocity: float = 1.0, max_episode_steps: int = 200, **kwargs: Any
    ) -> None:
        """Create the lanes; the class lists the arguments."""
        self._velocity = _finite("velocity", velocity)
        super().__init__(num_envs, max_episode_steps=max_episode_steps, **kwargs)

    def reward_function(self) -> KnownReward:
        """Its reward."""
        return partial(_velocity_reward, self._velocity)

    def _outcome(self, lanes: Lanes | slice, observations: Floats) -> tuple[Floats, Bools]:
        rewards = _velocity_reward(self._velocity, observations, self._actions, observations)
        return rewards, np.zeros(len(observations), np.bool_)


class HalfCheetahDirectionEnv(half_cheetah_v5.HalfCheetahEnv):
    """The single environment of `HalfCheetahDirectionVectorEnv`, which describes it."""

    def __init__(self, direction: int = 1, **kwargs: Any) -> None:
        """Create Gymnasium's environment, which takes `kwargs`."""
        self._direction = _direction(direction)
        with no_deprecations():
            super().__init__(**kwargs)
        utils.EzPickle.__init__(self, direction=direction, **kwargs)

    def _get_rew(self, x_velocity: float, action: NDArray[Any]) -> tuple[float, dict[str, float]]:
        cost = FAMILY_CONTROL_COST * np.sum(np.square(action))
        speed = self._direction * self.data.qvel[0]
        return speed - cost, {"reward_forward": speed, "reward_ctrl": -cost}


class HalfCheetahDirectionVectorEnv(HalfCheetahVectorEnv):
    """Make the half-cheetah run forward or backward: a family of two tasks that differ in their reward.

    ## Description
    The family of MAML (Finn et al. 2017) on Gymnasium's `HalfCheetah-v5`. The reward is a function of observation and
    action, as `HalfCheetahVelocityVectorEnv`'s.

    ## Action Space, Observation Space, Starting State
    As `HalfCheetahVectorEnv`.

    ## Rewards
    `direction` times the torso's horizontal speed, minus 0.05 times the sum of squared actions.

    ## Episode End
    Truncation: after 200 steps. There is no termination.

    ## Arguments
    - `direction` (1): 1 is forward, -1 backward.
    - `reset_noise_scale` (0.1), `autoreset_mode` (`"same_step"`): as `HalfCheetahVectorEnv`.
    - `max_episode_steps` (200): see `BatchedEnv`.

    ## Version History
    - v1: first.
    """

    def __init__(self, num_envs: int = 1, *, direction: int = 1, max_episode_steps: int = 200, **kwargs: Any) -> None:
        """Create the lanes; the class lists the arguments."""
        self._direction = _direction(direction)
        super().__init__(num_envs, max_episode_steps=max_episode_steps, **kwargs)

    def reward_function(self) -> KnownReward:
        """Its reward."""
        return partial(_direction_reward, self._direction)

    def _outcome(self, lanes: Lanes | slice, observations: Floats) -> tuple[Floats, Bools]:
        rewards = _direction_reward(self._direction, observations, self._actions, observations)
        return rewards, np.zeros(len(observations), np.bool_)


def _velocity_reward(velocity: float, obs: NDArray[Any], actions: NDArray[Any], following: NDArray[Any]) -> Floats:
    del obs
    cost = FAMILY_CONTROL_COST * np.sum(np.square(actions), axis=1)
    return np.asarray(-np.abs(following[:, SPEED] - velocity) - cost, dtype=np.float64)


def _direction_reward(direction: int, obs: NDArray[Any], actions: NDArray[Any], following: NDArray[Any]) -> Floats:
    del obs
    cost = FAMILY_CONTROL_COST * np.sum(np.square(actions), axis=1)
    return np.asarray(direction * following[:, SPEED] - cost, dtype=np.float64)


def _finite(name: str, value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{name} must be a number, got {value}")
    return value


def _direction(value: int) -> int:
    if value not in (1, -1):
        raise ValueError(f"direction must be 1 (forward) or -1 (backward), got {value!r}")
    return value


gymnasium.register(
    id="tlbench/HalfCheetah-v5",
    entry_point="gymnasium.envs.mujoco.half_cheetah_v5:HalfCheetahEnv",
    vector_entry_point=f"{__name__}:HalfCheetahVectorEnv",
    max_episode_steps=1000,
    reward_threshold=4800.0,
)
gymnasium.register(
    id="tlbench/HalfCheetahVelocity-v1",
    entry_point=f"{__name__}:HalfCheetahVelocityEnv",
    vector_entry_point=f"{__name__}:HalfCheetahVelocityVectorEnv",
    max_episode_steps=200,
)
gymnasium.register(
    id="tlbench/HalfCheetahDirection-v1",
    entry_point=f"{__name__}:HalfCheetahDirectionEnv",
    vector_entry_point=f"{__name__}:HalfCheetahDirectionVectorEnv",
    max_episode_steps=200,
)
