"""Rewards over the course of an episode: by hand, through the harness, and where they can't be had."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.evaluation import Snapshot, rewards_within
from tlbench.protocol.specs import SuiteSpec, parse_suite
from tlbench.protocol.task import HarnessTask
from tlbench.protocol.vector import open_lanes

LENGTH = 25
MAZE = f"""
[tasks.maze]
environment = "tlbench/HiddenGoalMaze-v1"
options = {{ side = 7, max_episode_steps = {LENGTH} }}
within_lifetime = true
discount = 0.9
random_return = 0.0
expert_return = 1.0
threshold = 1.0
wall_limit = 60.0
target = {{ budget = 100, points = 3, episodes = 40 }}
"""


class Circling:
    """Up, left, down, right: finds goals beside the centre."""

    def act(self, obs: Any, state: Any, first: Any) -> tuple[Any, Any]:
        state = 0 if state is None else state
        return np.full(len(obs), (0, 2, 1, 3)[state % 4]), state + 1

    def frozen(self) -> Circling:
        return self


class Dizzy(Circling):
    """Its actions are not finite."""

    def act(self, obs: Any, state: Any, first: Any) -> tuple[Any, Any]:
        return np.full(len(obs), np.nan), state


def suite(tiny_text: str, text: str = MAZE) -> SuiteSpec:
    return parse_suite(tiny_text + text, "tiny.toml")


def by_hand(seeds: list[int]) -> list[float]:
    """Mean reward per step in tenths of the episodes, played one by one."""
    rows = []
    for seed in seeds:
        env = gymnasium.make("tlbench/HiddenGoalMaze-v1", side=7, max_episode_steps=LENGTH, disable_env_checker=True)
        env.reset(seed=seed)
        rows.append([float(env.step((0, 2, 1, 3)[step % 4])[1]) for step in range(LENGTH)])
    return [float(part.mean()) for part in np.array_split(np.mean(rows, axis=0), 10)]


def test_equals_episodes_one_by_one(tiny_text: str) -> None:
    spec = suite(tiny_text).tasks["maze"]
    seeds = list(range(40))
    found = rewards_within(Snapshot(Circling(), 0, tuple(seeds)), lambda n: open_lanes(spec, n, "disabled"))
    assert found is not None
    assert len(found) == 10
    assert found == pytest.approx(by_hand(seeds))
    assert len(set(found)) > 3


def test_episodes_that_are_over_add_nothing(tiny: SuiteSpec) -> None:
    """CartPole pays 1 for every step that is lived: the rewards are the share of episodes that still run."""
    task = HarnessTask(tiny.tasks["cartpole"], "target", 0)
    seeds = tuple(range(20))

    class Right(Circling):
        def act(self, obs: Any, state: Any, first: Any) -> tuple[Any, Any]:
            return np.ones(len(obs), dtype=np.int64), None

    found = rewards_within(Snapshot(Right(), 0, seeds), lambda n: open_lanes(tiny.tasks["cartpole"], n, "disabled"))
    assert found is not None
    assert found[0] == 1.0
    assert 0 < found[-1] < 1
    assert found == sorted(found, reverse=True)
    assert task.within_lifetime() is None


def test_the_harness_gives_them_where_the_task_asks(tiny_text: str) -> None:
    spec = suite(tiny_text).tasks["maze"]
    first, again, other = (HarnessTask(spec, "target", seed) for seed in (0, 0, 1))
    assert first.within_lifetime() is None  # nothing was published
    for task in (first, again, other):
        task.publish(Circling())
    assert first.within_lifetime() == again.within_lifetime() != other.within_lifetime()
    first.publish(Dizzy())
    assert first.within_lifetime() is None


def test_tasks_that_are_not_stepped_have_none(tiny_text: str) -> None:
    wrong = MAZE.replace("within_lifetime = true", 'within_lifetime = true\nunit = "episodes"')
    with pytest.raises(TlbenchError, match="within_lifetime is for tasks in env_steps"):
        suite(tiny_text, wrong)


def test_the_field_changes_a_run_but_not_other_suites(tiny_text: str) -> None:
    asking = suite(tiny_text)
    silent = suite(tiny_text, MAZE.replace("within_lifetime = true\n", ""))
    assert asking.tasks["maze"].identity("target") != silent.tasks["maze"].identity("target")
    assert "within_lifetime" not in silent.tasks["maze"].identity("target")
