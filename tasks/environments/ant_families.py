"""Task families of the ant: walk in a direction (with a crippled leg, too), walk to a goal."""

import math
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium import utils
from gymnasium.envs.mujoco import ant_v5
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from tlbench.tasks.environments.ant import LEAST_HEIGHT, MOST_HEIGHT, is_healthy
from tlbench.tasks.environments.batched import Bools, Floats, KnownReward, KnownTermination, Lanes
from tlbench.tasks.environments.batched_mujoco import BatchedMujocoEnv, draw_uniform_and_normal
from tlbench.tasks.environments.mujoco_dynamics import cripple

CONTROL_COST, SURVIVAL = 0.005, 0.05
SPEEDS = 13
"""Index of the torso's speed along x in an observation without positions in the plane; then along y."""
LEGS = {0: (), 1: (2, 3), 2: (4, 5), 3: (6, 7), 4: (0, 1)}
"""Actuators of each leg; leg 0 stands for none."""


class AntFamilyEnv(ant_v5.AntEnv):
    """Base of the single environments: Gymnasium's ant without contact forces, one leg crippled perhaps."""

    def __init__(self, crippled_leg: int = 0, **kwargs: Any) -> None:
        """Create Gymnasium's environment, which takes `kwargs`, and cripple the leg."""
        kwargs = {"include_cfrc_ext_in_observation": False, **kwargs}
        super().__init__(**kwargs)
        utils.EzPickle.__init__(self, crippled_leg=crippled_leg, **kwargs)
        cripple(self.model, _leg(crippled_leg))

    def _cost(self, action: NDArray[Any]) -> Any:
        return CONTROL_COST * np.sum(np.square(action)) - SURVIVAL


class AntFamilyVectorEnv(BatchedMujocoEnv):
    """Base of the families: the ant without contact forces; a subclass gives the reward."""

    def __init__(
        self,
        num_envs: int,
        single: AntFamilyEnv,
        *,
        positions: int,
        reset_noise_scale: float = 0.1,
        max_episode_steps: int = 200,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
    ) -> None:
        """Create the lanes.

        Args:
            num_envs: The number of lanes.
            single: The single environment.
            positions: The first component of the positions that is observed.
            reset_noise_scale: The range of start states.
            max_episode_steps: See `BatchedEnv`.
            autoreset_mode: See `BatchedEnv`.
        """
        self._reset_noise_scale = reset_noise_scale
        self._first = positions
        super().__init__(num_envs, single, max_episode_steps=max_episode_steps, autoreset_mode=autoreset_mode)
        self._reward = self.reward_function()

    def _draw_starts(self, generator: np.random.Generator, count: int) -> Floats:
        nq, nv = self._qpos.shape[1], self._qvel.shape[1]
        return draw_uniform_and_normal(generator, count, nq, nv, self._reset_noise_scale)

    def _remember(self, lanes: Lanes | slice, actions: NDArray[Any]) -> None:
        self._actions = actions

    def _observe(self, lanes: Lanes | slice) -> Floats:
        return np.concatenate([self._qpos[lanes, self._first :], self._qvel[lanes]], axis=1)

    def reward_function(self) -> KnownReward:
        """Its reward."""
        return partial(_reward, self._progress_function())

    def termination_function(self) -> KnownTermination:
        """Its termination."""
        return partial(_terminated, 2 - self._first)

    def _outcome(self, lanes: Lanes | slice, observations: Floats) -> tuple[Floats, Bools]:
        terminations: Bools = ~is_healthy(self._qpos[lanes], self._qvel[lanes])
        return self._reward(observations, self._actions, observations), terminations

    @abstractmethod
    def _progress_function(self) -> Callable[[Floats], Floats]:
        """From observations [N, ...] after a step to rewards [N], but for the cost of control and for surviving.

        The function can be pickled.
        """


class AntDirectionEnv(AntFamilyEnv):
    """The single environment of `AntDirectionVectorEnv`, which describes it."""

    def __init__(self, angle: float = 0.0, crippled_leg: int = 0, **kwargs: Any) -> None:
        """Create Gymnasium's environment, which takes `kwargs`."""
        self._direction = _direction(angle)
        super().__init__(crippled_leg, **kwargs)
        utils.EzPickle.__init__(self, angle=angle, crippled_leg=crippled_leg, **kwargs)

    def _get_rew(self, x_velocity: float, action: NDArray[Any]) -> tuple[float, dict[str, float]]:
        speed = self._direction[0] * self.data.qvel[0] + self._direction[1] * self.data.qvel[1]
        return speed - self._cost(action), {"reward_forward": speed}


class AntDirectionVectorEnv(AntFamilyVectorEnv):
    """Make the ant walk in a direction: a family of tasks that differ in their reward, or in their dynamics.

    ## Description
    The family of MAML (Finn et al. 2017) and PEARL (Rakelly et al. 2019) on Gymnasium's `Ant-v5`, without contact
    forces. With a crippled leg, the family of a shift of dynamics of Nagabandi et al. (2019). The reward is a function
    of observation and action, so that a method with a learned model can know it.

    ## Action Space
    As `AntVectorEnv`.

    ## Observation Space
    `Box(-inf, inf, shape=(27,), dtype=float64)`: as `AntVectorEnv`, without contact forces.

    ## Rewards
    The torso's speed in the direction after the step, minus 0.005 times the sum of squared actions, plus 0.05.

    ## Starting State
    As `AntVectorEnv`.

    ## Episode End
    Termination: as `AntVectorEnv`. Truncation: after 200 steps.

    ## Arguments
    - `angle` (0.0): the direction in radians; 0 is forward, pi backward.
    - `crippled_leg` (0): the leg, 1 to 4, whose two actuators do nothing; 0 for none.
    - `reset_noise_scale` (0.1), `autoreset_mode` (`"same_step"`): as `AntVectorEnv`.
    - `max_episode_steps` (200): see `BatchedEnv`.

    ## Version History
    - v1: first.
    """

    def __init__(self, num_envs: int = 1, *, angle: float = 0.0, crippled_leg: int = 0, **kwargs: Any) -> None:
        """Create the lanes; the class lists the arguments."""
        self._direction = _direction(angle)
        super().__init__(num_envs, AntDirectionEnv(angle, crippled_leg), positions=2, **kwargs)

    def _progress_function(self) -> Callable[[Floats], Floats]:
        return partial(_speed_along, self._direction)


class AntGoalEnv(AntFamilyEnv):
    """The single environment of `AntGoalVectorEnv`, which describes it."""

    def __init__(self, goal_x: float = 1.0, goal_y: float = 1.0, crippled_leg: int = 0, **kwargs: Any) -> None:
        """Create Gymnasium's environment, which takes `kwargs`."""
        self._goal = _goal(goal_x, goal_y)
        kwargs = {"exclude_current_positions_from_observation": False, **kwargs}
        super().__init__(crippled_leg, **kwargs)
        utils.EzPickle.__init__(self, goal_x=goal_x, goal_y=goal_y, crippled_leg=crippled_leg, **kwargs)

    def _get_rew(self, x_velocity: float, action: NDArray[Any]) -> tuple[float, dict[str, float]]:
        x, y = self.data.qpos[:2]
        nearness = 4.0 - (np.abs(x - self._goal[0]) + np.abs(y - self._goal[1]))
        return nearness - self._cost(action), {"reward_forward": nearness}


class AntGoalVectorEnv(AntFamilyVectorEnv):
    """Make the ant walk to a goal in the plane that is not observed: a family of tasks that differ in their reward.

    ## Description
    The family of MAML (Finn et al. 2017) on Gymnasium's `Ant-v5`, without contact forces. The reward is a function of
    observation and action.

    ## Action Space
    As `AntVectorEnv`.

    ## Observation Space
    `Box(-inf, inf, shape=(29,), dtype=float64)`: the torso's position in the plane, then as `AntDirectionVectorEnv`.

    ## Rewards
    4 minus the distance of the torso from the goal (the sum of both coordinates' distances) after the step, minus 0.005
    times the sum of squared actions, plus 0.05. Where |goal_x| + |goal_y| is above 4.05, rewards are below 0 at the
    start, so that an ant which falls at once, and ends the episode, is better off than one that stands; that is MAML's
    formula.

    ## Starting State, Episode End
    As `AntDirectionVectorEnv`.

    ## Arguments
    - `goal_x`, `goal_y` (1.0): the goal; the family's range is -3 to 3.
    - `crippled_leg` (0), `reset_noise_scale` (0.1), `autoreset_mode`, `max_episode_steps` (200): as
      `AntDirectionVectorEnv`.

    ## Version History
    - v1: first.
    """

    def __init__(
        self, num_envs: int = 1, *, goal_x: float = 1.0, goal_y: float = 1.0, crippled_leg: int = 0, **kwargs: Any
    ) -> None:
        """Create the lanes; the class lists the arguments."""
        self._goal = _goal(goal_x, goal_y)
        super().__init__(num_envs, AntGoalEnv(goal_x, goal_y, crippled_leg), positions=0, **kwargs)

    def _progress_function(self) -> Callable[[Floats], Floats]:
        return partial(_nearness, self._goal)


def _reward(
    progress: Callable[[Floats], Floats],
    observations: NDArray[Any],
    actions: NDArray[Any],
    following: NDArray[Any],
) -> Floats:
    del observations
    cost = CONTROL_COST * np.sum(np.square(actions), axis=1) - SURVIVAL
    return np.asarray(progress(following) - cost, dtype=np.float64)


def _terminated(height: int, observations: NDArray[Any], actions: NDArray[Any], following: NDArray[Any]) -> Bools:
    """Whether the torso's height, that component of an observation, is out of range, or any value isn't finite."""
    del observations, actions
    heights = following[:, height]
    healthy: Bools = (heights >= LEAST_HEIGHT) & (heights <= MOST_HEIGHT) & np.isfinite(following).all(axis=1)
    return ~healthy


def _speed_along(direction: tuple[float, float], observations: Floats) -> Floats:
    return direction[0] * observations[:, SPEEDS] + direction[1] * observations[:, SPEEDS + 1]


def _nearness(goal: tuple[float, float], observations: Floats) -> Floats:
    return 4.0 - (np.abs(observations[:, 0] - goal[0]) + np.abs(observations[:, 1] - goal[1]))


def _leg(number: int) -> tuple[int, ...]:
    if number not in LEGS:
        raise ValueError(f"crippled_leg must be 1 to 4, or 0 for none, got {number!r}")
    return LEGS[number]


def _direction(angle: float) -> tuple[float, float]:
    if not math.isfinite(angle):
        raise ValueError(f"angle must be a number, in radians, got {angle}")
    return math.cos(angle), math.sin(angle)


def _goal(x: float, y: float) -> tuple[float, float]:
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ValueError(f"goal_x and goal_y must be numbers, got {x} and {y}")
    return x, y


gymnasium.register(
    id="tlbench/AntDirection-v1",
    entry_point=f"{__name__}:AntDirectionEnv",
    vector_entry_point=f"{__name__}:AntDirectionVectorEnv",
    max_episode_steps=200,
)
gymnasium.register(
    id="tlbench/AntGoal-v1",
    entry_point=f"{__name__}:AntGoalEnv",
    vector_entry_point=f"{__name__}:AntGoalVectorEnv",
    max_episode_steps=200,
)
