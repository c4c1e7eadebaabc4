"""Layouts of the mazes: 64 cells, walls drawn from random priorities, keys that can be reached."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

SIDE = 8
PATH, WALL, KEY, AGENT = range(4)
ACTIONS = {"d": SIDE, "r": 1, "u": -SIDE, "l": -1}
"""Letters of an action order, and by how much a move in that direction changes a cell's number."""

Cells: TypeAlias = NDArray[np.uint8]
"""What is in each cell, `[maze, 64]`, row by row."""
Numbers: TypeAlias = NDArray[np.float64]


def cell(row: int, column: int) -> int:
    """A cell's number, from its row and column."""
    return SIDE * row + column


def border_walls() -> Cells:
    """A maze with walls all around and nothing inside, `[64]`."""
    cells = np.full((SIDE, SIDE), WALL, np.uint8)
    cells[1:-1, 1:-1] = PATH
    return cells.reshape(-1)


START = cell(1, 1)
WALL_CELLS = np.array([cell(r, c) for r in range(1, 6) for c in range(1, 6) if (r, c) != (1, 1)])
"""Where interior walls may stand: the last row and column inside the border stay free."""
KEY_CELLS = np.array([cell(r, c) for r in range(1, 7) for c in range(1, 7) if (r, c) != (1, 1)])
MAX_KEYS = len(KEY_CELLS) - len(WALL_CELLS)
ATTEMPTS = 32
PRIORITIES = len(WALL_CELLS) + len(KEY_CELLS)
"""Random numbers of one attempt."""

_EMPTY = border_walls()
_WALLS_AMONG_KEYS = np.searchsorted(KEY_CELLS, WALL_CELLS)
_BITS = np.left_shift(np.uint64(1), np.arange(SIDE * SIDE, dtype=np.uint64))
_ONE, _ROW, _NONE = np.uint64(1), np.uint64(SIDE), np.uint64(0)


def layouts(numbers: Numbers, walls: int, keys: int) -> Cells:
    """Mazes whose keys can all be reached from the start.

    An attempt ranks the cells where walls may stand, and those where keys may lie, by random numbers: the lowest get a
    wall, and the lowest that are free get a key. The first attempt whose keys can be reached is taken. Where none is
    (with 12 walls and 3 keys, 7 mazes in 100,000), the last one loses walls, the one with the highest number first,
    until its keys can be reached.

    Args:
        numbers: Uniform in [0, 1), `[maze, ATTEMPTS, PRIORITIES]`.
        walls: Interior walls.
        keys: Keys.

    Returns:
        What is in each cell, `[maze, 64]`, the agent at its start.
    """
    cells = np.empty((len(numbers), SIDE * SIDE), np.uint8)
    left = np.arange(len(numbers))
    for attempt in range(ATTEMPTS):
        cells[left] = _place(numbers[left, attempt], walls, keys)
        left = left[~reachable(cells[left])]
        if not left.size:
            break
    while left.size:
        walls -= 1
        opened = cells[left]
        removed = _ranks(numbers[left, -1, : len(WALL_CELLS)]) >= walls
        opened[:, WALL_CELLS] = np.where(removed & (opened[:, WALL_CELLS] == WALL), PATH, opened[:, WALL_CELLS])
        cells[left] = opened
        left = left[~reachable(opened)]
    cells[:, START] = AGENT
    return cells


def reachable(cells: Cells) -> NDArray[np.bool_]:
    """Whether every key can be reached from the start, `[maze]`: a flood on mazes of 64 bits."""
    free: NDArray[Any] = np.where(cells == WALL, _NONE, _BITS).sum(axis=1)
    keys: NDArray[Any] = np.where(cells == KEY, _BITS, _NONE).sum(axis=1)
    flood = np.full(len(cells), _BITS[START])
    while True:
        wider = flood | flood << _ONE | flood >> _ONE | flood << _ROW | flood >> _ROW
        wider &= free
        if np.array_equal(wider, flood):
            reached: NDArray[np.bool_] = (keys & ~flood) == 0
            return reached
        flood = wider


def _place(numbers: Numbers, walls: int, keys: int) -> Cells:
    """Walls and keys by rank; keys only where no wall is."""
    cells = np.repeat(_EMPTY[None], len(numbers), axis=0)
    key_numbers = numbers[:, len(WALL_CELLS) :].copy()
    walled = _ranks(numbers[:, : len(WALL_CELLS)]) < walls
    cells[:, WALL_CELLS] = np.where(walled, WALL, PATH)
    key_numbers[:, _WALLS_AMONG_KEYS] += walled
    rows, places = np.nonzero(_ranks(key_numbers) < keys)
    cells[rows, KEY_CELLS[places]] = KEY
    return cells


def _ranks(numbers: Numbers) -> NDArray[np.intp]:
    return numbers.argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
