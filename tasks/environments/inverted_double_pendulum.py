"""InvertedDoublePendulum, vectorised: `tlbench/InvertedDoublePendulum-v5`."""

import gymnasium
import numpy as np
from gymnasium.envs.mujoco.inverted_double_pendulum_v5 import InvertedDoublePendulumEnv
from gymnasium.vector import AutoresetMode

from tlbench.tasks.environments.batched import Bools, Floats, Lanes
from tlbench.tasks.environments.batched_mujoco import BatchedMujocoEnv, draw_uniform_and_normal

TIP = 0  # the site at the end of the second pole


class InvertedDoublePendulumVectorEnv(BatchedMujocoEnv):
    """Balance two poles, one on top of the other, on a cart by a continuous force on the cart.

    ## Description
    As Gymnasium's `InvertedDoublePendulum-v5`, simulated by MuJoCo. Every transition is bitwise equal to Gymnasium's
    single environment given actions of type float32.

    ## Action Space
    `Box(-1, 1, shape=(1,), dtype=float32)`: the force on the cart; larger ones are clipped by MuJoCo.

    ## Observation Space
    `Box(-inf, inf, shape=(9,), dtype=float64)`: cart position, sines of both joint angles, cosines of both, the
    velocities of cart and joints (clipped to ±10), the constraint force on the cart (clipped to ±10).

    ## Rewards
    `healthy_reward` while not terminated, minus 0.01 x^2 + (y - 2)^2 for the tip's position, minus
    0.001 v1^2 + 0.005 v2^2 for the joint velocities.

    ## Starting State
    Positions uniform in (-`reset_noise_scale`, `reset_noise_scale`), velocities normal with that standard deviation.

    ## Episode End
    Termination: the tip's height is at most 1. Truncation: after 1,000 steps.

    ## Arguments
    - `xml_file` (`"inverted_double_pendulum.xml"`): the model, one of Gymnasium's or a path.
    - `frame_skip` (5): simulation steps per step.
    - `healthy_reward` (10.0): the reward for not falling.
    - `reset_noise_scale` (0.1): the range of start states.
    - `autoreset_mode` (`"same_step"`), `max_episode_steps` (1000): see `BatchedEnv`.

    ## Version History
    - v5: as Gymnasium's `InvertedDoublePendulum-v5`.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        xml_file: str = "inverted_double_pendulum.xml",
        frame_skip: int = 5,
        healthy_reward: float = 10.0,
        reset_noise_scale: float = 0.1,
        max_episode_steps: int = 1000,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
    ) -> None:
        """Create the lanes; the class lists the arguments."""
        self._healthy_reward = healthy_reward
        self._reset_noise_scale = reset_noise_scale
        super().__init__(
            num_envs,
            InvertedDoublePendulumEnv(xml_file, frame_skip),
            max_episode_steps=max_episode_steps,
            autoreset_mode=autoreset_mode,
        )
        self._site_xpos: Floats = self._batch.bind("site_xpos")
        self._qfrc_constraint: Floats = self._batch.bind("qfrc_constraint")

    def _draw_starts(self, generator: np.random.Generator, count: int) -> Floats:
        nq, nv = self._qpos.shape[1], self._qvel.shape[1]
        return draw_uniform_and_normal(generator, count, nq, nv, self._reset_noise_scale)

    def _observe(self, lanes: Lanes | slice) -> Floats:
        qpos = self._qpos[lanes]
        velocities = np.minimum(np.maximum(self._qvel[lanes], -10.0), 10.0)
        force = np.minimum(np.maximum(self._qfrc_constraint[lanes, :1], -10.0), 10.0)
        angles = qpos[:, 1:]
        return np.concatenate([qpos[:, :1], np.sin(angles), np.cos(angles), velocities, force], axis=1)

    def _outcome(self, lanes: Lanes | slice, observations: Floats) -> tuple[Floats, Bools]:
        tip = self._site_xpos[lanes, TIP]
        joint_velocities = self._qvel[lanes, 1:3]
        terminations = tip[:, 2] <= 1
        # Gymnasium squares scalars, which calls the C library's pow, as float_power does and arrays' ** doesn't.
        squares = np.float_power(joint_velocities, 2.0)
        distance_penalty = 0.01 * np.float_power(tip[:, 0], 2.0) + np.float_power(tip[:, 2] - 2, 2.0)
        velocity_penalty = 1e-3 * squares[:, 0] + 5e-3 * squares[:, 1]
        rewards = self._healthy_reward * np.logical_not(terminations) - distance_penalty - velocity_penalty
        return rewards, terminations


gymnasium.register(
    id="tlbench/InvertedDoublePendulum-v5",
    entry_point="gymnasium.envs.mujoco.inverted_double_pendulum_v5:InvertedDoublePendulumEnv",
    vector_entry_point=f"{__name__}:InvertedDoublePendulumVectorEnv",
    max_episode_steps=1000,
    reward_threshold=9100.0,
)
