"""What mazes look like: tiles for observations, colours for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tlbench.tasks.environments.maze_layouts import SIDE, Cells

Float32 = NDArray[np.float32]
Shape = Literal["full", "diagonals", "plus"]


class Look(NamedTuple):
    """How a kind of cell is seen.

    Attributes:
        colour: One number per channel, in [-1, 1].
        middle: The same for the middle of a tile, where tiles have three pixels or more.
        shape: What of such a tile is drawn; the rest is as a path. Smaller tiles are of one colour.
    """

    colour: tuple[float, ...]
    middle: tuple[float, ...]
    shape: Shape = "full"


Looks = Sequence[Look]
"""Of a path, a wall, a key and the agent."""

RENDER_TILE = 24
_COLOURS = {
    "standard": np.array([[247, 246, 242], [52, 58, 70], [226, 164, 41], [44, 110, 187]], np.uint8),
    "recoloured": np.array([[226, 238, 228], [116, 72, 120], [24, 138, 128], [206, 78, 52]], np.uint8),
}


def tiles(looks: Looks, tile_size: int, inverse: bool) -> Float32:
    """The pixels of each kind of cell, `[kind, channel, tile_size, tile_size]`.

    Args:
        looks: By kind, the path first.
        tile_size: Pixels per side.
        inverse: Negate all numbers.
    """
    y, x = np.abs(np.mgrid[:tile_size, :tile_size] - (tile_size - 1) / 2)
    fine = tile_size >= 3
    drawn = {
        "full": np.ones((tile_size, tile_size), np.bool_),
        "diagonals": y == x,
        "plus": np.minimum(y, x) < 1,
    }
    middle = np.maximum(y, x) < (tile_size - 1) / 2
    pixels = np.empty((len(looks), len(looks[0].colour), tile_size, tile_size), np.float32)
    for kind, look in enumerate(looks):
        pixels[kind] = np.reshape(looks[0].colour if fine else look.colour, (-1, 1, 1))
        if fine:
            shape = drawn[look.shape]
            pixels[kind][:, shape] = np.reshape(look.colour, (-1, 1))
            pixels[kind][:, shape & middle] = np.reshape(look.middle, (-1, 1))
    return np.negative(pixels, pixels) if inverse else pixels


def observe(cells: Cells, pixels: Float32) -> Float32:
    """Observations `[maze, channel, height, width]` of mazes `[maze, 64]` made of these tiles."""
    channels, size = pixels.shape[1:3]
    if channels == size == 1:
        return pixels[:, 0, 0, 0][cells].reshape(-1, 1, SIDE, SIDE)
    image = pixels[cells.reshape(-1, SIDE, SIDE)].transpose(0, 3, 1, 4, 2, 5)
    return image.reshape(-1, channels, SIDE * size, SIDE * size)


def render(cells: Cells, inverse: bool, palette: str) -> NDArray[np.uint8]:
    """A picture of one maze for people, `[height, width, 3]`; inverse ones in complementary colours.

    Args:
        cells: What is in each cell, `[64]`.
        inverse: Whether the maze is shown inverse.
        palette: "standard" or "recoloured": other colours, though not those that agents see.
    """
    colours = _COLOURS[palette]
    size = RENDER_TILE
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    disc = x**2 + y**2 < (0.38 * size) ** 2
    diamond = abs(x) + abs(y) < 0.38 * size
    everything = np.ones((size, size), np.bool_)
    shapes = np.stack([everything, everything, diamond, disc])
    sprites = np.where(shapes[..., None], colours[:, None, None], colours[0])
    image: NDArray[Any] = sprites[cells.reshape(SIDE, SIDE)].transpose(0, 2, 1, 3, 4).reshape(SIDE * size, -1, 3)
    return 255 - image if inverse else image
