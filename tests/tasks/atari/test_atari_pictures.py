"""Q*bert's levels, inverse and painted pictures of Atari games."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tlbench.tasks.environments  # noqa: F401
from tests.tasks.atari.opening import LEFT, NOOP, RIGHT, UP, ale_of, make
from tlbench.tasks.environments.atari_paint import PAINTS, Painter


def hops(envs: Any, *actions: int) -> list[float]:
    """What each hop of Q*bert's pays: two steps with the action, then waiting until it has landed."""
    return [sum(float(envs.step(np.array([action]))[1][0]) for action in [hop, hop] + [NOOP] * 6) for hop in actions]


def wait(envs: Any, steps: int) -> None:
    for _ in range(steps):
        envs.step(np.array([NOOP]))


INTRO = 38
"""Steps before Q*bert can be moved."""


def test_a_cube_of_qberts_second_level_takes_two_hops() -> None:
    one, two = (make(1, game="qbert", level=level, noop_max=0) for level in (1, 2))
    for envs in (one, two):
        envs.reset(seed=0)
        wait(envs, INTRO)
    path = (RIGHT, LEFT, RIGHT, LEFT)  # to a cube and back to the top, twice
    assert hops(one, *path) == [25, 25, 0, 0]
    assert hops(two, *path) == [0, 0, 25, 25]
    assert ale_of(two).getRAM()[[57, 99]].tolist() == [4, 4]


def test_qberts_second_level_survives_a_lost_life_and_a_reset() -> None:
    envs = make(1, game="qbert", level=2, noop_max=0)
    envs.reset(seed=0)
    ale = ale_of(envs)
    wait(envs, INTRO)
    for lives in (3, 2):  # jump off, twice
        hops(envs, UP)
        wait(envs, 90)
        assert ale.lives() == lives
    assert hops(envs, RIGHT, LEFT, RIGHT, LEFT) == [0, 0, 25, 25]
    ale.reset_game()
    assert ale.getRAM()[[57, 99]].tolist() == [0, 0]  # cleared, so it has to be written after every reset
    envs.reset(seed=0)
    wait(envs, INTRO)
    assert hops(envs, RIGHT, LEFT, RIGHT, LEFT) == [0, 0, 25, 25]
    for _ in range(2000):  # to the end of the game
        if envs.step(np.array([UP]))[2][0]:
            break
    assert ale.getEpisodeFrameNumber() == 0  # autoreset
    wait(envs, INTRO)
    assert hops(envs, RIGHT, LEFT, RIGHT, LEFT) == [0, 0, 25, 25]


def test_inverse_is_the_complement_of_every_pixel_and_nothing_else() -> None:
    plain, inverse = make(2, game="breakout", fire_reset=True), make(2, game="breakout", fire_reset=True, inverse=True)
    np.testing.assert_array_equal(inverse.reset(seed=1)[0], 255 - plain.reset(seed=1)[0])
    rng = np.random.default_rng(0)
    for _ in range(80):
        actions = rng.integers(4, size=2)
        got, want = inverse.step(actions), plain.step(actions)
        np.testing.assert_array_equal(got[0], 255 - want[0])
        np.testing.assert_array_equal(got[1], want[1])


def painted(paint: str, step: int = 0) -> Any:
    frame = np.zeros((210, 160), np.uint8)
    Painter(paint, frame.shape)(frame, step)
    return frame


def extent(picture: Any) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(picture)
    return rows.min(), rows.max(), columns.min(), columns.max()


def test_what_is_painted() -> None:
    rectangle = painted("constant-rectangle")
    assert extent(rectangle) == (154, 157, 120, 127)
    assert np.count_nonzero(rectangle) == 4 * 8
    squares = [painted("moving-square", step) for step in (0, 999, 1000, 2000, 3000)]
    assert [extent(square) for square in squares] == [
        (154, 159, column, column + 5) for column in (40, 40, 80, 120, 40)
    ]
    lines, diagonals = painted("green-lines"), painted("diagonals")
    starts = [98, 114, 130, 146, 162, 178]
    assert sorted(set(np.nonzero(lines)[0])) == sorted(row + below for row in starts for below in (0, 1))
    assert [np.count_nonzero(lines[row]) for row in starts] == [2 * (77 - row) for row in range(32, 77, 8)]
    assert extent(diagonals) == (98, 187, 8, 97)
    assert np.count_nonzero(diagonals) == np.count_nonzero(lines)
    for diagonal in range(0, 90, 2):
        assert diagonals[98 + diagonal, 8 + diagonal]
    assert len({painted(paint).max() for paint in PAINTS}) == len(PAINTS)


@pytest.mark.parametrize("paint", PAINTS)
def test_paint_changes_the_picture_alone(paint: str) -> None:
    plain, other = make(1, game="breakout", fire_reset=True), make(1, game="breakout", fire_reset=True, paint=paint)
    differs = plain.reset(seed=3)[0] != other.reset(seed=3)[0]
    assert differs[0, 3].any()
    assert not differs[0, :3].any()  # the black pictures from before the start
    seen = np.zeros((210, 160), bool)
    for step in (0, 1000, 2000):
        seen |= painted(paint, step) > 0
    rows, columns = np.nonzero(seen)
    allowed = np.zeros((84, 84), bool)
    for row, column in zip(rows, columns, strict=True):  # pixels of the small picture that a painted one falls into
        allowed[
            int(row * 0.4) : int((row + 1) * 0.4 - 1e-9) + 1, int(column * 0.525) : int(column * 0.525 + 0.525) + 1
        ] = True
    rng = np.random.default_rng(0)
    for _ in range(60):
        actions = rng.integers(4, size=1)
        got, want = other.step(actions), plain.step(actions)
        different = got[0][0, 3] != want[0][0, 3]
        assert different.any()
        assert not different[~allowed].any()
        np.testing.assert_array_equal(got[1:4], want[1:4])


def test_the_moving_square_starts_in_a_drawn_place_and_moves() -> None:
    envs = make(2, game="breakout", paint="moving-square", noop_max=0, frame_skip=1, screen_size=40)
    starts = [picture for seed in range(0, 10, 2) for picture in envs.reset(seed=seed)[0]]
    assert len({picture.tobytes() for picture in starts}) == 3
    for _ in range(999):
        before = envs.step(np.zeros(2, int))[0]
    after = envs.step(np.zeros(2, int))[0]
    assert (before[:, 3] != after[:, 3]).any(axis=(1, 2)).all()
