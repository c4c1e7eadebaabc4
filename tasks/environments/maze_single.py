"""The base of the single mazes: one maze at a time in plain Python, what the vectorised ones are held against."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

from tlbench.tasks.environments.maze_pictures import Look, render

SYMBOLS = ".#ka"
"""A path, a wall, a key and the agent."""
STEPS = {"d": (1, 0), "r": (0, 1), "u": (-1, 0), "l": (0, -1)}
Grid = list[list[str]]


class MazeEnv(gymnasium.Env[NDArray[np.float32], np.int64], ABC):
    """One maze. A subclass draws the grid of an episode and says how its cells look."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 8}  # noqa: RUF012
    looks: dict[str, Look]
    palette = "standard"
    key_reward = 1.0
    step_reward = -0.1

    def __init__(
        self, tile_size: int, inverse: bool, action_order: str, render_mode: str | None, channels: int = 1
    ) -> None:
        """Create the environment; the vector environments describe the arguments."""
        if isinstance(tile_size, bool) or not isinstance(tile_size, int) or tile_size < 1:
            raise ValueError(f"tile_size must be a whole number of at least 1, got {tile_size!r}")
        if set(action_order) != set(STEPS) or len(action_order) != len(STEPS):
            raise ValueError(f"action_order must be a permutation of 'drul', got {action_order!r}")
        self.tile_size = tile_size
        self.inverse = inverse
        self.action_order = action_order
        self.render_mode = render_mode
        self.observation_space = Box(-1, 1, (channels, 8 * tile_size, 8 * tile_size), np.float32)
        self.action_space = Discrete(4)
        self.grid: Grid = []
        self._tiles: dict[str, NDArray[np.float32]] = {}
        self.agent = (0, 0)

    @abstractmethod
    def draw_grid(self) -> Grid:
        """The grid of a new episode, from `self.np_random`."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode."""
        super().reset(seed=seed, options=options)
        self._tiles = self._tiles or {symbol: self._tile(look) for symbol, look in self.looks.items()}
        self.grid = self.draw_grid()
        self.agent = next((r, row.index("a")) for r, row in enumerate(self.grid) if "a" in row)
        return self.observe(), {}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Move, unless a wall is in the way."""
        row, column = self.agent
        down, right = STEPS[self.action_order[int(action)]]
        found = self.grid[row + down][column + right]
        if found != "#":
            self.grid[row][column] = "."
            self.grid[row + down][column + right] = "a"
            self.agent = (row + down, column + right)
        finished = found == "k" and not any("k" in line for line in self.grid)
        return self.observe(), self.key_reward if found == "k" else self.step_reward, finished, False, {}

    def observe(self) -> NDArray[np.float32]:
        """The picture of the maze, tile by tile."""
        tiles = self._tiles
        image = np.concatenate([np.concatenate([tiles[symbol] for symbol in row], axis=2) for row in self.grid], axis=1)
        return -image if self.inverse else image

    def _tile(self, look: Look) -> NDArray[np.float32]:
        path, pixels = self.looks["."].colour, range(self.tile_size)
        rows = [[pixel(look, y, x, self.tile_size) or path for x in pixels] for y in pixels]
        return np.array(rows, np.float32).transpose(2, 0, 1)

    def render(self) -> NDArray[np.uint8] | None:
        """A picture [192, 192, 3] for people, `None` without a render mode."""
        if self.render_mode is None:
            return None
        cells = np.array([SYMBOLS.index(s) for row in self.grid for s in row], np.uint8)
        return render(cells, self.inverse, self.palette)


def pixel(look: Look, y: int, x: int, size: int) -> tuple[float, ...] | None:
    """The colour of a tile's pixel, `None` where the path is seen."""
    if size < 3:
        return look.colour
    on_diagonal = y in (x, size - 1 - x)
    on_plus = bool({y, x} & {(size - 1) // 2, size // 2})
    if (look.shape == "diagonals" and not on_diagonal) or (look.shape == "plus" and not on_plus):
        return None
    return look.colour if {y, x} & {0, size - 1} else look.middle
