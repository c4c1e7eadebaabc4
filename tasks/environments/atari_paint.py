"""The four painted variants of Breakout: the same game, something else in the picture.

From Gamrian & Goldberg (2019), "Transfer Learning for Related Reinforcement Learning Tasks via Image-to-Image
Translation", section 4. They paint on the playing field (160 x 160 pixels below the score) halved to 80 x 80; here the
same places are painted on the emulator's frame, so that the picture's final size is free.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tlbench.tasks.environments.atari_emulator import AtariError

PAINTS = ("constant-rectangle", "moving-square", "green-lines", "diagonals")
SQUARE_STEPS = 1000
"""Agent steps after which the moving square changes its place."""
_FIELD_TOP = 34  # the first row of the playing field
_LUMINANCE = np.array([0.299, 0.587, 0.114])
_COLOURS = {
    "constant-rectangle": (0, 191, 255),
    "moving-square": (255, 0, 0),
    "green-lines": (102, 203, 50),
    "diagonals": (210, 203, 50),
}
_LINES = range(32, 77, 8)  # the rows of the halved field in which lines start, at column 4; they end before row 77
_SQUARE_COLUMNS = (20, 40, 60)


class Painter:
    """Paints on grey frames of Breakout."""

    def __init__(self, paint: str, screen: tuple[int, int]) -> None:
        """Work out which pixels are painted.

        Args:
            paint: One of `PAINTS`.
            screen: Height and width of a frame.

        Raises:
            AtariError: If there is no such paint.
        """
        if paint not in PAINTS:
            raise AtariError(f"there is no paint {paint!r}; there are {', '.join(PAINTS)}, or '' for none")
        self.places = [_pixels(cells, screen[1]) for cells in _cells(paint)]
        """The painted pixels' numbers, one array per place that the paint takes in turn."""
        self.grey = np.uint8(np.rint(_LUMINANCE @ _COLOURS[paint]))

    def __call__(self, frame: NDArray[np.uint8], step: int) -> None:
        """Paint on a frame.

        Args:
            frame: The frame [height, width], contiguous.
            step: A count of agent steps, which says where the moving square is.
        """
        frame.reshape(-1)[self.places[step // SQUARE_STEPS % len(self.places)]] = self.grey


def _cells(paint: str) -> list[list[tuple[int, int]]]:
    """Rows and columns of the halved field, per place."""
    if paint == "constant-rectangle":
        return [[(60 + row, 60 + column) for row in range(2) for column in range(4)]]
    if paint == "moving-square":
        square = [(row, column) for row in range(3) for column in range(3)]
        return [[(60 + row, left + column) for row, column in square] for left in _SQUARE_COLUMNS]
    steps = [(first, step) for first in _LINES for step in range(77 - first)]
    if paint == "green-lines":
        return [[(first, 4 + step) for first, step in steps]]
    return [[(first + step, 4 + step) for first, step in steps]]


def _pixels(cells: list[tuple[int, int]], width: int) -> NDArray[np.intp]:
    """Each cell of the halved field is 2 x 2 pixels of the frame."""
    corners = [((_FIELD_TOP + 2 * row) * width + 2 * column) for row, column in cells]
    return np.array([corner + offset for corner in corners for offset in (0, 1, width, width + 1)], np.intp)
