"""Ant, vectorised, contact forces included: `tlbench/Ant-v5`."""

from typing import Any

import gymnasium
import mujoco
import numpy as np
from gymnasium.envs.mujoco.ant_v5 import AntEnv
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from tlbench.tasks.environments.batched import Bools, Floats, Lanes
from tlbench.tasks.environments.batched_mujoco import BatchedMujocoEnv, draw_uniform_and_normal

TORSO = 1
CONTROL_COST, CONTACT_COST, HEALTHY_REWARD = 0.5, 5e-4, 1.0
LEAST_HEIGHT, MOST_HEIGHT = 0.2, 1.0


class AntVectorEnv(BatchedMujocoEnv):
    """Make a four-legged robot walk forward by torques on its eight joints.

    ## Description
    As Gymnasium's `Ant-v5`, simulated by MuJoCo. Every transition is bitwise equal to the single environment's given
    actions of type float32, contact forces included.

    ## Action Space
    `Box(-1, 1, shape=(8,), dtype=float32)`: torques on hip and ankle of each leg; larger ones are clipped by MuJoCo.

    ## Observation Space
    `Box(-inf, inf, shape=(105,), dtype=float64)`: the torso's height and orientation (a quaternion), the eight joint
    angles, the fourteen velocities, and the contact forces on the thirteen bodies (six each, clipped to ±1). The
    position in the plane is left out.

    ## Rewards
    1 while healthy, plus the torso's speed along x over the step, minus 0.5 times the sum of squared actions, minus
    0.0005 times the sum of squared contact forces.

    ## Starting State
    Positions uniform within ±`reset_noise_scale` around the model's, velocities normal with that standard deviation.

    ## Episode End
    Termination: the torso's height leaves 0.2 to 1, or a value isn't finite. Truncation: after 1,000 steps.

    ## Arguments
    - `reset_noise_scale` (0.1): the range of start states.
    - `autoreset_mode` (`"same_step"`), `max_episode_steps` (1000): see `BatchedEnv`.

    ## Version History
    - v5: as Gymnasium's `Ant-v5`.
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
        single = AntEnv()
        self._dt = single.dt
        super().__init__(
            num_envs, single, persistent=True, max_episode_steps=max_episode_steps, autoreset_mode=autoreset_mode
        )
        self._torso: Floats = self._batch.bind("xpos")
        self._model, self._data = single.model, mujoco.MjData(single.model)
        self._forces = np.zeros((num_envs, *self._data.cfrc_ext.shape))

    def _draw_starts(self, generator: np.random.Generator, count: int) -> Floats:
        nq, nv = self._qpos.shape[1], self._qvel.shape[1]
        return draw_uniform_and_normal(generator, count, nq, nv, self._reset_noise_scale)

    def _begin(self, lanes: Lanes, starts: Floats) -> NDArray[Any]:
        self._forces[lanes] = 0.0  # as in Gymnasium, where only a step computes them
        return super()._begin(lanes, starts)

    def _remember(self, lanes: Lanes | slice, actions: NDArray[Any]) -> None:
        self._x_before = self._torso[lanes, TORSO, 0].copy()
        self._control_cost = CONTROL_COST * np.sum(np.square(actions), axis=1)

    def _derive(self, lanes: Lanes | slice) -> None:
        chosen = range(self.num_envs) if isinstance(lanes, slice) else lanes.tolist()
        for lane in chosen:
            self._batch.get_data(lane, self._data)
            mujoco.mj_rnePostConstraint(self._model, self._data)
            self._forces[lane] = self._data.cfrc_ext
        np.clip(self._forces, -1.0, 1.0, out=self._forces)

    def _observe(self, lanes: Lanes | slice) -> Floats:
        forces = self._forces[lanes, 1:]
        return np.concatenate([self._qpos[lanes, 2:], self._qvel[lanes], forces.reshape(len(forces), -1)], axis=1)

    def _outcome(self, lanes: Lanes | slice, observations: Floats) -> tuple[Floats, Bools]:
        healthy = is_healthy(self._qpos[lanes], self._qvel[lanes])
        forces = self._forces[lanes]
        contact_cost = CONTACT_COST * np.sum(np.square(forces).reshape(len(forces), -1), axis=1)
        speed = (self._torso[lanes, TORSO, 0] - self._x_before) / self._dt
        return speed + healthy * HEALTHY_REWARD - (self._control_cost + contact_cost), ~healthy


def is_healthy(qpos: Floats, qvel: Floats) -> Bools:
    """Whether the torso of each of these ants is at a height at which it walks, and every value finite."""
    height = qpos[:, 2]
    upright: Bools = (height >= LEAST_HEIGHT) & (height <= MOST_HEIGHT)
    finite: Bools = np.isfinite(np.concatenate([qpos, qvel], axis=1)).all(axis=1)
    return upright & finite


gymnasium.register(
    id="tlbench/Ant-v5",
    entry_point="gymnasium.envs.mujoco.ant_v5:AntEnv",
    vector_entry_point=f"{__name__}:AntVectorEnv",
    max_episode_steps=1000,
    reward_threshold=6000.0,
)
