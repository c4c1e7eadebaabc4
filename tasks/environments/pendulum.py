"""Pendulum, vectorised: `tlbench/Pendulum-v1`."""

import math
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.classic_control.pendulum import PendulumEnv
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from tlbench.tasks.environments.batched import Floats, Lanes, Transition
from tlbench.tasks.environments.batched_array import BatchedArrayEnv

MAX_SPEED = 8.0
MAX_TORQUE = 2.0
TIMESTEP = 0.05
START_BOUNDS = np.array([math.pi, 1.0])

# Constants as arrays without dimensions: faster operands for NumPy than Python's numbers.
_PI = np.array(math.pi)
_TWO_PI = np.array(2 * math.pi)
_TWO = np.array(2.0)
_TIMESTEP = np.array(TIMESTEP)
_MIN_SPEED, _MAX_SPEED = np.array(-MAX_SPEED), np.array(MAX_SPEED)
_MIN_TORQUE, _MAX_TORQUE = np.array(-MAX_TORQUE, np.float32), np.array(MAX_TORQUE, np.float32)
_TORQUE_GAIN = np.array(3.0, np.float32)
_SPEED_COST = np.array(0.1)
_TORQUE_COST = np.array(0.001, np.float32)
_BELOW, _ABOVE = np.array(1 - 1e-9), np.array(1 + 1e-9)


class PendulumVectorEnv(BatchedArrayEnv):
    """Swing a pendulum up by a torque at its joint and hold it there.

    ## Description
    The inverted pendulum swing-up problem, as Gymnasium's `Pendulum-v1`: a rod of length and mass 1 hangs on an
    actuated joint that is too weak to lift it directly. Every transition is bitwise equal to Gymnasium's single
    environment given actions of type float32.

    ## Action Space
    `Box(-2, 2, shape=(1,), dtype=float32)`: the torque; larger ones are clipped.

    ## Observation Space
    `Box(shape=(3,), dtype=float32)`: cosine and sine of the angle (±1; the angle is 0 upright), angular velocity (±8).

    ## Rewards
    -(angle^2 + 0.1 velocity^2 + 0.001 torque^2), the angle normalised to [-pi, pi], all before the step.

    ## Starting State
    Angle uniform in (-pi, pi), angular velocity uniform in (-1, 1).

    ## Episode End
    No termination. Truncation: after 200 steps.

    ## Arguments
    - `g` (10.0): the acceleration of gravity.
    - `autoreset_mode` (`"same_step"`), `max_episode_steps` (200): see `BatchedEnv`.

    ## Version History
    - v1: as Gymnasium's `Pendulum-v1`.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        g: float = 10.0,
        max_episode_steps: int = 200,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
    ) -> None:
        """Create the lanes; the class lists the arguments."""
        single = PendulumEnv(g=g)
        self._gravity_gain = np.array(3 * g / 2)
        super().__init__(
            num_envs,
            2,  # angle, angular velocity
            single.observation_space,
            single.action_space,
            max_episode_steps=max_episode_steps,
            autoreset_mode=autoreset_mode,
        )

    def _draw_starts(self, generator: np.random.Generator, count: int) -> Floats:
        return generator.uniform(-START_BOUNDS, START_BOUNDS, (count, 2))

    def _begin(self, lanes: Lanes, starts: Floats) -> NDArray[Any]:
        self._state[:, lanes] = starts.T
        angle, velocity = starts.T
        return np.stack([np.cos(angle), np.sin(angle), velocity], axis=1, dtype=np.float32, casting="same_kind")

    def _allocate(self, state: Floats) -> None:
        lanes = state.shape[1]
        self._angle, self._velocity = state
        self._cost_terms = np.empty((2, lanes))
        self._normalised_angle, self._speed_term = self._cost_terms
        self._change = np.empty(lanes)
        self._output = np.empty((3, lanes))
        self._cosine, self._sine, self._output_velocity = self._output

    def _advance(self, actions: NDArray[Any]) -> Transition:
        angle, velocity, change = self._angle, self._velocity, self._change
        torque = np.maximum(actions[:, 0], _MIN_TORQUE)
        np.minimum(torque, _MAX_TORQUE, torque)

        normalised_angle, speed_term = self._normalised_angle, self._speed_term
        np.add(angle, _PI, normalised_angle)
        np.remainder(normalised_angle, _TWO_PI, normalised_angle)
        np.subtract(normalised_angle, _PI, normalised_angle)
        speed_term[:] = velocity
        # Gymnasium squares scalars, which calls the C library's pow, as float_power does and arrays' ** doesn't.
        np.float_power(self._cost_terms, _TWO, self._cost_terms)
        np.multiply(speed_term, _SPEED_COST, speed_term)
        np.add(normalised_angle, speed_term, normalised_angle)
        torque_term = _scalar_squares(torque)
        np.multiply(torque_term, _TORQUE_COST, torque_term)
        np.add(normalised_angle, torque_term, normalised_angle)
        rewards = np.negative(normalised_angle)

        np.sin(angle, change)
        np.multiply(change, self._gravity_gain, change)
        np.multiply(torque, _TORQUE_GAIN, torque)
        np.add(change, torque, change)
        np.multiply(change, _TIMESTEP, change)
        np.add(velocity, change, velocity)
        np.maximum(velocity, _MIN_SPEED, velocity)
        np.minimum(velocity, _MAX_SPEED, velocity)
        np.multiply(velocity, _TIMESTEP, change)
        np.add(angle, change, angle)

        np.cos(angle, self._cosine)
        np.sin(angle, self._sine)
        self._output_velocity[:] = velocity
        observations = self._output.T.astype(np.float32, order="C")
        return observations, rewards, np.zeros(len(actions), np.bool_)


def _scalar_squares(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Squares of float32 numbers as NumPy's scalars compute them, bit for bit.

    A scalar's `**` calls the C library's powf, which misses the nearest float32 where the exact square lies within
    0.002 units in the last place of the middle between two. Those few (one in fifty, with a margin) are computed as
    scalars, the others exactly in float64 and rounded.
    """
    wide = x.astype(np.float64)
    np.multiply(wide, wide, wide)
    squares: NDArray[np.float32] = np.multiply(wide, _BELOW).astype(np.float32)
    doubtful = np.not_equal(squares, np.multiply(wide, _ABOVE).astype(np.float32))
    if np.count_nonzero(doubtful):
        for i in np.flatnonzero(doubtful).tolist():
            squares[i] = x[i] ** 2
    return squares


gymnasium.register(
    id="tlbench/Pendulum-v1",
    entry_point="gymnasium.envs.classic_control.pendulum:PendulumEnv",
    vector_entry_point=f"{__name__}:PendulumVectorEnv",
    max_episode_steps=200,
)
