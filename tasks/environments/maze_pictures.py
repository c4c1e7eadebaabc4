"""What mazes look like: shades and patterns of tiles for observations, colours for people."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlbench.tasks.environments.maze_layouts import SIDE, Cells

Float32 = NDArray[np.float32]
Shades = tuple[tuple[float, float], ...]
"""Of a path, a wall, a key and the agent: the shade of a tile, and of the middle of tiles of three pixels or more."""

RENDER_TILE = 24
_COLOURS = np.array([[247, 246, 242], [52, 58, 70], [226, 164, 41], [44, 110, 187]], np.uint8)
_BACKGROUND = _COLOURS[0]


def tiles(shades: Shades, tile_size: int, inverse: bool) -> Float32:
    """The pixels of each kind of tile, `[kind, tile_size, tile_size]`.

    Args:
        shades: The shades by kind.
        tile_size: Pixels per side.
        inverse: Negate all shades.
    """
    pixels = np.empty((len(shades), tile_size, tile_size), np.float32)
    middle = slice(1, -1) if tile_size >= 3 else slice(0)
    for kind, (outside, inside) in enumerate(shades):
        pixels[kind] = outside
        pixels[kind, middle, middle] = inside
    return np.negative(pixels, pixels) if inverse else pixels


def observe(cells: Cells, pixels: Float32) -> Float32:
    """Observations `[maze, 1, height, width]` of mazes `[maze, 64]` made of these tiles."""
    size = pixels.shape[-1]
    if size == 1:
        return pixels[:, 0, 0][cells].reshape(-1, 1, SIDE, SIDE)
    image = pixels[cells.reshape(-1, SIDE, SIDE)].transpose(0, 1, 3, 2, 4)
    return image.reshape(-1, 1, SIDE * size, SIDE * size)


def render(cells: Cells, inverse: bool) -> NDArray[np.uint8]:
    """A picture of one maze for people, `[height, width, 3]`; inverse ones in complementary colours."""
    size = RENDER_TILE
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    disc = x**2 + y**2 < (0.38 * size) ** 2
    diamond = abs(x) + abs(y) < 0.38 * size
    everything = np.ones((size, size), np.bool_)
    shapes = np.stack([everything, everything, diamond, disc])
    sprites = np.where(shapes[..., None], _COLOURS[:, None, None], _BACKGROUND)
    image: NDArray[Any] = sprites[cells.reshape(SIDE, SIDE)].transpose(0, 2, 1, 3, 4).reshape(SIDE * size, -1, 3)
    return 255 - image if inverse else image
