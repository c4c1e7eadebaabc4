"""Episodes and advantages: what counts, what is fitted, how tasks are put side by side."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tlbench.baselines.meta.episodes import RIDGE, Batch, Episodes, Player, advantages, features, stacked
from tlbench.baselines.meta.policy import FunctionalPolicy
from tlbench.protocol.errors import BudgetExhausted
from tlbench.protocol.specs import SuiteSpec
from tlbench.protocol.task import HarnessTask


def random_episodes(rows: int, ends: list[list[int]], seed: int = 0) -> Episodes:
    """Lanes of so many rows; ``ends`` has, per lane, the rows with which an episode ends."""
    rng, lanes = np.random.default_rng(seed), len(ends)
    ended = np.zeros((rows, lanes), np.bool_)
    for lane, last in enumerate(ends):
        ended[last, lane] = True
    obs = rng.normal(size=(rows, lanes, 3)).astype(np.float32)
    return Episodes(obs, rng.normal(size=(rows, lanes, 2)).astype(np.float32), rng.normal(size=(rows, lanes)), ended)


def test_advantages_are_what_least_squares_leaves_of_rewards_to_go():
    ends = [[29], [3, 11], [9, 10, 28], [20]]
    episodes, inputs, targets = random_episodes(30, ends), [], []
    for row, lane in np.ndindex(30, 4):
        begun = max([end + 1 for end in ends[lane] if end < row], default=0)
        stop = min([end for end in ends[lane] if end >= row], default=29)
        x, t = episodes.obs[row, lane].astype(float), (row - begun) / 100
        further = 0.0 if begun == 0 else 0.9 ** (30 - row)
        inputs.append([*x, *x**2, t, t**2, t**3, 1.0, further])
        targets.append(sum(0.9 ** (k - row) * episodes.rewards[k, lane] for k in range(row, stop + 1)))
    A, b = np.array(inputs), np.array(targets)
    ridge = np.sqrt(RIDGE) * np.eye(A.shape[1])
    fit = np.linalg.lstsq(np.vstack([A, ridge]), np.append(b, np.zeros(A.shape[1])), rcond=None)[0]
    left = b - A @ fit
    np.testing.assert_allclose(features(episodes, 0.9).reshape(-1, A.shape[1]), A)
    np.testing.assert_allclose(advantages(episodes, 0.9), (left - left.mean()) / left.std(), atol=1e-6)


def test_an_episode_does_not_see_what_comes_after_it():
    episodes = random_episodes(8, [[3, 7], [7]])
    changed = episodes.rewards.copy()
    changed[4:, 0] += 5.0
    flat = np.zeros_like(episodes.obs)  # so that the baseline and the scaling are the same for both lanes
    found = []
    for rewards in (episodes.rewards, changed):
        values = advantages(Episodes(flat, episodes.actions, rewards, episodes.ended), 0.9).reshape(8, 2)[:4]
        found.append(values[:, 0] - values[:, 1])
    assert np.corrcoef(*found)[0, 1] == pytest.approx(1.0)


def test_every_step_weighs_the_same_and_returns_are_those_of_first_episodes():
    episodes = random_episodes(8, [[2], [7]])
    assert episodes.batch(0.9).weights.tolist() == pytest.approx([1 / 16] * 16)
    both = episodes.rewards[:3, 0].sum() + episodes.rewards[:, 1].sum()
    assert episodes.mean_return == pytest.approx(both / 2)


def test_lanes_with_one_episode_each_have_the_plain_baseline():
    episodes = random_episodes(8, [[7], [7]])
    assert features(episodes, 0.9).shape == (8, 2, 10)
    assert features(random_episodes(8, [[7], [3]]), 0.9).shape == (8, 2, 11)


def test_advantages_of_equal_rewards_are_finite():
    episodes = random_episodes(5, [[4], [4]])
    flat = Episodes(np.zeros_like(episodes.obs), episodes.actions, np.zeros_like(episodes.rewards), episodes.ended)
    assert np.isfinite(advantages(flat, 1.0)).all()


def test_shorter_batches_are_filled_up_with_nothing():
    short, long = (random_episodes(rows, [[1], [rows - 1]]).batch(0.9) for rows in (3, 5))
    both = stacked([short, long])
    assert both.obs.shape == (2, 10, 3)
    assert both.weights[0, 6:].tolist() == [0.0] * 4
    for column, part in zip(both, short, strict=True):
        assert torch.equal(column[0, :6], part)
    assert isinstance(both, Batch)


def player(suite: SuiteSpec, name: str, budget: int, lanes: int = 4) -> tuple[Player, HarnessTask, torch.Tensor]:
    task = HarnessTask(suite.tasks[name], "source" if name == "cartpole" else "target", 0, budget=budget)
    policy = FunctionalPolicy(task.interface, (8,), "tanh", 0.0)
    return Player(task, policy, lanes, np.random.default_rng(0)), task, policy.initial(0)


def test_every_lane_plays_at_least_one_episode_and_every_step_counts(tiny: SuiteSpec):
    """CartPole pays 1 a step: the return is the length, and rewards-to-go say how much of an episode is left."""
    playing, task, theta = player(tiny, "cartpole", 5000)
    episodes = playing.play(theta)
    rows = len(episodes.ended)
    assert episodes.ended.any(axis=0).all()
    assert episodes.ended.sum() > 4, "a lane that fell began again"
    first = episodes.ended.argmax(axis=0) + 1
    assert episodes.mean_return == first.mean()
    assert first.max() == rows
    assert task.spent == 4 * rows == len(episodes.batch(0.99).obs)
    starts = episodes.time == 0
    assert starts.sum() == 4 + episodes.ended[:-1].sum()
    assert (np.abs(episodes.obs[starts]) <= 0.05).all()
    again = playing.play(theta)
    assert (np.abs(again.obs[0]) <= 0.05).all(), "the next episodes begin at their start"
    assert task.spent == 4 * rows + 4 + 4 * len(again.ended), "lanes were under way: the reset costs a step each"


def test_episodes_that_end_together_need_no_reset(tiny: SuiteSpec):
    playing, task, theta = player(tiny, "pendulum", 2000)
    first, second = playing.play(theta), playing.play(theta)
    assert task.spent == 4 * 400
    assert not np.array_equal(first.obs[0], second.obs[0])
    with pytest.raises(BudgetExhausted):
        playing.play(theta)
    assert task.spent == 2000
