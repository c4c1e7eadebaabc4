"""Acrobot, vectorised: `tlbench/Acrobot-v1`."""

import math
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.classic_control.acrobot import AcrobotEnv
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from tlbench.tasks.environments.batched import Floats, Lanes, Transition
from tlbench.tasks.environments.batched_array import BatchedArrayEnv

GRAVITY = 9.8
TIMESTEP = 0.2
MAX_VELOCITIES = (4 * math.pi, 9 * math.pi)

# Both links have mass, length and moment of inertia 1 and their centre of mass at 0.5; what follows from that is
# written as numbers. Arrays without dimensions are faster operands for NumPy than Python's numbers.
_QUARTER, _HALF, _MINUS_HALF = np.array(0.25), np.array(0.5), np.array(-0.5)
_ONE, _FIVE_QUARTERS, _TWO = np.array(1.0), np.array(1.25), np.array(2.0)
_PI, _MINUS_PI, _TWO_PI, _HALF_PI = np.array(math.pi), np.array(-math.pi), np.array(2 * math.pi), np.array(math.pi / 2)
_GRAVITY_2, _GRAVITY_1 = np.array(0.5 * GRAVITY), np.array(1.5 * GRAVITY)
_TIMESTEP, _HALF_TIMESTEP, _SIXTH_TIMESTEP = np.array(TIMESTEP), np.array(TIMESTEP / 2), np.array(TIMESTEP / 6)
_TORQUES = np.array([-1.0, 0.0, 1.0])


class AcrobotVectorEnv(BatchedArrayEnv):
    """Swing the free end of a two-link pendulum above a line, by a torque at the middle joint.

    ## Description
    Sutton's (1996) acrobot in the version of Sutton and Barto's book, as Gymnasium's `Acrobot-v1`: two links hang from
    a fixed joint, and only the joint between them is actuated. Integrated by one Runge-Kutta step of 0.2 s. Every
    transition is bitwise equal to Gymnasium's single environment.

    ## Action Space
    `Discrete(3)`: a torque of -1, 0 or 1 on the joint between the links.

    ## Observation Space
    `Box(shape=(6,), dtype=float32)`: cosine and sine of the first angle (0 hangs down), cosine and sine of the second
    (relative to the first), angular velocities (±4 pi, ±9 pi).

    ## Rewards
    -1 for every step, 0 for the one that terminates.

    ## Starting State
    Both angles and both angular velocities uniform in (-0.1, 0.1), rounded to float32.

    ## Episode End
    Termination: -cos(angle 1) - cos(angle 1 + angle 2) > 1. Truncation: after 500 steps.

    ## Arguments
    - `autoreset_mode` (`"same_step"`), `max_episode_steps` (500): see `BatchedEnv`.

    ## Version History
    - v1: as Gymnasium's `Acrobot-v1`.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        max_episode_steps: int = 500,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
    ) -> None:
        """Create the lanes; the class lists the arguments."""
        single = AcrobotEnv()
        super().__init__(
            num_envs,
            4,  # two angles, two angular velocities
            single.observation_space,
            single.action_space,
            max_episode_steps=max_episode_steps,
            autoreset_mode=autoreset_mode,
        )

    def _draw_starts(self, generator: np.random.Generator, count: int) -> Floats:
        return generator.uniform(-0.1, 0.1, (count, 4))

    def _begin(self, lanes: Lanes, starts: Floats) -> NDArray[Any]:
        rounded = starts.T.astype(np.float32)
        self._state[:, lanes] = rounded
        angle_1, angle_2, velocity_1, velocity_2 = rounded
        components = [np.cos(angle_1), np.sin(angle_1), np.cos(angle_2), np.sin(angle_2), velocity_1, velocity_2]
        return np.stack(components, axis=1)

    def _allocate(self, state: Floats) -> None:
        lanes = state.shape[1]
        self._point = _Point(state)
        self._stage = _Point(np.empty((4, lanes)))
        self._slopes = tuple(_Point(np.empty((4, lanes))) for _ in range(4))
        self._max_velocities = np.repeat(MAX_VELOCITIES, lanes).reshape(2, lanes)
        self._min_velocities = -self._max_velocities
        self._wrapped = np.empty((2, lanes), np.bool_)
        self._arguments, self._cosines = np.empty((2, 3, lanes))
        self._argument_rows, self._cosine_rows = tuple(self._arguments), tuple(self._cosines)
        self._squares = np.empty((2, lanes))
        self._square_rows = tuple(self._squares)
        self._work = tuple(np.empty((5, lanes)))
        self._output = np.empty((6, lanes))
        self._output_cosines, self._output_sines = self._output[0:4:2], self._output[1:4:2]
        self._output_velocities = self._output[4:]
        self._cosine_1 = self._output[0]

    def _advance(self, actions: NDArray[Any]) -> Transition:
        torque = _TORQUES[actions]
        point, stage = self._point, self._stage
        slope_1, slope_2, slope_3, slope_4 = self._slopes
        self._derivatives(point, torque, slope_1)
        self._move(slope_1, _HALF_TIMESTEP)
        self._derivatives(stage, torque, slope_2)
        self._move(slope_2, _HALF_TIMESTEP)
        self._derivatives(stage, torque, slope_3)
        self._move(slope_3, _TIMESTEP)
        self._derivatives(stage, torque, slope_4)
        total = slope_1.all
        np.multiply(slope_2.all, _TWO, slope_2.all)
        np.add(total, slope_2.all, total)
        np.multiply(slope_3.all, _TWO, slope_3.all)
        np.add(total, slope_3.all, total)
        np.add(total, slope_4.all, total)
        np.multiply(total, _SIXTH_TIMESTEP, total)
        np.add(point.all, total, point.all)

        angles, velocities, wrapped = point.angles, point.velocities, self._wrapped
        while np.count_nonzero(np.greater(angles, _PI, wrapped)):
            np.subtract(angles, _TWO_PI, out=angles, where=wrapped)
        while np.count_nonzero(np.less(angles, _MINUS_PI, wrapped)):
            np.add(angles, _TWO_PI, out=angles, where=wrapped)
        np.maximum(velocities, self._min_velocities, velocities)
        np.minimum(velocities, self._max_velocities, velocities)

        np.cos(angles, self._output_cosines)
        np.sin(angles, self._output_sines)
        self._output_velocities[:] = velocities
        first, second = self._work[:2]
        np.add(point.angle_2, point.angle_1, second)
        np.cos(second, second)
        np.negative(self._cosine_1, first)
        np.subtract(first, second, first)
        terminations = np.greater(first, _ONE)
        return self._output.T.astype(np.float32, order="C"), np.subtract(terminations, _ONE), terminations

    def _move(self, slope: "_Point", time: NDArray[np.float64]) -> None:
        """Put the stage where the state gets in this time along this slope."""
        np.multiply(slope.all, time, self._stage.all)
        np.add(self._point.all, self._stage.all, self._stage.all)

    def _derivatives(self, point: "_Point", torque: Floats, slope: "_Point") -> None:
        """Write the time derivatives at a point into slope, in the order of operations of Gymnasium's code."""
        angle_1, angle_2, velocity_1, velocity_2 = point.angle_1, point.angle_2, point.velocity_1, point.velocity_2
        acceleration_1, acceleration_2 = slope.velocity_1, slope.velocity_2
        sine_2, d1, d2, phi1, work = self._work

        argument_2, argument_12, argument_1 = self._argument_rows
        argument_2[:] = angle_2
        np.add(angle_1, angle_2, argument_12)
        np.subtract(argument_12, _HALF_PI, argument_12)
        np.subtract(angle_1, _HALF_PI, argument_1)
        np.cos(self._arguments, self._cosines)
        cosine_2, phi2, gravity_1 = self._cosine_rows
        np.sin(angle_2, sine_2)
        np.multiply(phi2, _GRAVITY_2, phi2)
        np.multiply(gravity_1, _GRAVITY_1, gravity_1)

        # d1 = 1/4 + (5/4 + cos) + 1 + 1 and d2 = (1/4 + cos / 2) + 1
        np.add(cosine_2, _FIVE_QUARTERS, d1)
        np.add(d1, _QUARTER, d1)
        np.add(d1, _ONE, d1)
        np.add(d1, _ONE, d1)
        np.multiply(cosine_2, _HALF, d2)
        np.add(d2, _QUARTER, d2)
        np.add(d2, _ONE, d2)

        # phi1 = -velocity_2^2 sin / 2 - velocity_2 velocity_1 sin + gravity_1 + phi2
        # Gymnasium squares scalars, which calls the C library's pow, as float_power does and arrays' ** doesn't.
        np.float_power(point.velocities, _TWO, self._squares)
        square_1, square_2 = self._square_rows
        np.multiply(square_2, _MINUS_HALF, phi1)
        np.multiply(phi1, sine_2, phi1)
        np.multiply(velocity_2, velocity_1, work)
        np.multiply(work, sine_2, work)
        np.subtract(phi1, work, phi1)
        np.add(phi1, gravity_1, phi1)
        np.add(phi1, phi2, phi1)

        # acceleration_2 = (torque + d2 / d1 phi1 - velocity_1^2 sin / 2 - phi2) / (5/4 - d2^2 / d1)
        np.divide(d2, d1, acceleration_2)
        np.multiply(acceleration_2, phi1, acceleration_2)
        np.add(acceleration_2, torque, acceleration_2)
        np.multiply(square_1, _HALF, work)
        np.multiply(work, sine_2, work)
        np.subtract(acceleration_2, work, acceleration_2)
        np.subtract(acceleration_2, phi2, acceleration_2)
        np.float_power(d2, _TWO, work)
        np.divide(work, d1, work)
        np.subtract(_FIVE_QUARTERS, work, work)
        np.divide(acceleration_2, work, acceleration_2)

        # acceleration_1 = -(d2 acceleration_2 + phi1) / d1
        np.multiply(d2, acceleration_2, acceleration_1)
        np.add(acceleration_1, phi1, acceleration_1)
        np.negative(acceleration_1, acceleration_1)
        np.divide(acceleration_1, d1, acceleration_1)
        slope.angles[:] = point.velocities


class _Point:
    """A state of all lanes or its time derivative, [component, lane], and views of its parts."""

    def __init__(self, components: Floats) -> None:
        self.all = components
        self.angles, self.velocities = components[:2], components[2:]
        self.angle_1, self.angle_2, self.velocity_1, self.velocity_2 = components


gymnasium.register(
    id="tlbench/Acrobot-v1",
    entry_point="gymnasium.envs.classic_control.acrobot:AcrobotEnv",
    vector_entry_point=f"{__name__}:AcrobotVectorEnv",
    max_episode_steps=500,
    reward_threshold=-100.0,
)
