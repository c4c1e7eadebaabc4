"""The hidden-goal maze, vectorised: `tlbench/HiddenGoalMaze-v1`."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from tlbench.tasks.environments.batched import Floats, Lanes, Transition
from tlbench.tasks.environments.batched_array import BatchedArrayEnv
from tlbench.tasks.environments.hidden_goal_layouts import layout_table

GOAL_REWARD = 10.0
TELEPORTS = 64
"""Destinations drawn per episode; after as many hits they come round again."""
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))
_LAYOUT, _GOAL, _CELL, _HITS, _STEP, _REWARD, _ACTION, _TABLE = range(8)


def _spaces(wall_reward: float, last_action: bool) -> tuple[Box, Discrete]:
    low = [0.0] * 9 + [min(wall_reward, 0.0), 0.0, 0.0] + [0.0] * (len(MOVES) * last_action)
    high = [1.0] * 9 + [GOAL_REWARD, np.inf, 1.0] + [1.0] * (len(MOVES) * last_action)
    return Box(np.array(low, np.float32), np.array(high, np.float32)), Discrete(len(MOVES))


def _check_options(wall_reward: float, step_scale: float) -> None:
    if not -np.inf < wall_reward <= 0:
        raise ValueError(f"wall_reward must be finite and at most 0, got {wall_reward}")
    if not 0 < step_scale < np.inf:
        raise ValueError(f"step_scale must be positive and finite, got {step_scale}")


class HiddenGoalMazeEnv(gymnasium.Env[NDArray[np.float32], np.int64]):
    """One maze, step by step, with the options of `HiddenGoalMazeVectorEnv`."""

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(
        self,
        side: int = 11,
        wall_reward: float = -0.1,
        step_scale: float = 1.0,
        last_action: bool = False,
        layouts: int = 0,
        first_layout: int = 0,
        extra_walls: int = 8,
    ) -> None:
        """Create the environment; the arguments are those of `HiddenGoalMazeVectorEnv`."""
        _check_options(wall_reward, step_scale)
        self._tables = layout_table(side, layouts, first_layout, extra_walls)
        self._wall_reward, self._step_scale, self._last_action = wall_reward, step_scale, last_action
        self.observation_space, self.action_space = _spaces(wall_reward, last_action)  # type: ignore[assignment]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Draw a layout, a goal and the destinations of teleports; start in the centre."""
        super().reset(seed=seed)
        drawn = self.np_random.random(2 + TELEPORTS)
        self._walls = self._tables[int(drawn[0] * len(self._tables))]
        side = len(self._walls)
        self._centre = (side // 2, side // 2)
        free = [(row, column) for row in range(side) for column in range(side) if not self._walls[row, column]]
        goals = [cell for cell in free if cell != self._centre]
        self._goal = goals[int(drawn[1] * len(goals))]
        destinations = [cell for cell in free if cell != self._goal]
        self._destinations = [destinations[int(number * len(destinations))] for number in drawn[2:]]
        self._position, self._steps, self._hits, self._reward = self._centre, 0, 0, 0.0
        self._action: int | None = None
        return self._observe(), {}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Move, unless a wall is there; on the goal, be rewarded and teleported."""
        move = MOVES[int(action)]
        target = (self._position[0] + move[0], self._position[1] + move[1])
        self._reward = 0.0
        if self._walls[target]:
            self._reward = self._wall_reward
        elif target == self._goal:
            self._reward = GOAL_REWARD
            self._position = self._destinations[self._hits % TELEPORTS]
            self._hits += 1
        else:
            self._position = target
        self._steps += 1
        self._action = int(action)
        return self._observe(), self._reward, False, False, {}

    def _observe(self) -> NDArray[np.float32]:
        row, column = self._position
        view = self._walls[row - 1 : row + 2, column - 1 : column + 2].astype(np.float32).reshape(-1)
        actions = [float(self._action == number) for number in range(len(MOVES))] if self._last_action else []
        rest = np.array([self._reward, self._steps / self._step_scale, 1.0, *actions], np.float32)
        return np.concatenate([view, rest])


class HiddenGoalMazeVectorEnv(BatchedArrayEnv):
    """Find an invisible goal, remember where it is, and come back as often as possible.

    ## Description
    The maze exploration of Miconi, Clune & Stanley (2018), "Differentiable plasticity", section 4.4, reviewed in
    plasticity-and-model-based-review.txt, section 4.1. The maze is square, with border walls and pillars on the cells
    of even row and even column (the centre is always free). A goal that can't be seen is drawn for every episode.
    Stepping on it is rewarded and teleports the agent to a cell drawn uniformly from the free ones but the goal's. What
    there is to learn within an episode is where the goal is.

    Two sizes are published: the defaults are those of the paper; its later batched version has `side` 13,
    `wall_reward` 0, `step_scale` 200, `last_action` and 200 steps. With `layouts` there are also walls between pillars,
    drawn for every episode from a numbered list, so that training and held-out layouts can be told apart.

    ## Action Space
    `Discrete(4)`: up, down, left, right.

    ## Observation Space
    `Box(shape=(12,), dtype=float32)`: the 3 x 3 cells around the agent, row by row (1 wall, 0 free), the last reward,
    the number of steps taken divided by `step_scale`, and 1. With `last_action` 4 more: the last action, one-hot (all
    0 at first).

    ## Rewards
    10 on the goal, `wall_reward` for a step against a wall (the agent stays), else 0.

    ## Starting State
    The centre. The goal is uniform over the other free cells.

    ## Episode End
    Truncation after 250 steps. There is no termination.

    ## Arguments
    - `side` (11): cells of a side, the border included; odd.
    - `wall_reward` (-0.1), `step_scale` (1.0), `last_action` (False): see above.
    - `layouts` (0): how many layouts with walls between pillars; 0 for the published one without.
    - `first_layout` (0): the number of the first of them.
    - `extra_walls` (8): walls of each; they cut nothing off and leave the start's neighbours free.
    - `autoreset_mode` (`"same_step"`), `max_episode_steps` (250): see `BatchedEnv`.

    ## Version History
    - v1: first version. Teleports beyond the 64th of an episode repeat its destinations.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        side: int = 11,
        wall_reward: float = -0.1,
        step_scale: float = 1.0,
        last_action: bool = False,
        layouts: int = 0,
        first_layout: int = 0,
        extra_walls: int = 8,
        max_episode_steps: int = 250,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
    ) -> None:
        """Create the lanes; the class lists the arguments."""
        _check_options(wall_reward, step_scale)
        walls = layout_table(side, layouts, first_layout, extra_walls)
        self._layouts, self._cells = len(walls), side**2
        self._walls = walls.reshape(-1)  # [layout * cell]
        self._free = np.stack([np.flatnonzero(~layout.reshape(-1)) for layout in walls])  # [layout, free cell]
        self._centre = self._cells // 2
        self._centre_number = np.argmax(self._free == self._centre, axis=1)
        self._moves = np.array([row * side + column for row, column in MOVES])
        self._around = np.array([row * side + column for row in (-1, 0, 1) for column in (-1, 0, 1)])
        self._wall_reward, self._step_scale, self._last_action = wall_reward, step_scale, last_action
        observations, actions = _spaces(wall_reward, last_action)
        super().__init__(
            num_envs,
            _TABLE + TELEPORTS,
            observations,
            actions,
            max_episode_steps=max_episode_steps,
            autoreset_mode=autoreset_mode,
        )

    def _draw_starts(self, generator: np.random.Generator, count: int) -> Floats:
        return generator.random((count, 2 + TELEPORTS))

    def _begin(self, lanes: Lanes, starts: Floats) -> NDArray[Any]:
        free = self._free.shape[1]
        layout = (starts[:, 0] * self._layouts).astype(np.intp)
        number = (starts[:, 1] * (free - 1)).astype(np.intp)
        number += number >= self._centre_number[layout]  # the goal is not in the centre
        destinations = (starts[:, 2:] * (free - 1)).astype(np.intp)
        destinations += destinations >= number[:, None]  # and not where teleports lead
        state = np.zeros((self._state.shape[0], len(lanes)))
        state[_LAYOUT] = layout * self._cells
        state[_GOAL] = self._free[layout, number]
        state[_CELL] = self._centre
        state[_ACTION] = -1
        state[_TABLE:] = self._free[layout[:, None], destinations].T
        self._state[:, lanes] = state
        return self._observe(state)

    def _allocate(self, state: Floats) -> None:
        self._now = state

    def _advance(self, actions: NDArray[Any]) -> Transition:
        state = self._now
        cell = state[_CELL].astype(np.intp)
        target = cell + self._moves[actions]
        blocked = self._walls[state[_LAYOUT].astype(np.intp) + target]
        hit = target == state[_GOAL]
        rewards = np.where(blocked, self._wall_reward, 0.0)
        position = np.where(blocked, cell, target)
        if np.count_nonzero(hit):
            lanes = np.flatnonzero(hit)
            rewards[lanes] = GOAL_REWARD
            row = _TABLE + state[_HITS, lanes].astype(np.intp) % TELEPORTS
            position[lanes] = state[row, lanes]
            state[_HITS, lanes] += 1
        state[_CELL] = position
        state[_STEP] += 1
        state[_REWARD] = rewards
        state[_ACTION] = actions
        return self._observe(state), rewards, np.zeros(len(actions), np.bool_)

    def _observe(self, state: Floats) -> NDArray[np.float32]:
        place = (state[_LAYOUT] + state[_CELL]).astype(np.intp)
        observations = np.empty((state.shape[1], *(self.single_observation_space.shape or ())), np.float32)
        observations[:, :9] = self._walls[place[:, None] + self._around]
        observations[:, 9] = state[_REWARD]
        observations[:, 10] = state[_STEP] / self._step_scale
        observations[:, 11] = 1.0
        if self._last_action:
            observations[:, 12:] = state[_ACTION][:, None] == np.arange(len(MOVES))
        return observations


gymnasium.register(
    id="tlbench/HiddenGoalMaze-v1",
    entry_point=f"{__name__}:HiddenGoalMazeEnv",
    vector_entry_point=f"{__name__}:HiddenGoalMazeVectorEnv",
    max_episode_steps=250,
)
