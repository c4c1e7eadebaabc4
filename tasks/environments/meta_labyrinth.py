"""The meta-labyrinth, a new maze with keys in every episode: `tlbench/MetaLabyrinth-v1`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode

from tlbench.tasks.environments.batched import Floats
from tlbench.tasks.environments.maze_lanes import MazeVectorEnv
from tlbench.tasks.environments.maze_layouts import ATTEMPTS, MAX_KEYS, PRIORITIES, WALL_CELLS, layouts
from tlbench.tasks.environments.maze_pictures import Look, Looks, observe, tiles
from tlbench.tasks.environments.maze_single import STEPS, Grid, MazeEnv

Colour = tuple[float, ...]


def _looks(
    path: Colour, wall: Colour, key: Colour, agent: Colour, key_middle: Colour = (), agent_middle: Colour = ()
) -> Looks:
    return (
        Look(path, path),
        Look(wall, wall),
        Look(key, key_middle or key, "diagonals"),
        Look(agent, agent_middle or agent, "plus"),
    )


PALETTES: dict[str, Looks] = {
    "standard": _looks((-1.0,), (1.0,), (0.2,), (0.6,), (0.4,), (0.8,)),
    "recoloured": _looks((-0.6,), (0.4,), (1.0,), (-0.2,), (0.8,), (0.0,)),
}
"""Of pictures in grey."""

COLOURED_PALETTES: dict[str, Looks] = {
    "standard": _looks((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0), (1.0, 1.0, -1.0), (1.0, -1.0, -1.0)),
    "recoloured": _looks((-0.6, -0.6, 0.2), (0.0, 0.6, 1.0), (1.0, 0.0, 1.0), (-0.4, 1.0, -0.6)),
}
"""Of pictures in red, green and blue."""


class MetaLabyrinthEnv(MazeEnv):
    """The single maze with the options of `MetaLabyrinthVectorEnv`."""

    def __init__(
        self,
        tile_size: int = 6,
        inverse: bool = False,
        palette: str = "standard",
        colour: bool = False,
        keys: int = 3,
        walls: int = 12,
        action_order: str = "drul",
        render_mode: str | None = None,
    ) -> None:
        """Create the environment; the arguments are those of `MetaLabyrinthVectorEnv`."""
        super().__init__(tile_size, inverse, action_order, render_mode, 3 if colour else 1)
        _check_options(keys, walls)
        self.looks = dict(zip(".#ka", looks(palette, colour), strict=True))
        self.palette = palette
        self.keys = keys
        self.walls = walls

    def draw_grid(self) -> Grid:
        """Try to place walls and keys at random until all keys can be reached; in the end, take walls away."""
        wall_cells = [(r, c) for r in range(1, 6) for c in range(1, 6) if (r, c) != (1, 1)]
        key_cells = [(r, c) for r in range(1, 7) for c in range(1, 7) if (r, c) != (1, 1)]
        attempts = self.np_random.random((32, len(wall_cells) + len(key_cells))).tolist()
        for numbers in attempts:
            rank = dict(zip(wall_cells, numbers[: len(wall_cells)], strict=True))
            luck = dict(zip(key_cells, numbers[len(wall_cells) :], strict=True))
            walls = sorted(rank, key=rank.__getitem__)[: self.walls]
            keys = sorted((place for place in key_cells if place not in walls), key=luck.__getitem__)[: self.keys]
            if can_reach(walls, keys):
                break
        while not can_reach(walls, keys):
            walls.pop()
        grid = [["#" if {r, c} & {0, 7} or (r, c) in walls else "." for c in range(8)] for r in range(8)]
        for row, column in keys:
            grid[row][column] = "k"
        grid[1][1] = "a"
        return grid


class MetaLabyrinthVectorEnv(MazeVectorEnv):
    """Collect all keys in a maze that is new in every episode.

    ## Description
    The high-dimensional maze of van Driessel and François-Lavet, *Component Transfer Learning for Deep RL Based on
    Abstract Representations*, section 5.2: 8 x 8 cells with walls around, `walls` more of them inside, the agent in the
    upper left corner and `keys` keys, all of which can be reached.

    ## Action Space
    `Discrete(4)`: down, right, up, left (see `action_order`). A move into a wall changes nothing.

    ## Observation Space
    `Box(-1, 1, shape=(1, 8 tile_size, 8 tile_size), dtype=float32)`: a picture in grey, or of three channels with
    `colour`; negated where `inverse`. In grey, paths are -1, walls 1, keys 0.2 and the agent 0.6. In tiles of three
    pixels or more a key is a pair of diagonals and the agent a plus, on a path, brighter in the middle (0.4 and 0.8):
    the shades are the document's, the shapes are not. In colour, paths are black, walls white, keys yellow and the
    agent red. Small tiles want colour: in grey a cell of one pixel is one number, and what lies in it a matter of size.

    ## Rewards
    1 for a step that takes a key, -0.1 for any other.

    ## Starting State
    The agent in cell (1, 1); walls in random cells of rows and columns 1 to 5; keys in random free cells of rows and
    columns 1 to 6. Mazes in which a key can't be reached are drawn again, up to 32 times; then walls are taken away,
    which with 12 walls and 3 keys happens to 7 mazes in 100,000, with 14 walls to 4 in 100.

    ## Episode End
    Termination: all keys are taken. Truncation: after 50 steps.

    ## Arguments
    - `tile_size` (6): pixels per side of a cell.
    - `inverse` (False): negate observations; nothing else changes.
    - `palette` ("standard"): "recoloured" for others; in grey paths -0.6, walls 0.4, keys 1 (0.8), the agent -0.2 (0).
    - `colour` (False): three channels, red, green and blue.
    - `keys` (3): keys, 1 to 11.
    - `walls` (12): interior walls, 0 to 24.
    - `action_order` ("drul"): the direction of each action, a permutation of d(own), r(ight), u(p), l(eft).
    - `render_mode` (None): "rgb_array" for pictures.
    - `autoreset_mode` (`"same_step"`), `max_episode_steps` (50): see `BatchedEnv`.

    ## Version History
    - v1: initial version.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        tile_size: int = 6,
        inverse: bool = False,
        palette: str = "standard",
        colour: bool = False,
        keys: int = 3,
        walls: int = 12,
        action_order: str = "drul",
        render_mode: str | None = None,
        max_episode_steps: int = 50,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
    ) -> None:
        """Create the lanes; the class lists the arguments."""
        _check_options(keys, walls)
        super().__init__(
            num_envs,
            looks=looks(palette, colour),
            tile_size=tile_size,
            inverse=inverse,
            palette=palette,
            action_order=action_order,
            key_reward=1.0,
            step_reward=-0.1,
            max_episode_steps=max_episode_steps,
            autoreset_mode=autoreset_mode,
            render_mode=render_mode,
        )
        self._walls = walls
        self._key_count = keys

    def _draw_starts(self, generator: np.random.Generator, count: int) -> Floats:
        numbers = generator.random((count, ATTEMPTS, PRIORITIES))
        return layouts(numbers, self._walls, self._key_count).astype(np.float64)


class MetaLabyrinthPairs:
    """Mazes at their start, rendered as a source in standard colours does and as a target with these options does.

    Args:
        tile_size: As for the environment.
        inverse: As for the environment.
        palette: As for the environment.
        colour: As for the environment.
        keys: As for the environment.
        walls: As for the environment.
        **others: The environment's other options, which don't change what is seen.
    """

    def __init__(
        self,
        tile_size: int = 6,
        inverse: bool = False,
        palette: str = "standard",
        colour: bool = False,
        keys: int = 3,
        walls: int = 12,
        **others: Any,
    ) -> None:
        del others
        self.base_options = {"tile_size": tile_size, "colour": colour, "inverse": False, "palette": "standard"}
        self._layout = walls, keys
        self._base = tiles(looks("standard", colour), tile_size, False)
        self._transfer = tiles(looks(palette, colour), tile_size, inverse)

    def draw(self, n: int, rng: np.random.Generator) -> Mapping[str, Any]:
        """Draw `n` mazes."""
        cells = layouts(rng.random((n, ATTEMPTS, PRIORITIES)), *self._layout)
        return {"base": observe(cells, self._base), "transfer": observe(cells, self._transfer)}


def can_reach(walls: list[tuple[int, int]], keys: list[tuple[int, int]]) -> bool:
    """Whether all keys can be reached from (1, 1): a search cell by cell."""
    seen, waiting = {(1, 1)}, [(1, 1)]
    while waiting:
        row, column = waiting.pop()
        for down, right in STEPS.values():
            place = row + down, column + right
            if place not in seen and place not in walls and not {*place} & {0, 7}:
                seen.add(place)
                waiting.append(place)
    return all(key in seen for key in keys)


def looks(palette: str, colour: bool) -> Looks:
    """How the cells look.

    Raises:
        ValueError: If there is no such palette.
    """
    if palette not in PALETTES:
        raise ValueError(f"palette must be one of {', '.join(PALETTES)}, got {palette!r}")
    return (COLOURED_PALETTES if colour else PALETTES)[palette]


def _check_options(keys: int, walls: int) -> None:
    if not 1 <= keys <= MAX_KEYS:
        raise ValueError(f"keys must be 1 to {MAX_KEYS}, got {keys}")
    if not 0 <= walls <= len(WALL_CELLS):
        raise ValueError(f"walls must be 0 to {len(WALL_CELLS)}, got {walls}")


gymnasium.register(
    id="tlbench/MetaLabyrinth-v1",
    entry_point=f"{__name__}:MetaLabyrinthEnv",
    vector_entry_point=f"{__name__}:MetaLabyrinthVectorEnv",
    max_episode_steps=50,
)
