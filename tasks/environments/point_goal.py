"""A point that walks to a goal in the plane, vectorised: `tlbench/PointGoal-v1`."""

import math
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from tlbench.tasks.environments.batched import Bools, Floats, KnownReward, KnownTermination, Lanes, Transition
from tlbench.tasks.environments.batched_array import BatchedArrayEnv

STEP = 0.1
REACHED = 0.01


def _spaces(unit_actions: bool) -> tuple[Box, Box]:
    bound = 1.0 if unit_actions else STEP
    return Box(-np.inf, np.inf, (2,), np.float64), Box(-bound, bound, (2,), np.float32)


def _moves(actions: NDArray[Any], unit_actions: bool) -> Floats:
    wide = np.asarray(actions, np.float64)
    return STEP * np.clip(wide, -1.0, 1.0) if unit_actions else np.clip(wide, -STEP, STEP)


def _goal(goal_x: float, goal_y: float) -> Floats:
    if not (math.isfinite(goal_x) and math.isfinite(goal_y)):
        raise ValueError(f"goal_x and goal_y must be numbers, got {goal_x} and {goal_y}")
    return np.array([goal_x, goal_y], np.float64)


class PointGoalEnv(gymnasium.Env[NDArray[Any], NDArray[Any]]):
    """The single environment of `PointGoalVectorEnv`, which describes it."""

    def __init__(
        self, goal_x: float = 0.3, goal_y: float = 0.3, start_range: float = 0.05, unit_actions: bool = False
    ) -> None:
        """Create it; the vector environment lists the arguments."""
        self.observation_space, self.action_space = _spaces(unit_actions)
        self._unit_actions = unit_actions
        self._goal = _goal(goal_x, goal_y)
        self._start_range = start_range
        self._position = np.zeros(2)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Put the point at its start."""
        super().reset(seed=seed, options=options)
        self._position = self.np_random.uniform(-self._start_range, self._start_range, 2)
        return self._position.copy(), {}

    def step(self, action: NDArray[Any]) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        """Move the point."""
        self._position = self._position + _moves(action, self._unit_actions)
        x, y = self._position - self._goal
        distance = math.sqrt(x * x + y * y)
        return self._position.copy(), -distance, distance < REACHED, False, {}


class PointGoalVectorEnv(BatchedArrayEnv):
    """Walk to a goal in the plane that is not observed: a family of tasks that differ in their reward.

    ## Description
    The 2D navigation of MAML (Finn et al. 2017, section 5.3). The goal has to be found from the rewards.

    ## Action Space
    `Box(-0.1, 0.1, shape=(2,), dtype=float32)`: how far to move; longer moves are clipped. With `unit_actions`,
    `Box(-1, 1, ...)`: the same in tenths.

    ## Observation Space
    `Box(-inf, inf, shape=(2,), dtype=float64)`: the point's position.

    ## Rewards
    Minus the distance from the goal after the move.

    ## Starting State
    Uniform within ±`start_range` of the origin.

    ## Episode End
    Termination: the point is within 0.01 of the goal. Truncation: after 100 steps.

    ## Arguments
    - `goal_x`, `goal_y` (0.3): the goal; the family's range is -0.5 to 0.5.
    - `start_range` (0.05): the range of start positions; MAML has 0.
    - `unit_actions` (`False`): actions in [-1, 1], in units of the longest move, as MAML's code shows them to its
      policies, and as Gaussian policies of standard deviation 1 need them.
    - `autoreset_mode` (`"same_step"`), `max_episode_steps` (100): see `BatchedEnv`.

    ## Version History
    - v1: first.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        goal_x: float = 0.3,
        goal_y: float = 0.3,
        start_range: float = 0.05,
        unit_actions: bool = False,
        max_episode_steps: int = 100,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
    ) -> None:
        """Create the lanes; the class lists the arguments."""
        self._goal = _goal(goal_x, goal_y)
        self._start_range = start_range
        self._unit_actions = unit_actions
        observation_space, action_space = _spaces(unit_actions)
        super().__init__(
            num_envs, 2, observation_space, action_space,
            max_episode_steps=max_episode_steps, autoreset_mode=autoreset_mode,
        )  # fmt: skip

    def reward_function(self) -> KnownReward:
        """Its reward."""
        return partial(_reward, self._goal)

    def termination_function(self) -> KnownTermination:
        """Its termination."""
        return partial(_terminated, self._goal)

    def _draw_starts(self, generator: np.random.Generator, count: int) -> Floats:
        return generator.uniform(-self._start_range, self._start_range, (count, 2))

    def _begin(self, lanes: Lanes, starts: Floats) -> NDArray[Any]:
        self._state[:, lanes] = starts.T
        return starts

    def _allocate(self, state: Floats) -> None:
        self._positions = state

    def _advance(self, actions: NDArray[Any]) -> Transition:
        self._positions += _moves(actions, self._unit_actions).T
        distances = _distances(self._positions, self._goal)
        terminations: Bools = distances < REACHED
        return self._positions.T.copy(), -distances, terminations


def _reward(goal: Floats, observations: NDArray[Any], actions: NDArray[Any], following: NDArray[Any]) -> Floats:
    del observations, actions
    return -_distances(following.T, goal)


def _terminated(goal: Floats, observations: NDArray[Any], actions: NDArray[Any], following: NDArray[Any]) -> Bools:
    del observations, actions
    reached: Bools = _distances(following.T, goal) < REACHED
    return reached


def _distances(positions: NDArray[Any], goal: Floats) -> Floats:
    """Distances [N] of positions [2, N] from the goal."""
    x, y = positions - goal[:, None]
    return np.asarray(np.sqrt(x * x + y * y), dtype=np.float64)


gymnasium.register(
    id="tlbench/PointGoal-v1",
    entry_point=f"{__name__}:PointGoalEnv",
    vector_entry_point=f"{__name__}:PointGoalVectorEnv",
    max_episode_steps=100,
)
