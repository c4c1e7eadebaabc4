"""The simple maze without rewards: `tlbench/SimpleMaze-v1`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode

from tlbench.tasks.environments.batched import Floats
from tlbench.tasks.environments.maze_lanes import MazeVectorEnv
from tlbench.tasks.environments.maze_layouts import AGENT, PATH, SIDE, WALL, Cells, border_walls, cell
from tlbench.tasks.environments.maze_pictures import Look, observe, tiles
from tlbench.tasks.environments.maze_single import Grid, MazeEnv

LOOKS = tuple(Look((shade,), (shade,)) for shade in (0.0, 1.0, 0.0, 0.5))
WALL_COLUMN, DOOR = 4, cell(4, 4)


def two_rooms() -> Cells:
    """The maze without its agent, `[64]`: a wall with a door between two rooms."""
    cells = border_walls().reshape(SIDE, SIDE)
    cells[1:-1, WALL_COLUMN] = WALL
    flat = cells.reshape(-1)
    flat[DOOR] = PATH
    return flat


_FREE = np.flatnonzero(two_rooms() == PATH)
_STARTS = np.repeat(two_rooms()[None], len(_FREE), axis=0)
_STARTS[np.arange(len(_FREE)), _FREE] = AGENT


class SimpleMazeEnv(MazeEnv):
    """The single maze with the options of `SimpleMazeVectorEnv`."""

    looks = {".": LOOKS[0], "#": LOOKS[1], "a": LOOKS[3]}  # noqa: RUF012
    step_reward = 0.0

    def __init__(
        self,
        tile_size: int = 1,
        inverse: bool = False,
        action_order: str = "udlr",
        random_start: bool = True,
        render_mode: str | None = None,
    ) -> None:
        """Create the environment; the arguments are those of `SimpleMazeVectorEnv`."""
        super().__init__(tile_size, inverse, action_order, render_mode)
        self.random_start = random_start

    def draw_grid(self) -> Grid:
        """The two rooms, with the agent in the door or anywhere."""
        rows = ["########", *["#...#..#"] * 3, "#......#", *["#...#..#"] * 2, "########"]
        grid = [list(row) for row in rows]
        row, column = 4, 4
        if self.random_start:
            free = [(r, c) for r in range(8) for c in range(8) if grid[r][c] == "."]
            row, column = free[int(self.np_random.random() * len(free))]
        grid[row][column] = "a"
        return grid


class SimpleMazeVectorEnv(MazeVectorEnv):
    """Walk through two rooms without any reward: the maze in which representations are studied.

    ## Description
    The low-dimensional maze of van Driessel and François-Lavet, *Component Transfer Learning for Deep RL Based on
    Abstract Representations*, section 5.1: 8 x 8 cells with walls around, and a wall with a door that parts a room of
    18 cells from one of 12. The agent's 31 positions are all there is to learn.

    ## Action Space
    `Discrete(4)`: up, down, left, right (see `action_order`). A move into a wall changes nothing.

    ## Observation Space
    `Box(-1, 1, shape=(1, 8 tile_size, 8 tile_size), dtype=float32)`: a picture in which walls are 1, the path is 0 and
    the agent is 0.5; negated where `inverse`.

    ## Rewards
    0 always.

    ## Starting State
    The agent in any free cell, or in the door.

    ## Episode End
    No termination. Truncation: after 500 steps.

    ## Arguments
    - `tile_size` (1): pixels per side of a cell.
    - `inverse` (False): negate observations; nothing else changes.
    - `action_order` ("udlr"): the direction of each action, a permutation of d(own), r(ight), u(p), l(eft).
    - `random_start` (True): start in any free cell, each as likely; in the door if False, as in the document.
    - `render_mode` (None): "rgb_array" for pictures.
    - `autoreset_mode` (`"same_step"`), `max_episode_steps` (500): see `BatchedEnv`.

    ## Version History
    - v1: initial version.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        tile_size: int = 1,
        inverse: bool = False,
        action_order: str = "udlr",
        random_start: bool = True,
        render_mode: str | None = None,
        max_episode_steps: int = 500,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
    ) -> None:
        """Create the lanes; the class lists the arguments."""
        super().__init__(
            num_envs,
            looks=LOOKS,
            tile_size=tile_size,
            inverse=inverse,
            action_order=action_order,
            key_reward=0.0,
            step_reward=0.0,
            max_episode_steps=max_episode_steps,
            autoreset_mode=autoreset_mode,
            render_mode=render_mode,
        )
        self._random_start = random_start

    def _draw_starts(self, generator: np.random.Generator, count: int) -> Floats:
        if self._random_start:
            chosen = (generator.random(count) * len(_FREE)).astype(np.intp)
        else:
            chosen = np.full(count, np.searchsorted(_FREE, DOOR))
        return _STARTS[chosen].astype(np.float64)


class SimpleMazePairs:
    """Every state of the simple maze, rendered as it is and as a target with these options renders it.

    Args:
        tile_size: As for the environment.
        inverse: As for the environment.
        **others: The environment's other options, which don't change what is seen.
    """

    def __init__(self, tile_size: int = 1, inverse: bool = False, **others: Any) -> None:
        del others
        self.base_options = {"tile_size": tile_size, "inverse": False}
        self._base = observe(_STARTS, tiles(LOOKS, tile_size, False))
        self._transfer = observe(_STARTS, tiles(LOOKS, tile_size, inverse))

    def draw(self, n: int, rng: np.random.Generator) -> Mapping[str, Any]:
        """All 31 states with their rows and columns, row by row; the first `n` of them if fewer are wanted."""
        del rng
        positions = np.stack(np.divmod(_FREE, SIDE), axis=1)
        return {"base": self._base[:n], "transfer": self._transfer[:n], "positions": positions[:n]}


gymnasium.register(
    id="tlbench/SimpleMaze-v1",
    entry_point=f"{__name__}:SimpleMazeEnv",
    vector_entry_point=f"{__name__}:SimpleMazeVectorEnv",
    max_episode_steps=500,
)
