"""The suites of task families, published or drafts: instances, parameters and known rewards fit together."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from tlbench.protocol.specs import SuiteSpec, TaskSpec, load_suite
from tlbench.protocol.task import HarnessTask

TASKS = Path(__file__).parents[2] / "tasks"


@pytest.fixture(
    params=[
        "point-goal",
        "point-goal-v1",
        "half-cheetah-velocity",
        "half-cheetah-direction",
        "ant-direction",
        "ant-goal",
        "hopper",
        "drafts/mujoco-full",
    ],
    scope="module",
)
def suite(request: pytest.FixtureRequest) -> SuiteSpec:
    """Each of them."""
    return load_suite(TASKS / f"{request.param}.toml")


def test_contexts_are_the_instances_parameters(suite: SuiteSpec) -> None:
    for name, task in suite.tasks.items():
        options = {key: value for key, value in task.options.items() if key not in ("crippled_leg", "unit_actions")}
        if "angle" in options:
            angle = float(options["angle"])
            assert task.context == pytest.approx(
                {"direction_x": math.cos(angle), "direction_y": math.sin(angle)}, abs=1e-3
            ), name
        elif "Hopper" in task.environment:
            assert not task.context
        else:
            assert task.context == options, name


def test_at_most_three_instances_none_of_them_a_source(suite: SuiteSpec) -> None:
    for name, transfer in suite.transfers.items():
        assert len(transfer.targets) <= 3, name
        if transfer.relation != "self":
            seen = [suite.tasks[task].options for task in transfer.sources]
            assert not any(suite.tasks[task].options in seen for task in transfer.targets), name


def test_no_two_sources_are_one_task(suite: SuiteSpec) -> None:
    for name, transfer in suite.transfers.items():
        seen = [sorted(suite.tasks[task].options.items()) for task in transfer.sources]
        assert all(options not in seen[:i] for i, options in enumerate(seen)), name


GOALS, ANT_GOALS, VELOCITIES = (-0.5, 0.5), (-3.0, 3.0), (0.0, 2.0)
RANGES = {"PointGoal": GOALS, "AntGoal": ANT_GOALS, "HalfCheetahVelocity": VELOCITIES}
"""The families' ranges; directions have no outside."""


def test_held_out_instances_are_in_range_and_others_beyond_it(suite: SuiteSpec) -> None:
    for name, transfer in suite.transfers.items():
        for task in (*transfer.sources, *transfer.targets):
            spec = suite.tasks[task]
            family = spec.environment.removeprefix("tlbench/").removesuffix("-v1")
            low, high = RANGES.get(family, (-math.inf, math.inf))
            inside = all(low <= value <= high for value in spec.context.values())
            assert inside == (task in transfer.sources or "out-of-range" not in name), (name, task)


def test_sources_of_a_transfer_task_have_equal_budgets_and_spaces(suite: SuiteSpec) -> None:
    for name, transfer in suite.transfers.items():
        tasks: list[TaskSpec] = [suite.tasks[task] for task in (*transfer.sources, *transfer.targets)]
        assert len({task.environment for task in tasks}) == 1, name
        assert len({task.schedule("source") for task in tasks[: len(transfer.sources)]}) == 1, name


def test_a_crippled_ant_walks_where_a_whole_one_does(suite: SuiteSpec) -> None:
    """So that the two differ in nothing but the leg."""
    whole = [task.options for task in suite.tasks.values() if "crippled_leg" not in task.options]
    for name, task in suite.tasks.items():
        if "crippled_leg" in task.options:
            assert {key: value for key, value in task.options.items() if key != "crippled_leg"} in whole, name


def test_families_tell_their_rewards_and_the_hopper_does_not(suite: SuiteSpec) -> None:
    for transfer in suite.transfers.values():
        target = suite.tasks[transfer.targets[0]]
        interface = HarnessTask(target, "target", 0).interface
        assert (interface.reward is not None) == ("Hopper" not in target.environment)


def test_the_instances_of_the_full_suite_are_drawn_as_its_file_says() -> None:
    tasks = load_suite(TASKS / "drafts" / "mujoco-full.toml").tasks
    rng, turn = np.random.default_rng(0), 2 * math.pi
    drawn = {
        "goal": (("goal_x", "goal_y"), rng.uniform(*GOALS, (43, 2))),
        "velocity": (("velocity",), rng.uniform(*VELOCITIES, (43, 1))),
        "ant": (("angle",), rng.uniform(0, turn, (43, 1))),
        "ant-goal": (("goal_x", "goal_y"), rng.uniform(*ANT_GOALS, (43, 2))),
    }
    for family, (parameters, values) in drawn.items():
        names = [f"{family}-{number}" for number in range(1, 41)] + [f"{family}-held-out-{n}" for n in (1, 2, 3)]
        for name, value in zip(names, values, strict=True):
            found = [tasks[name].options[parameter] for parameter in parameters]
            assert found == pytest.approx(value.tolist(), abs=1e-3), name
