"""Real experience: what is collected is what happened, and the noise on actions drifts as stated."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tlbench.baselines.model_based.collecting import Collector, OrnsteinUhlenbeck
from tlbench.baselines.model_based.course import Course
from tlbench.baselines.model_based.shared import SharedModels


@pytest.fixture
def course(small_config, source, context) -> Course:
    """A course on a point whose goal is near, so that some episodes end early."""
    ctx, task = context(), source(0.1, 0.0)
    shared = SharedModels(task.interface, small_config, np.random.default_rng(0))
    return Course(task, shared, ctx.learner_config, ctx.build)


def test_segments_hold_what_the_lanes_did(course, small_config):
    collector = Collector(course._task, course._scales, small_config, np.random.default_rng(0))
    data = collector.collect(course.pilot, 402)
    assert (len(data), course._task.spent, collector.exhausted) == (405, 405, False)
    assert len(collector.starts) >= 5
    assert (collector.starts.abs() <= 0.05).all()
    assert collector.longest <= 100
    done = data.mask > 0
    assert torch.allclose(data.deltas[done], 0.1 * data.actions[done], atol=1e-6)  # a point moves by the action
    assert data.actions.abs().max() <= 1
    assert float(data.mask[:, 1].mean()) < 1
    assert collector.collect(course.pilot, 1000).mask.shape == (195, 2)
    assert (course._task.spent, collector.exhausted) == (600, True)


def test_the_noise_has_the_spread_and_the_memory_stated():
    noise = OrnsteinUhlenbeck((2000, 1), 0.15, 0.3, np.random.default_rng(0))
    for _ in range(50):
        before = noise.draw()
    after = noise.draw()
    assert after.std() == pytest.approx(0.3 / np.sqrt(1 - 0.85**2), rel=0.05)
    assert np.corrcoef(before[:, 0], after[:, 0])[0, 1] == pytest.approx(0.85, abs=0.02)
    noise.reset(np.arange(2000) < 1000)
    renewed = noise.draw()[:, 0]
    assert renewed[:1000].std() == pytest.approx(0.3, rel=0.1) != pytest.approx(renewed[1000:].std(), rel=0.1)
