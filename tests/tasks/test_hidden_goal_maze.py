"""The hidden-goal maze: where the goal is, what a hit does, what is seen, and which layouts there are."""

from __future__ import annotations

from collections import Counter
from typing import Any

import gymnasium
import numpy as np
import pytest

import tlbench.tasks.environments  # noqa: F401
from tlbench.tasks.environments.hidden_goal_layouts import connected, layout_table

ID = "tlbench/HiddenGoalMaze-v1"
UP, DOWN, LEFT, RIGHT = range(4)


def make(lanes: int, **options: Any) -> Any:
    return gymnasium.make_vec(ID, num_envs=lanes, vectorization_mode="vector_entry_point", **options)


def test_the_published_layouts() -> None:
    [small] = layout_table(11, 0, 0, 8)
    assert small.sum() == 4 * 10 + 16  # the border, and pillars on even rows and columns
    assert not small[5, 5]
    [large] = layout_table(13, 0, 0, 8)
    assert large.sum() == 4 * 12 + 25 - 1
    assert not large[6, 6]  # a pillar's cell, but the start


@pytest.mark.parametrize("side", [9, 11, 13])
def test_layouts_with_walls_are_connected_different_and_numbered(side: int) -> None:
    table = layout_table(side, 30, 7, 6)
    assert all(connected(~walls) for walls in table)
    assert len({walls.tobytes() for walls in table}) == 30
    [bare] = layout_table(side, 0, 0, 6)
    assert all(walls.sum() == bare.sum() + 6 for walls in table)
    assert np.array_equal(layout_table(side, 5, 20, 6), table[13:18])
    held_out = layout_table(side, 30, 1000, 6)
    assert not {w.tobytes() for w in held_out} & {w.tobytes() for w in table}


def test_connected_by_hand() -> None:
    assert connected(np.array([[1, 1], [0, 1]], bool))
    assert not connected(np.array([[1, 0], [0, 1]], bool))


def test_goals_are_uniform_and_never_in_the_centre() -> None:
    lanes = 6000
    envs = make(lanes)
    envs.reset(seed=0)
    goals = Counter(envs._state[1].astype(int).tolist())
    assert len(goals) == 11**2 - 56 - 1
    assert envs._centre not in goals
    assert max(goals.values()) < 2 * lanes / len(goals) < 4 * min(goals.values())


def test_a_hit_is_rewarded_once_and_teleports_and_the_goal_stays() -> None:
    lanes, rng = 300, np.random.default_rng(0)
    envs = make(lanes, max_episode_steps=-1)
    envs.reset(seed=1)
    goals = envs._state[1].copy()
    hits = 0
    for _ in range(600):
        obs, rewards, terminated, _, _ = envs.step(rng.integers(4, size=lanes))
        hit = rewards == 10
        hits += int(hit.sum())
        assert not terminated.any()
        np.testing.assert_array_equal(obs[:, 9], rewards.astype(np.float32))
        assert (envs._state[2] != goals).all()  # never left standing on it
        np.testing.assert_array_equal(envs._state[1], goals)
    assert hits > 500


def test_what_is_seen_by_hand() -> None:
    envs = make(1, side=5, wall_reward=-0.5, step_scale=10.0, last_action=True)
    obs, _ = envs.reset(seed=3)
    free = [0.0] * 9
    assert obs.tolist() == [[*free, 0, 0, 1, 0, 0, 0, 0]]
    envs._state[1] = 6  # the upper left corner
    obs, rewards, *_ = envs.step(np.array([DOWN]))
    assert obs[0, :9].tolist() == [0, 0, 0, 0, 0, 0, 1, 1, 1]
    obs, rewards, *_ = envs.step(np.array([DOWN]))
    assert rewards.tolist() == [-0.5]
    np.testing.assert_allclose(obs[0], [0, 0, 0, 0, 0, 0, 1, 1, 1, -0.5, 0.2, 1, 0, 1, 0, 0])
    for action in (UP, UP, LEFT):
        obs, rewards, *_ = envs.step(np.array([action]))
    assert rewards.tolist() == [10.0]
    np.testing.assert_allclose(obs[0, 9:], [10, 0.5, 1, 0, 0, 1, 0])


@pytest.mark.parametrize(
    "options",
    [{"side": 10}, {"side": 3}, {"wall_reward": 0.1}, {"step_scale": 0.0}, {"layouts": -1},
     {"side": 5, "layouts": 1, "extra_walls": 9}],
)  # fmt: skip
def test_wrong_options(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"side|wall_reward|step_scale|layouts|walls"):
        make(2, **options)
    with pytest.raises(ValueError, match=r"side|wall_reward|step_scale|layouts|walls"):
        gymnasium.make(ID, **options)
