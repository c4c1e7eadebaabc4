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


def random_episodes(lengths: list[int], seed: int = 0) -> Episodes:
    rng, rows, lanes = np.random.default_rng(seed), max(lengths), len(lengths)
    valid = np.arange(rows)[:, None] < np.array(lengths)
    obs = rng.normal(size=(rows, lanes, 3)).astype(np.float32)
    rewards = np.where(valid, rng.normal(size=(rows, lanes)), 0.0)
    return Episodes(obs, rng.normal(size=(rows, lanes, 2)).astype(np.float32), rewards, valid)


def test_advantages_are_what_least_squares_leaves_of_rewards_to_go():
    episodes, inputs, targets = random_episodes([9, 4, 12, 30]), [], []
    for t, lane in np.argwhere(episodes.valid):
        x = episodes.obs[t, lane].astype(float)
        inputs.append([*x, *x**2, t / 100, (t / 100) ** 2, (t / 100) ** 3, 1.0])
        targets.append(sum(0.9 ** (k - t) * episodes.rewards[k, lane] for k in range(t, 30)))
    A, b = np.array(inputs), np.array(targets)
    ridge = np.sqrt(RIDGE) * np.eye(A.shape[1])
    fit = np.linalg.lstsq(np.vstack([A, ridge]), np.append(b, np.zeros(A.shape[1])), rcond=None)[0]
    left = b - A @ fit
    np.testing.assert_allclose(features(episodes)[episodes.valid], A)
    np.testing.assert_allclose(advantages(episodes, 0.9), (left - left.mean()) / left.std(), atol=1e-6)


def test_what_comes_after_an_episode_does_not_count():
    episodes = random_episodes([3, 8])
    wild = Episodes(
        np.where(episodes.valid[..., None], episodes.obs, 9.0), episodes.actions, episodes.rewards, episodes.valid
    )
    np.testing.assert_array_equal(advantages(episodes, 0.9), advantages(wild, 0.9))
    assert len(episodes.batch(0.9).obs) == 11
    assert float(episodes.batch(0.9).weights.sum()) == pytest.approx(1.0)
    assert episodes.mean_return == pytest.approx(episodes.rewards.sum() / 2)


def test_advantages_of_equal_rewards_are_finite():
    episodes = random_episodes([5, 5])
    flat = Episodes(np.zeros_like(episodes.obs), episodes.actions, np.zeros_like(episodes.rewards), episodes.valid)
    assert np.isfinite(advantages(flat, 1.0)).all()


def test_shorter_batches_are_filled_up_with_nothing():
    short, long = random_episodes([2, 3]).batch(0.9), random_episodes([9, 1]).batch(0.9)
    both = stacked([short, long])
    assert both.obs.shape == (2, 10, 3)
    assert both.weights[0, 5:].tolist() == [0.0] * 5
    for column, part in zip(both, short, strict=True):
        assert torch.equal(column[0, :5], part)
    assert isinstance(both, Batch)


def player(suite: SuiteSpec, name: str, budget: int, lanes: int = 4) -> tuple[Player, HarnessTask, torch.Tensor]:
    task = HarnessTask(suite.tasks[name], "source" if name == "cartpole" else "target", 0, budget=budget)
    policy = FunctionalPolicy(task.interface, (8,), "tanh", 0.0)
    return Player(task, policy, lanes, np.random.default_rng(0)), task, policy.initial(0)


def test_every_lane_plays_one_episode(tiny: SuiteSpec):
    """CartPole pays 1 a step: the return is the length."""
    playing, task, theta = player(tiny, "cartpole", 5000)
    episodes = playing.play(theta)
    lengths = episodes.valid.sum(axis=0)
    np.testing.assert_array_equal(episodes.rewards.sum(axis=0), lengths)
    np.testing.assert_array_equal(episodes.valid, np.arange(len(episodes.valid))[:, None] < lengths)
    assert len(set(lengths.tolist())) > 1
    assert task.spent == 4 * max(lengths)
    assert (np.abs(episodes.obs[0]) <= 0.05).all()
    again = playing.play(theta)
    assert (np.abs(again.obs[0]) <= 0.05).all(), "the next episodes begin at their start"
    assert task.spent == 4 * max(lengths) + 4 + 4 * len(again.valid), (
        "lanes were under way: the reset costs a step each"
    )


def test_episodes_that_end_together_need_no_reset(tiny: SuiteSpec):
    playing, task, theta = player(tiny, "pendulum", 2000)
    first, second = playing.play(theta), playing.play(theta)
    assert task.spent == 4 * 400
    assert not np.array_equal(first.obs[0], second.obs[0])
    with pytest.raises(BudgetExhausted):
        playing.play(theta)
    assert task.spent == 2000
