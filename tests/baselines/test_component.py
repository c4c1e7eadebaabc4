"""Component transfer: what starts where, what is frozen, which losses are left out, and a whole evaluation."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tlbench
from tlbench.baselines.component import Component, permuted
from tlbench.baselines.learners.crar.learner import CRARConfig, CRARLearner
from tlbench.execution.selection import MethodChoice
from tlbench.protocol.alignment import ALIGNED, alignment_scores
from tlbench.protocol.discovery import methods
from tlbench.protocol.interface import Context, Knowledge
from tlbench.protocol.specs import TaskSpec
from tlbench.protocol.task import HarnessTask
from tlbench.tasks.environments.simple_maze import SimpleMazePairs

MAZES = """
schema_version = 1
name = "tiny-maze"
version = 1
title = "Tiny mazes"
description = "For tests."
seeds = 2
smoothing_window = 1
quick = ["inversion"]

[tasks.maze]
environment = "tlbench/SimpleMaze-v1"
context = { abstract_neurons = 2.0 }
unit = "samples"
offline = { transitions = 300, lanes = 10 }
evaluator = "alignment"
pairs = "tlbench.tasks.environments.simple_maze:SimpleMazePairs"
discount = 0.9
random_return = 0.0
expert_return = 1.0
threshold = 0.5
wall_limit = 600.0
source = { budget = 640, points = 2, episodes = 1 }

[tasks.inverse]
environment = "tlbench/SimpleMaze-v1"
options = { inverse = true }
context = { abstract_neurons = 2.0 }
unit = "samples"
offline = { transitions = 300, lanes = 10 }
evaluator = "alignment"
pairs = "tlbench.tasks.environments.simple_maze:SimpleMazePairs"
discount = 0.9
random_return = 0.0
expert_return = 1.0
threshold = 0.5
wall_limit = 600.0
target = { budget = 320, points = 3, episodes = 31 }

[transfers.inversion]
sources = ["maze"]
targets = ["inverse"]
relation = "visual-inversion"
expert_seeds = [0, 1]
"""
VARIANTS = [name for name in methods() if name.split("-")[0] == "component"]


@pytest.fixture
def maze() -> HarnessTask:
    """A target for agents; nothing is learned on it."""
    spec: dict[str, Any] = {"environment": "tlbench/MetaLabyrinth-v1", "options": {"tile_size": 1}, "discount": 0.9}
    spec |= {"random_return": 0.0, "expert_return": 1.0, "threshold": 1.0, "wall_limit": 60.0}
    spec["target"] = {"budget": 10, "points": 2, "episodes": 1}
    return HarnessTask(TaskSpec.model_validate(spec), "target", 0)


def start_of(variant: str | MethodChoice, task: HarnessTask) -> tuple[Any, ...]:
    learner = CRARLearner()
    expert, fresh = (learner.build(task.interface, CRARConfig(), seed, "cpu").params() for seed in (1, 2))
    ctx = Context(5, "cpu", learner, CRARConfig(), 2)
    choice = MethodChoice(variant) if isinstance(variant, str) else variant
    method = choice.method()
    assert isinstance(method, Component)
    start, frozen = method.transform(Knowledge(expert), fresh, ctx)
    return expert, fresh, start, set(frozen), method.target_config(ctx)


def test_variants_are_the_documents() -> None:
    assert set(VARIANTS) == {
        "component",
        "component-reset-encoder",
        "component-finetune-all",
        "component-no-disambiguation",
        "component-delayed-structure",
    }
    assert {"scratch-crar", "finetune-crar", "zero-shot-crar"} <= set(methods())


@pytest.mark.parametrize("variant", VARIANTS)
def test_all_but_the_encoder_is_the_experts_and_frozen(variant: str, maze: HarnessTask) -> None:
    expert, fresh, start, frozen, _ = start_of(variant, maze)
    encoder = {role for role in fresh if role.startswith("body.")}
    assert set(start) == set(fresh)
    assert frozen == (set() if variant == "component-finetune-all" else set(fresh) - encoder)
    kept = {role for role in fresh if torch.equal(start[role], expert[role])}
    biases = {role for role in encoder if not expert[role].any()}  # they start at 0: permuted or not
    assert kept == (set(fresh) - encoder | biases if "reset" in variant else set(fresh))


def test_a_reset_encoder_has_the_experts_numbers_in_another_order(maze: HarnessTask) -> None:
    expert, _, start, _, _ = start_of("component-reset-encoder", maze)
    again = start_of("component-reset-encoder", maze)[2]
    for role in (role for role in expert if role.startswith("body.")):
        assert torch.equal(start[role].flatten().sort().values, expert[role].flatten().sort().values)
        assert torch.equal(start[role], again[role])
    weights = torch.arange(60.0).view(3, 4, 5)
    shuffled = permuted(weights, torch.Generator().manual_seed(0))
    assert shuffled.shape == weights.shape
    assert not torch.equal(shuffled, weights)


def test_an_encoder_that_is_drawn_again_is_not_carried(maze: HarnessTask) -> None:
    expert, fresh, start, frozen, _ = start_of(MethodChoice("component", {"reset": "fresh"}), maze)
    assert set(start) == frozen == {role for role in fresh if not role.startswith("body.")}
    assert all(torch.equal(start[role], expert[role]) for role in start)


def test_losses_that_are_left_out(maze: HarnessTask) -> None:
    default = CRARConfig()
    for variant in VARIANTS:
        config = start_of(variant, maze)[4]
        changed = {name for name, value in config.model_dump().items() if value != getattr(default, name)}
        assert changed == {
            "component-no-disambiguation": {"disambiguation_weight"},
            "component-delayed-structure": {"unstructured_share"},
        }.get(variant, set())


@pytest.mark.parametrize(
    ("moved", "aligned"),
    [
        (lambda grid: np.add(grid, [0.0, 0.5]), True),
        (lambda grid: np.add(grid, [0.0, 1.0]), False),
        (lambda grid: np.array([0.0, 7.0]) + grid * [1.0, -1.0], False),  # mirrored: the rooms change places
        (lambda grid: np.where(grid[:, 1:] > 4, grid - [0.0, 4.0], grid), False),  # both rooms in one place
    ],
)
def test_the_threshold_of_alignment_on_the_maze_itself(moved: Callable[..., Any], aligned: bool) -> None:
    grid = SimpleMazePairs().draw(31, np.random.default_rng(0))["positions"].astype(np.float64)
    assert (alignment_scores(grid, moved(grid)).mean() >= ALIGNED) == aligned


@pytest.mark.slow
def test_a_whole_evaluation_with_crossed_base_models(tmp_path: Path) -> None:
    suite = tmp_path / "mazes.toml"
    suite.write_text(MAZES)
    tlbench.evaluate(method="component", suite=str(suite), out=tmp_path, jobs=1)
    records = [json.loads(path.read_text()) for path in tmp_path.glob("*/records/component/*.json")]
    assert sorted((r["seed"], r["expert_seed"]) for r in records) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    for record in records:
        assert [len(point["returns"]) for point in record["curve"]] == [31] * 3
        assert all(0 <= score <= 1 for point in record["curve"] for score in point["returns"])
        facts = record["diagnostics"]["alignment"]
        assert facts["pairs"] == 31
        assert np.mean(record["curve"][-1]["returns"]) == pytest.approx(facts["score"])
        assert facts["aligned"] == (facts["score"] >= facts["threshold"])
        assert set(facts["mirrored"]) <= {0, 1}
        assert record["gradient_steps"] == record["diagnostics"]["losses"]["update"][-1] == 10
        assert record["diagnostics"]["encoder_change"] > 0
    controls = [json.loads(path.read_text()) for path in tmp_path.glob("*/records/scratch-crar/*.json")]
    assert len(controls) == 2
    assert {score for r in controls for point in r["curve"] for score in point["returns"]} == {0.0}
    experts = [json.loads(path.read_text()) for path in tmp_path.glob("*/experts/*.json")]
    assert {r["diagnostics"]["best_point"] for r in experts} == {1}  # the last: a source has no reward
    assert all("transition" in r["diagnostics"]["losses"] for r in experts)
