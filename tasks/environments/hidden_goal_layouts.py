"""The rooms of the hidden-goal maze: pillars at regular distances, and walls between them."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

TRIES = 10_000


@cache
def layout_table(side: int, layouts: int, first_layout: int, extra_walls: int) -> NDArray[np.bool_]:
    """Walls of several layouts, `[layout, side, side]`; read-only.

    Args:
        side: Cells of a side, the border included.
        layouts: How many; 0 for the published one alone, which has no walls between pillars.
        first_layout: The number of the first one; a number is always the same layout.
        extra_walls: Walls between pillars of each.

    Raises:
        ValueError: If there can't be such layouts.
    """
    if side < 5 or side % 2 == 0:
        raise ValueError(f"side must be odd and at least 5, got {side}")
    if layouts < 0 or first_layout < 0 or extra_walls < 0:
        raise ValueError("layouts, first_layout and extra_walls can't be negative")
    numbers = range(first_layout, first_layout + layouts)
    table = np.stack([_walled(side, number, extra_walls) for number in numbers] or [_pillars(side)])
    table.setflags(write=False)
    return table


def _pillars(side: int) -> NDArray[np.bool_]:
    """Border walls and pillars on cells of even row and column; the centre is free."""
    walls = np.ones((side, side), np.bool_)
    walls[1:-1, 1:-1] = False
    walls[2:-1:2, 2:-1:2] = True
    walls[side // 2, side // 2] = False
    return walls


def _walled(side: int, number: int, extra_walls: int) -> NDArray[np.bool_]:
    """Pillars with walls between them that cut nothing off."""
    generator = np.random.default_rng([side, number])
    pillars = _pillars(side)
    rows, columns = np.indices(pillars.shape)
    between = np.argwhere(((rows + columns) % 2 == 1) & ~pillars)
    between = between[(np.abs(between - side // 2).sum(axis=1) > 1)]  # the start keeps its four neighbours
    for _ in range(TRIES):
        walls = pillars.copy()
        chosen = generator.permutation(len(between))[:extra_walls]
        walls[tuple(between[chosen].T)] = True
        if len(chosen) == extra_walls and connected(~walls):
            return walls
    raise ValueError(f"no layout of side {side} has {extra_walls} walls that cut nothing off")


def connected(free: NDArray[np.bool_]) -> bool:
    """Whether all free cells can be reached from each other by steps to the four neighbours."""
    reached = np.zeros_like(free)
    reached.reshape(-1)[np.flatnonzero(free)[0]] = True
    while True:
        grown = reached.copy()
        grown[1:] |= reached[:-1]
        grown[:-1] |= reached[1:]
        grown[:, 1:] |= reached[:, :-1]
        grown[:, :-1] |= reached[:, 1:]
        grown &= free
        if (grown == reached).all():
            return bool((reached == free).all())
        reached = grown
