"""Hopper, vectorised, with other masses, damping and gravity: `tlbench/Hopper-v5`."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import utils
from gymnasium.envs.mujoco import hopper_v5
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from tlbench.tasks.environments.batched import Bools, Floats, Lanes
from tlbench.tasks.environments.batched_mujoco import BatchedMujocoEnv
from tlbench.tasks.environments.mujoco_dynamics import scale_dynamics

CONTROL_COST = 1e-3
HEALTHY_REWARD = 1.0
LEAST_HEIGHT, MOST_LEAN, STATE_LIMIT, SPEED_LIMIT = 0.7, 0.2, 100.0, 10.0


class HopperEnv(hopper_v5.HopperEnv):
    """Gymnasium's `Hopper-v5` with scaled dynamics; `HopperVectorEnv` describes it."""

    def __init__(
        self, mass_scale: float = 1.0, damping_scale: float = 1.0, gravity_scale: float = 1.0, **kwargs: Any
    ) -> None:
        """Create Gymnasium's environment, which takes `kwargs`, and scale its model."""
        super().__init__(**kwargs)
        scales = {"mass_scale": mass_scale, "damping_scale": damping_scale, "gravity_scale": gravity_scale}
        utils.EzPickle.__init__(self, **scales, **kwargs)
        scale_dynamics(self.model, self.data, **scales)


class HopperVectorEnv(BatchedMujocoEnv):
    """Make a one-legged robot hop forward by torques on its three joints.

    ## Description
    As Gymnasium's `Hopper-v5`, simulated by MuJoCo, optionally with other masses, joint damping and gravity (the
    dynamics shifts of transfer tasks). Every transition is bitwise equal to the single environment's given actions of
    type float32.

    ## Action Space
    `Box(-1, 1, shape=(3,), dtype=float32)`: torques on thigh, leg and foot; larger ones are clipped by MuJoCo.

    ## Observation Space
    `Box(-inf, inf, shape=(11,), dtype=float64)`: height and angle of the torso, the three joint angles, and the six
    velocities, clipped to ±10. The horizontal position is left out.

    ## Rewards
    1 while healthy, plus the horizontal speed over the step, minus 0.001 times the sum of squared actions.

    ## Starting State
    All positions and velocities uniform within ±`reset_noise_scale` around the model's.

    ## Episode End
    Termination: the torso's height is at most 0.7, its angle leaves ±0.2, or any other value leaves ±100. Truncation:
    after 1,000 steps.

    ## Arguments
    - `mass_scale`, `damping_scale`, `gravity_scale` (1.0): factors on masses (and inertias), joint damping, gravity.
    - `reset_noise_scale` (0.005): the range of start states.
    - `autoreset_mode` (`"same_step"`), `max_episode_steps` (1000): see `BatchedEnv`.

    ## Version History
    - v5: as Gymnasium's `Hopper-v5`.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        mass_scale: float = 1.0,
        damping_scale: float = 1.0,
        gravity_scale: float = 1.0,
        reset_noise_scale: float = 5e-3,
        max_episode_steps: int = 1000,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
    ) -> None:
        """Create the lanes; the class lists the arguments."""
        self._reset_noise_scale = reset_noise_scale
        single = HopperEnv(mass_scale, damping_scale, gravity_scale)
        self._dt = single.dt
        super().__init__(num_envs, single, max_episode_steps=max_episode_steps, autoreset_mode=autoreset_mode)

    def _draw_starts(self, generator: np.random.Generator, count: int) -> Floats:
        scale = self._reset_noise_scale
        return generator.uniform(-scale, scale, (count, self._qpos.shape[1] + self._qvel.shape[1]))

    def _remember(self, lanes: Lanes | slice, actions: NDArray[Any]) -> None:
        self._x_before = self._qpos[lanes, 0].copy()
        self._control_cost = CONTROL_COST * np.sum(np.square(actions), axis=1)

    def _observe(self, lanes: Lanes | slice) -> Floats:
        velocities = np.minimum(np.maximum(self._qvel[lanes], -SPEED_LIMIT), SPEED_LIMIT)
        return np.concatenate([self._qpos[lanes, 1:], velocities], axis=1)

    def _outcome(self, lanes: Lanes | slice, observations: Floats) -> tuple[Floats, Bools]:
        state = np.concatenate([self._qpos[lanes, 2:], self._qvel[lanes]], axis=1)
        healthy = np.logical_and(state > -STATE_LIMIT, state < STATE_LIMIT).all(axis=1)
        healthy &= observations[:, 0] > LEAST_HEIGHT
        healthy &= np.abs(observations[:, 1]) < MOST_LEAN
        speed = (self._qpos[lanes, 0] - self._x_before) / self._dt
        return speed + healthy * HEALTHY_REWARD - self._control_cost, ~healthy


gymnasium.register(
    id="tlbench/Hopper-v5",
    entry_point=f"{__name__}:HopperEnv",
    vector_entry_point=f"{__name__}:HopperVectorEnv",
    max_episode_steps=1000,
    reward_threshold=3800.0,
)
