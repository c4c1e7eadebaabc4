"""Records made by hand on the keys of a real plan, and the submissions built of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from tlbench.execution.plan import RunNode, make_plan
from tlbench.execution.selection import MethodChoice, control_choice, find_learner, learner_identity
from tlbench.leaderboard.assembly import assemble
from tlbench.leaderboard.submission import Submission
from tlbench.protocol.records import Configured, ExpertUsed, Point, Record, Steps, Training
from tlbench.protocol.specs import SuiteSpec, parse_suite

SMALL = """
schema_version = 1
name = "small"
version = 1
title = "Small"
description = "For tests."
seeds = {seeds}
smoothing_window = 2
quick = ["close"]

[tasks.cartpole]
environment = "tlbench/CartPole-v1"
discount = 0.99
random_return = 0.0
expert_return = 100.0
threshold = 90.0
max_return = 500.0
wall_limit = 60.0
source = {{ budget = 1000, points = 2, episodes = 1 }}
target = {{ budget = 1000, points = 3, episodes = 2 }}

[tasks.negated]
environment = "tlbench/CartPole-v1"
options = {{ observation_sign = -1 }}
discount = 0.99
random_return = 0.0
expert_return = 100.0
threshold = 90.0
wall_limit = 60.0
target = {{ budget = 1000, points = 3, episodes = 2 }}

[transfers.close]
sources = ["cartpole"]
targets = ["negated"]
relation = "close"
"""

SELF = """
[transfers.self]
sources = ["cartpole"]
targets = ["cartpole"]
relation = "self"
"""

STUDY = """
[transfers.study]
sources = ["cartpole"]
targets = ["negated"]
relation = "close"
scored = false
learner.vpg = { learning_rate = 0.5 }
"""

Level = Callable[[Record], float]


def small_suite(seeds: int = 8, extra: str = SELF) -> SuiteSpec:
    return parse_suite(SMALL.format(seeds=seeds) + extra, "small.toml")


def training() -> Training:
    return Training(returns=(1.0, *[None] * 99), episodes=(3, *[0] * 99))


def curve(fractions: list[float], budget: int, episodes: int, value: float) -> tuple[Point, ...]:
    return tuple(
        Point(fraction=f, count=math.ceil(round(f * budget, 6)), returns=(value,) * episodes, lengths=(7,) * episodes)
        for f in fractions
    )


PROVENANCE = {"python": "3.11.7", "packages": {"tlbench": "0.1.0"}, "device": "cpu", "wall_seconds": 1.5}


@cache
def _plan(text: str, method: str, settings: tuple[tuple[str, Any], ...]) -> tuple[SuiteSpec, Any]:
    suite = SuiteSpec.model_validate_json(text)
    return suite, make_plan(
        suite, MethodChoice(method, dict(settings)), tuple(suite.transfers), tuple(range(suite.seeds))
    )


def records_of(
    suite: SuiteSpec,
    method: str = "spam-vpg",
    *,
    mean: float = 60.0,
    control: float = 40.0,
    settings: dict[str, Any] | None = None,
    noise: int = 0,
) -> tuple[list[Record], list[Record]]:
    """Runs (with controls) and experts with flat curves: mean + seed for the method, control + seed for the control."""
    _, plan = _plan(suite.model_dump_json(), method, tuple((settings or {}).items()))
    common = {"suite": suite.id, "digest": suite.digest, "submittable": suite.submittable}
    experts, runs = [], []
    for node in plan.experts:
        schedule = suite.tasks[node.task].schedule("source")
        learner = find_learner(node.learner)
        experts.append(
            Record(
                kind="expert",
                key=node.key,
                **common,
                transfers=(),
                sources=(),
                target=node.task,
                method=None,
                learner=Configured(**learner_identity(learner, {})),
                config_hash=control_choice(node.learner).config_hash(),
                seed=node.seed,
                expert_seed=None,
                knowledge_key=None,
                control_key=None,
                experts=(),
                steps=Steps(unit="env_steps", source=schedule.budget, extraction=0, target=0),
                gradient_steps=5,
                curve=curve(schedule.source_fractions(), schedule.budget, schedule.episodes, 90.0),
                training=training(),
                diagnostics={"mean_return": 90.0, "roles": ["body.0.weight"]},
                provenance=PROVENANCE,
            )
        )
    rng = np.random.default_rng(noise)
    for node in (*plan.controls, *plan.runs):
        runs.append(_run(suite, node, common, (mean if node.knowledge else control) + node.seed + rng.normal()))
    return runs, experts


def _run(suite: SuiteSpec, node: RunNode, common: dict[str, Any], value: float) -> Record:
    schedule = suite.tasks[node.target].schedule("target")
    learner = node.choice.learner()
    used = (
        tuple(ExpertUsed(key=e.key, task=e.task, mean_return=90.0) for e in node.knowledge.experts)
        if (node.knowledge)
        else ()
    )
    source = sum(suite.tasks[e.task].schedule("source").budget for e in used)
    return Record(
        kind="run",
        key=node.key,
        **common,
        transfers=node.transfers,
        sources=node.sources,
        target=node.target,
        method=Configured(**node.choice.identity()),
        learner=Configured(**learner_identity(learner, dict(node.learner_settings))) if learner else None,
        config_hash=node.choice.config_hash(),
        seed=node.seed,
        expert_seed=node.expert_seed,
        knowledge_key=node.knowledge.key if node.knowledge else None,
        control_key=node.control_key,
        experts=used,
        steps=Steps(unit="env_steps", source=source, extraction=0, target=schedule.budget),
        gradient_steps=None,
        curve=curve(schedule.target_fractions(), schedule.budget, schedule.episodes, value),
        training=training(),
        diagnostics={"zero_ratio": 0.5, "deep": {"list": [1, 2.5, None, "x"]}},
        provenance=PROVENANCE,
    )


def submission_of(
    suite: SuiteSpec, method: str = "spam-vpg", name: str = "SPAM", about: dict[str, Any] | None = None, **how: Any
) -> Submission:
    runs, experts = records_of(suite, method, **how)
    return assemble(
        suite, runs, experts, method=method, about={"name": name, "contact": "someone@example.org", **(about or {})}
    )


@pytest.fixture(scope="session")
def suite() -> SuiteSpec:
    return small_suite()


@pytest.fixture(scope="session")
def suites(suite: SuiteSpec) -> dict[str, SuiteSpec]:
    return {suite.id: suite}


@pytest.fixture(scope="session")
def spam(suite: SuiteSpec) -> Submission:
    return submission_of(suite)


@pytest.fixture(scope="session")
def scratch(suite: SuiteSpec) -> Submission:
    return submission_of(suite, "scratch-vpg", name="VPG from scratch")


@pytest.fixture(autouse=True)
def no_references(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Boards without the reference submissions that come with tlbench, which have a test of their own."""
    empty = tmp_path_factory.getbasetemp() / "no-references"
    monkeypatch.setattr("tlbench.leaderboard.board.reference_folder", lambda: empty)
