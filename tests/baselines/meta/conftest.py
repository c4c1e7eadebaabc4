"""Tiny policies and random batches in double precision."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from gymnasium import spaces

from tlbench.baselines.meta.episodes import Batch
from tlbench.baselines.meta.policy import FunctionalPolicy
from tlbench.protocol.interface import Interface

OBS = spaces.Box(-np.inf, np.inf, (3,))
ACTIONS = {
    "continuous": spaces.Box(np.array([-1.0, 0.0], np.float32), np.array([1.0, 4.0], np.float32)),
    "discrete": spaces.Discrete(3),
}


@pytest.fixture(params=["continuous", "discrete"])
def policy(request: pytest.FixtureRequest) -> FunctionalPolicy:
    """A policy of 4 tanh units."""
    return FunctionalPolicy(Interface(OBS, ACTIONS[request.param], 0.9), (4,), "tanh", -0.3)


@pytest.fixture
def theta(policy: FunctionalPolicy) -> torch.Tensor:
    """Parameters in double precision, biases too."""
    start = policy.initial(1).double()
    return start + 0.1 * torch.randn(len(start), dtype=torch.float64, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def batch(policy: FunctionalPolicy) -> Callable[[int, int], Batch]:
    """Makes a random batch of one task: its steps, its seed."""

    def make(steps: int, seed: int) -> Batch:
        generator = torch.Generator().manual_seed(seed)
        shape = {"dtype": torch.float64, "generator": generator}
        obs = torch.randn(steps, 3, **shape)  # type: ignore[call-overload]
        actions = torch.randn(steps, 2, **shape)  # type: ignore[call-overload]
        if policy.discrete:
            actions = torch.randint(3, (steps,), generator=generator)
        advantages = torch.randn(steps, **shape)  # type: ignore[call-overload]
        return Batch(obs, actions, advantages, torch.full((steps,), 1 / steps, dtype=torch.float64))

    return make
