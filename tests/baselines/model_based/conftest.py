"""Point goals: a family of which the dynamics are known exactly (a position moves by the action)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tlbench.baselines.model_based.config import MultitaskConfig
from tlbench.baselines.model_based.dynamics import DynamicsEnsemble
from tlbench.baselines.model_based.segments import Segments
from tlbench.protocol.discovery import learners
from tlbench.protocol.interface import Context
from tlbench.protocol.specs import Schedule, TaskSpec
from tlbench.protocol.task import HarnessTask

STEP = 0.1


def point_goal(x: float = 0.3, y: float = -0.2, budget: int = 600) -> TaskSpec:
    return TaskSpec(
        environment="tlbench/PointGoal-v1",
        options={"goal_x": x, "goal_y": y},
        discount=0.99,
        random_return=-50.0,
        expert_return=-1.0,
        threshold=-3.0,
        source=Schedule(budget=budget, points=2, episodes=2),
        target=Schedule(budget=budget, points=3, episodes=4),
        wall_limit=60.0,
    )


@pytest.fixture(scope="session")
def source() -> Callable[..., HarnessTask]:
    """Makes sources."""
    return lambda *goal, budget=600: HarnessTask(point_goal(*goal, budget=budget), "source", 0, budget=budget)


@pytest.fixture(scope="session")
def target() -> Callable[..., HarnessTask]:
    """Makes targets."""
    return lambda *goal, budget=600: HarnessTask(point_goal(*goal, budget=budget), "target", 0)


@pytest.fixture(scope="session")
def small() -> dict[str, Any]:
    """Settings that take a second."""
    return {"members": 2, "hidden_sizes": (16,), "warm_up_updates": 1, "iterations": 1, "model_updates": 5,
            "policy_updates": 1, "virtual_samples": 100, "source_stages": 2, "target_stages": 3}  # fmt: skip


@pytest.fixture(scope="session")
def small_config(small: dict[str, Any]) -> MultitaskConfig:
    """The same as a configuration."""
    return MultitaskConfig(**small)


@pytest.fixture(scope="session")
def context() -> Callable[..., Context]:
    """Makes contexts with TRPO."""

    def make(seed: int = 3) -> Context:
        learner = learners()["trpo"]
        return Context(seed, "cpu", learner, learner.Config(), 11)

    return make


@pytest.fixture(scope="session")
def ensemble() -> Callable[..., DynamicsEnsemble]:
    """Makes models of 3 components and 2 actions with normalisation of no special kind."""

    def make(members: int = 3, hidden: tuple[int, ...] = (8, 5)) -> DynamicsEnsemble:
        models = DynamicsEnsemble(3, 2, hidden, members, torch.Generator().manual_seed(0))
        models.normalise(segments(200))
        return models

    return make


def segments(count: int, steps: int = 2, seed: int = 0) -> Segments:
    """Random data; about a third of the stretches end early."""
    rng = np.random.default_rng(seed)
    mask = np.ones((count, steps))
    mask[:, 1:] = (rng.random((count, steps - 1)) < 0.66).cumprod(axis=1)
    parts = rng.normal(1, 2, (count, 3)), rng.uniform(-1, 1, (count, steps, 2)), rng.normal(0.5, 0.3, (count, steps, 3))
    return Segments(*(torch.from_numpy(p.astype(np.float32)) for p in (*parts, mask)))


def point_segments(count: int, seed: int = 0) -> Segments:
    """One-step data of points that move by a tenth of the action."""
    rng = np.random.default_rng(seed)
    obs, actions = rng.uniform(-0.6, 0.6, (count, 2)), rng.uniform(-1, 1, (count, 1, 2))
    parts = obs, actions, STEP * actions, np.ones((count, 1))
    return Segments(*(torch.from_numpy(p.astype(np.float32)) for p in parts))


@pytest.fixture(scope="session")
def random_segments() -> Callable[..., Segments]:
    """Random data."""
    return segments


@pytest.fixture(scope="session")
def point_data() -> Callable[..., Segments]:
    """Data of points."""
    return point_segments
