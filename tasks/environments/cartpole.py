"""CartPole, vectorised: `tlbench/CartPole-v1`."""

import math
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.classic_control import cartpole
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from tlbench.tasks.environments.batched import Floats, Lanes, Transition
from tlbench.tasks.environments.batched_array import BatchedArrayEnv

GRAVITY = 9.8
CART_MASS = 1.0
POLE_MASS = 0.1
FORCE = 10.0
TIMESTEP = 0.02
POSITION_LIMIT = 2.4
ANGLE_LIMIT = 12 * 2 * math.pi / 360

# Constants as arrays without dimensions: faster operands for NumPy than Python's numbers.
_GRAVITY = np.array(GRAVITY)
_POLE_MASS = np.array(POLE_MASS)
_TOTAL_MASS = np.array(POLE_MASS + CART_MASS)
_TIMESTEP = np.array(TIMESTEP)
_FOUR_THIRDS = np.array(4.0 / 3.0)
_FORCES = np.array([-FORCE, FORCE])
_OBSERVATION_TO_STATE = [0, 2, 1, 3]


class CartPoleEnv(cartpole.CartPoleEnv):
    """Gymnasium's single CartPole with the options of `CartPoleVectorEnv`."""

    def __init__(
        self, pole_half_length: float = 0.5, observation_sign: int = 1, render_mode: str | None = None
    ) -> None:
        """Create the environment; the arguments are those of `CartPoleVectorEnv`."""
        super().__init__(render_mode=render_mode)
        _check_options(pole_half_length, observation_sign)
        self.length = pole_half_length
        self.polemass_length = self.masspole * pole_half_length
        self._observation_sign = np.float32(observation_sign)

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Take one action, as Gymnasium's environment does."""
        observation, reward, terminated, truncated, info = super().step(action)  # type: ignore[no-untyped-call]
        return observation * self._observation_sign, reward, terminated, truncated, info

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode, as Gymnasium's environment does."""
        observation, info = super().reset(seed=seed, options=options)
        return observation * self._observation_sign, info


class CartPoleVectorEnv(BatchedArrayEnv):
    """Balance a pole on a cart by pushing the cart to the left or to the right.

    ## Description
    The cart-pole problem of Barto, Sutton and Anderson (1983), as Gymnasium's `CartPole-v1`: a pole stands on an
    un-actuated joint on a cart, which moves along a frictionless track. Every transition is bitwise equal to
    Gymnasium's single environment.

    ## Action Space
    `Discrete(2)`: 0 pushes the cart to the left, 1 to the right, with a fixed force.

    ## Observation Space
    `Box(shape=(4,), dtype=float32)`: cart position (±4.8), cart velocity (±inf), pole angle (±0.418 rad), pole angular
    velocity (±inf); all times `observation_sign`.

    ## Rewards
    1 for every step, including the one that terminates.

    ## Starting State
    All four components uniform in (-0.05, 0.05).

    ## Episode End
    Termination: the pole angle leaves ±12 degrees, or the cart position leaves ±2.4. Truncation: after 500 steps.

    ## Arguments
    - `pole_half_length` (0.5): half the pole's length; 1.0 is the long pole.
    - `observation_sign` (1): -1 negates all observations and changes nothing else.
    - `autoreset_mode` (`"same_step"`), `max_episode_steps` (500): see `BatchedEnv`.

    ## Version History
    - v1: as Gymnasium's `CartPole-v1`.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        pole_half_length: float = 0.5,
        observation_sign: int = 1,
        max_episode_steps: int = 500,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
    ) -> None:
        """Create the lanes; the class lists the arguments."""
        _check_options(pole_half_length, observation_sign)
        single = CartPoleEnv()
        self._pole_half_length = np.array(pole_half_length)
        self._pole_mass_length = np.array(POLE_MASS * pole_half_length)
        self._observation_sign = np.float32(observation_sign)
        super().__init__(
            num_envs,
            4,  # position, angle, and the velocities of both
            single.observation_space,
            single.action_space,
            max_episode_steps=max_episode_steps,
            autoreset_mode=autoreset_mode,
        )

    def _draw_starts(self, generator: np.random.Generator, count: int) -> Floats:
        return generator.uniform(-0.05, 0.05, (count, 4))

    def _begin(self, lanes: Lanes, starts: Floats) -> NDArray[Any]:
        self._state[:, lanes] = starts[:, _OBSERVATION_TO_STATE].T
        return starts.astype(np.float32) * self._observation_sign

    def _allocate(self, state: Floats) -> None:
        lanes = state.shape[1]
        self._coordinates, self._velocities = state[:2], state[2:]
        self._angle, self._angular_velocity = state[1], state[3]
        self._by_observation = state.reshape(2, 2, lanes).transpose(2, 1, 0)  # [lane, coordinate, its velocity]
        self._accelerations, self._increments = np.empty((2, 2, lanes))
        self._acceleration, self._angular_acceleration = self._accelerations
        self._limits = np.repeat([POSITION_LIMIT, ANGLE_LIMIT], lanes).reshape(2, lanes)
        self._outside = np.empty((2, lanes), np.bool_)
        self._outside_position, self._outside_angle = self._outside
        self._cosine, self._sine, self._drive, self._work = np.empty((4, lanes))
        self._rewards = np.ones(lanes)

    def _advance(self, actions: NDArray[Any]) -> Transition:
        cosine, sine, drive, work = self._cosine, self._sine, self._drive, self._work
        acceleration, angular_acceleration = self._acceleration, self._angular_acceleration
        np.cos(self._angle, cosine)
        np.sin(self._angle, sine)

        # drive = (force + m_pole l angular_velocity^2 sin) / m
        np.square(self._angular_velocity, drive)
        np.multiply(drive, self._pole_mass_length, drive)
        np.multiply(drive, sine, drive)
        np.add(drive, _FORCES[actions], drive)
        np.divide(drive, _TOTAL_MASS, drive)

        # angular acceleration = (g sin - cos drive) / (l (4/3 - m_pole cos^2 / m))
        np.multiply(sine, _GRAVITY, sine)
        np.multiply(cosine, drive, angular_acceleration)
        np.subtract(sine, angular_acceleration, angular_acceleration)
        np.square(cosine, work)
        np.multiply(work, _POLE_MASS, work)
        np.divide(work, _TOTAL_MASS, work)
        np.subtract(_FOUR_THIRDS, work, work)
        np.multiply(work, self._pole_half_length, work)
        np.divide(angular_acceleration, work, angular_acceleration)

        # acceleration = drive - m_pole l angular_acceleration cos / m
        np.multiply(angular_acceleration, self._pole_mass_length, work)
        np.multiply(work, cosine, work)
        np.divide(work, _TOTAL_MASS, work)
        np.subtract(drive, work, acceleration)

        # Euler: the coordinates move with the old velocities.
        np.multiply(self._velocities, _TIMESTEP, self._increments)
        np.add(self._coordinates, self._increments, self._coordinates)
        np.multiply(self._accelerations, _TIMESTEP, self._accelerations)
        np.add(self._velocities, self._accelerations, self._velocities)

        np.abs(self._coordinates, self._increments)
        np.greater(self._increments, self._limits, self._outside)
        terminations = np.logical_or(self._outside_position, self._outside_angle)
        observations = np.empty((len(actions), 4), np.float32)
        observations.reshape(-1, 2, 2)[:] = self._by_observation
        if self._observation_sign < 0:
            np.negative(observations, observations)
        return observations, self._rewards.copy(), terminations


def _check_options(pole_half_length: float, observation_sign: int) -> None:
    if not 0 < pole_half_length < math.inf:
        raise ValueError(f"pole_half_length must be positive and finite, got {pole_half_length}")
    if observation_sign not in {-1, 1}:
        raise ValueError(f"observation_sign must be 1 or -1, got {observation_sign}")


gymnasium.register(
    id="tlbench/CartPole-v1",
    entry_point=f"{__name__}:CartPoleEnv",
    vector_entry_point=f"{__name__}:CartPoleVectorEnv",
    max_episode_steps=500,
    reward_threshold=475.0,
)
