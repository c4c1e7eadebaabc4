"""Learning on models without a source: what the multi-task method does where nothing fits, and no more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tlbench.baselines.model_based.config import ModelBasedConfig
from tlbench.execution.selection import MethodChoice
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.interface import Knowledge

NOTHING_THAT_FITS = Knowledge({}, {"observations": 17, "actions": 6, "horizon": 9})


@pytest.fixture(scope="module")
def settings(small):
    """The small settings that it has."""
    return {name: value for name, value in small.items() if name in ModelBasedConfig.model_fields}


def test_it_is_the_multitask_method_with_nothing_carried(small, settings, target, context):
    task, other, ctx = target(), target(), context()
    MethodChoice("model-based-single-task", settings).method().learn_target(task, None, ctx)
    MethodChoice("model-based-multitask", small).method().learn_target(other, NOTHING_THAT_FITS, context())
    assert task.finish() == other.finish()
    assert (task.spent, len(ctx.diagnostics["model_errors"])) == (600, 2)  # not on the first data: there was no model
    assert "predicted_return_at_0" not in ctx.diagnostics
    assert tuple(task.reads) == ("reward", "terminated")


def test_it_learns_from_its_own_samples(target, context):
    task = target(budget=1500)
    settings = {"members": 3, "hidden_sizes": (32, 32), "iterations": 2, "policy_updates": 8, "virtual_samples": 1000}
    MethodChoice("model-based-single-task", settings).method().learn_target(task, None, context())
    first, *_, last = task.finish()
    assert np.mean(last[1].returns) > np.mean(first[1].returns) + 5


def test_settings_of_sources_mean_nothing_to_it():
    with pytest.raises(TlbenchError, match="visits"):
        MethodChoice("model-based-single-task", {"visits": 2}).method()


def test_what_it_can_not_learn_is_told(target):
    method, interface = MethodChoice("model-based-single-task").method(), target().interface
    assert method.unsupported(interface) is None
    assert "reward" in method.unsupported(replace(interface, reward=None))
