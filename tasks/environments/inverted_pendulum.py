"""InvertedPendulum, vectorised: `tlbench/InvertedPendulum-v5`."""

import gymnasium
import numpy as np
from gymnasium.envs.mujoco.inverted_pendulum_v5 import InvertedPendulumEnv
from gymnasium.vector import AutoresetMode

from tlbench.tasks.environments.batched import Bools, Floats, Lanes
from tlbench.tasks.environments.batched_mujoco import BatchedMujocoEnv

ANGLE_LIMIT = 0.2


class InvertedPendulumVectorEnv(BatchedMujocoEnv):
    """Balance a pole on a cart by a continuous force on the cart, simulated by MuJoCo.

    ## Description
    The cart-pole problem with a continuous action, as Gymnasium's `InvertedPendulum-v5`. Every transition is bitwise
    equal to Gymnasium's single environment given actions of type float32.

    ## Action Space
    `Box(-3, 3, shape=(1,), dtype=float32)`: the force on the cart; larger ones are clipped by MuJoCo.

    ## Observation Space
    `Box(-inf, inf, shape=(4,), dtype=float64)`: cart position, pole angle, cart velocity, pole angular velocity.

    ## Rewards
    1 for every step that doesn't terminate.

    ## Starting State
    All positions and velocities uniform in (-`reset_noise_scale`, `reset_noise_scale`).

    ## Episode End
    Termination: the pole angle leaves ±0.2 rad, or a value isn't finite. Truncation: after 1,000 steps.

    ## Arguments
    - `xml_file` (`"inverted_pendulum.xml"`): the model, one of Gymnasium's or a path.
    - `frame_skip` (2): simulation steps per step.
    - `reset_noise_scale` (0.01): the range of start states.
    - `autoreset_mode` (`"same_step"`), `max_episode_steps` (1000): see `BatchedEnv`.

    ## Version History
    - v5: as Gymnasium's `InvertedPendulum-v5`.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        xml_file: str = "inverted_pendulum.xml",
        frame_skip: int = 2,
        reset_noise_scale: float = 0.01,
        max_episode_steps: int = 1000,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
    ) -> None:
        """Create the lanes; the class lists the arguments."""
        self._reset_noise_scale = reset_noise_scale
        super().__init__(
            num_envs,
            InvertedPendulumEnv(xml_file, frame_skip),
            max_episode_steps=max_episode_steps,
            autoreset_mode=autoreset_mode,
        )

    def _draw_starts(self, generator: np.random.Generator, count: int) -> Floats:
        scale = self._reset_noise_scale
        return generator.uniform(-scale, scale, (count, self._qpos.shape[1] + self._qvel.shape[1]))

    def _observe(self, lanes: Lanes | slice) -> Floats:
        return np.concatenate([self._qpos[lanes], self._qvel[lanes]], axis=1)

    def _outcome(self, lanes: Lanes | slice, observations: Floats) -> tuple[Floats, Bools]:
        terminations = np.abs(observations[:, 1]) > ANGLE_LIMIT
        finite = np.isfinite(observations)
        if np.count_nonzero(finite) != finite.size:
            terminations |= ~finite.all(axis=1)
        return np.subtract(1.0, terminations), terminations


gymnasium.register(
    id="tlbench/InvertedPendulum-v5",
    entry_point="gymnasium.envs.mujoco.inverted_pendulum_v5:InvertedPendulumEnv",
    vector_entry_point=f"{__name__}:InvertedPendulumVectorEnv",
    max_episode_steps=1000,
    reward_threshold=950.0,
)
