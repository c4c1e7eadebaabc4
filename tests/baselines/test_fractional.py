"""Fractional transfer, computed by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tlbench.baselines.fractional import Fractional, FractionalConfig
from tlbench.execution.selection import MethodChoice
from tlbench.protocol.discovery import learners, methods
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.interface import Context, Knowledge, Params

SOURCE: Params = {
    "body.0.weight": torch.full((2, 3), 10.0),
    "body.0.bias": torch.full((2,), -5.0),
    "head.weight": torch.full((4, 2), 1.0),
    "log_std": torch.full((4,), 7.0),
    "value.head.bias": torch.full((1,), 2.0),
}
FRESH: Params = {
    "body.0.weight": torch.full((2, 3), 1.0),
    "body.0.bias": torch.zeros(2),
    "head.weight": torch.full((5, 2), 3.0),  # another shape
    "log_std": torch.zeros(4),
    "value.head.bias": torch.zeros(1),
}


def start(**settings: Any) -> dict[str, float]:
    method = Fractional(FractionalConfig(**settings))
    found, frozen = method.transform(Knowledge(SOURCE), FRESH, Context(0, "cpu", None, None, 0))
    assert frozen == ()
    for role, tensor in found.items():
        assert tensor.shape == FRESH[role].shape
        assert (tensor == tensor.flatten()[0]).all()
    return {role: pytest.approx(float(tensor.flatten()[0])) for role, tensor in found.items()}


def test_a_fraction_is_added_where_role_and_shape_fit() -> None:
    assert start() == {"body.0.weight": 3.0, "body.0.bias": -1.0, "value.head.bias": 0.4}
    assert start(omega=1) == {"body.0.weight": 11.0, "body.0.bias": -5.0, "value.head.bias": 2.0}
    assert start(omega=0) == {"body.0.weight": 1.0, "body.0.bias": 0.0, "value.head.bias": 0.0}


def test_single_layers_may_have_another_fraction() -> None:
    changed = start(layers={"body.0": 0.5, "head": 1.0})
    assert changed == {"body.0.weight": 6.0, "body.0.bias": -2.5, "value.head.bias": 0.4}


def test_an_unknown_layer_is_an_error_that_names_the_known() -> None:
    with pytest.raises(TlbenchError, match=r"no layer 'tail'; it has: body.0, head, value.head"):
        start(layers={"tail": 1.0})
    with pytest.raises(TlbenchError, match="greater than or equal to 0"):
        MethodChoice("fractional-vpg", {"layers": {"head": -1}}).method()


def test_every_learner_has_it() -> None:
    assert {f"fractional-{name}" for name in learners()} <= set(methods())
