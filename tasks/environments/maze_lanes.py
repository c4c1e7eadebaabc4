"""The base of the vectorised mazes: moves, keys, observations and rendering of many lanes at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from tlbench.tasks.environments import maze_pictures
from tlbench.tasks.environments.batched import BatchedEnv, Floats, Lanes, Transition
from tlbench.tasks.environments.maze_layouts import ACTIONS, AGENT, KEY, PATH, SIDE, WALL, Cells


class MazeVectorEnv(BatchedEnv):
    """Lanes that are mazes of 8 x 8 cells.

    A subclass implements `_draw_starts`: what is in each cell, [count, 64]. An episode that starts with keys
    terminates when the last one is taken.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 8}  # noqa: RUF012

    def __init__(
        self,
        num_envs: int,
        *,
        looks: maze_pictures.Looks,
        tile_size: int,
        inverse: bool,
        palette: str = "standard",
        action_order: str,
        key_reward: float,
        step_reward: float,
        max_episode_steps: int,
        autoreset_mode: AutoresetMode | str,
        render_mode: str | None,
    ) -> None:
        """Create the lanes.

        Args:
            num_envs: The number of lanes.
            looks: See `maze_pictures`.
            tile_size: Pixels per side of a cell.
            inverse: Negate observations.
            palette: The colours of pictures for people.
            action_order: The direction of each action, a permutation of "drul".
            key_reward: The reward of a step that takes a key.
            step_reward: The reward of any other step.
            max_episode_steps: See `BatchedEnv`.
            autoreset_mode: See `BatchedEnv`.
            render_mode: None or "rgb_array".
        """
        space = observation_space(tile_size, len(looks[0].colour))
        self._moves = np.array(moves(action_order))
        if render_mode not in {None, "rgb_array"}:
            raise ValueError(f"render_mode must be None or 'rgb_array', got {render_mode!r}")
        super().__init__(
            num_envs, space, Discrete(4), max_episode_steps=max_episode_steps, autoreset_mode=autoreset_mode
        )
        self.render_mode = render_mode
        self._inverse, self._palette = inverse, palette
        self._tiles = maze_pictures.tiles(looks, tile_size, inverse)
        self._rewards = np.array([step_reward, key_reward])
        self._cells: Cells = np.zeros((num_envs, SIDE * SIDE), np.uint8)
        self._positions = np.zeros(num_envs, np.intp)
        self._keys = np.zeros(num_envs, np.intp)
        self._ids: Lanes = np.arange(num_envs)

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """A picture [192, 192, 3] of each lane, `None` without a render mode."""
        if self.render_mode is None:
            return None
        return tuple(maze_pictures.render(cells, self._inverse, self._palette) for cells in self._cells)

    def _begin(self, lanes: Lanes, starts: Floats) -> NDArray[Any]:
        cells = starts.astype(np.uint8)
        self._cells[lanes] = cells
        self._positions[lanes] = (cells == AGENT).argmax(axis=1)
        self._keys[lanes] = (cells == KEY).sum(axis=1)
        return maze_pictures.observe(cells, self._tiles)

    def _select(self, lanes: Lanes | None) -> None:
        self._ids = np.arange(self.num_envs) if lanes is None else lanes

    def _advance(self, actions: NDArray[Any]) -> Transition:
        ids, cells = self._ids, self._cells
        here = self._positions[ids]
        there = here + self._moves[actions]
        found = cells[ids, there]
        there = np.where(found == WALL, here, there)
        took = found == KEY
        cells[ids, here] = PATH
        cells[ids, there] = AGENT
        self._positions[ids] = there
        left = self._keys[ids] - took
        self._keys[ids] = left
        terminations = took & (left == 0)
        seen = cells if len(ids) == self.num_envs else cells[ids]
        return maze_pictures.observe(seen, self._tiles), self._rewards[took.view(np.uint8)], terminations


def observation_space(tile_size: int, channels: int) -> Box:
    """The space of observations: square pictures in [-1, 1].

    Raises:
        ValueError: If the size is no positive whole number.
    """
    if isinstance(tile_size, bool) or not isinstance(tile_size, int) or tile_size < 1:
        raise ValueError(f"tile_size must be a whole number of at least 1, got {tile_size!r}")
    return Box(-1, 1, (channels, SIDE * tile_size, SIDE * tile_size), np.float32)


def moves(action_order: str) -> list[int]:
    """By how much each action changes a cell's number.

    Raises:
        ValueError: If the order isn't a permutation of the four directions.
    """
    if sorted(action_order) != sorted(ACTIONS):
        raise ValueError(f"action_order must be a permutation of {''.join(ACTIONS)!r}, got {action_order!r}")
    return [ACTIONS[letter] for letter in action_order]
