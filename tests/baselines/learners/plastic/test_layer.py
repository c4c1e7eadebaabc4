"""Plastic connections against a reference that goes connection by connection, and gradients against differences."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from tlbench.baselines.learners.plastic.layer import FixedLayer, PlasticLayer
from tlbench.baselines.learners.plastic.traces import Rule, dense_traces, traces_from_dense

RULES: tuple[Rule, Rule] = ("hebb", "oja")
VARIANTS = list(itertools.product(RULES, (False, True)))


def make(neurons: int, rule: Rule, shared: bool, chunk: int = 4, eta: float = 0.2) -> PlasticLayer:
    torch.manual_seed(0)
    return PlasticLayer(neurons, neurons, shared=shared, rule=rule, scale=0.5, eta=eta, chunk=chunk).double()


def slow_reference(inputs: Any, w: Any, alpha: Any, eta: Any, rule: Rule) -> tuple[list[Any], list[list[Any]]]:
    """One lifetime, connection by connection: activities per step and the traces at the end."""
    neurons = len(w)
    before = [torch.zeros((), dtype=torch.float64)] * neurons
    trace = [[torch.zeros((), dtype=torch.float64)] * neurons for _ in range(neurons)]
    activities = []
    for x in inputs:
        after = []
        for j in range(neurons):
            drive = x[j]
            for i in range(neurons):
                coefficient = alpha if alpha.ndim == 0 else alpha[i, j]
                drive = drive + (w[i, j] + coefficient * trace[i][j]) * before[i]
            after.append(torch.tanh(drive))
        for i, j in itertools.product(range(neurons), repeat=2):
            if rule == "hebb":
                trace[i][j] = (1 - eta) * trace[i][j] + eta * before[i] * after[j]
            else:
                trace[i][j] = trace[i][j] + eta * after[j] * (before[i] - after[j] * trace[i][j])
        before = after
        activities.append(torch.stack(after))
    return activities, trace


def unroll(layer: Any, inputs: torch.Tensor) -> tuple[torch.Tensor, Any]:
    """Lifetimes ``[T, B, neurons]``: activities, and the traces at the end."""
    x, traces = torch.zeros_like(inputs[0]), layer.start(inputs.shape[1])
    activities = []
    for step in inputs:
        y = torch.tanh(step + layer.drive(x, traces))
        x, traces = y, layer.update(x, y, traces)
        activities.append(y)
    return torch.stack(activities), traces


@pytest.mark.parametrize(("rule", "shared"), VARIANTS)
@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_equals_the_reference_in_value_and_gradient(rule: Rule, shared: bool, chunk: int) -> None:
    layer = make(4, rule, shared, chunk)
    inputs = torch.randn(7, 3, 4, dtype=torch.float64)
    activities, traces = unroll(layer, inputs)
    slow = [slow_reference(inputs[:, b], *layer.parameters(), rule) for b in range(3)]
    expected = torch.stack([torch.stack(steps) for steps, _ in slow], dim=1)
    torch.testing.assert_close(activities, expected, rtol=1e-12, atol=1e-12)
    wanted = torch.stack([torch.stack([torch.stack(row) for row in trace]) for _, trace in slow])
    torch.testing.assert_close(dense_traces(traces), wanted, rtol=1e-12, atol=1e-12)
    weights = torch.randn_like(activities)
    fast = torch.autograd.grad((activities * weights).sum(), list(layer.parameters()))
    checked = torch.autograd.grad((expected * weights).sum(), list(layer.parameters()))
    for a, b in zip(fast, checked, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("rule", "shared"), VARIANTS)
def test_gradients_equal_finite_differences(rule: Rule, shared: bool) -> None:
    layer = make(3, rule, shared, chunk=2)
    inputs = torch.randn(5, 2, 3, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in layer.named_parameters()]

    def activities(inputs: torch.Tensor, *parameters: torch.Tensor) -> torch.Tensor:
        swapped = torch.func.functional_call
        given = dict(zip((f"layer.{name}" for name in names), parameters, strict=True))
        return swapped(_Unrolled(layer), given, (inputs,))

    assert torch.autograd.gradcheck(activities, (inputs, *layer.parameters()))


class _Unrolled(torch.nn.Module):
    def __init__(self, layer: PlasticLayer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return unroll(self.layer, inputs)[0]


@pytest.mark.parametrize(("rule", "shared"), VARIANTS)
def test_lifetimes_do_not_touch_each_other(rule: Rule, shared: bool) -> None:
    layer = make(4, rule, shared)
    inputs = torch.randn(9, 5, 4, dtype=torch.float64)
    together, _ = unroll(layer, inputs)
    alone, _ = unroll(layer, inputs[:, 2:3])
    torch.testing.assert_close(together[:, 2:3], alone)


def test_without_coefficients_it_is_a_fixed_layer() -> None:
    layer = make(4, "hebb", False)
    fixed = FixedLayer(4, 4).double()
    fixed.weight = layer.weight
    with torch.no_grad():
        layer.plasticity.zero_()
    inputs = torch.randn(6, 2, 4, dtype=torch.float64)
    torch.testing.assert_close(unroll(layer, inputs)[0], unroll(fixed, inputs)[0])


def test_traces_begin_at_zero_and_hebbs_rule_is_the_outer_product_by_hand() -> None:
    layer = make(2, "hebb", False, eta=0.25)
    traces = layer.start(1)
    assert not dense_traces(traces).any()
    one, two = torch.tensor([[1.0, 2.0]]).double(), torch.tensor([[3.0, -1.0]]).double()
    once = layer.update(one, two, traces)
    assert dense_traces(once).tolist() == [[[0.75, -0.25], [1.5, -0.5]]]
    twice = layer.update(two, one, once)
    expected = [[0.75 * 0.75 + 0.25 * 3, 0.75 * -0.25 + 0.25 * 6], [0.75 * 1.5 - 0.25, 0.75 * -0.5 - 0.5]]
    assert dense_traces(twice)[0].tolist() == expected


def test_ojas_traces_stay_bounded_where_activity_repeats() -> None:
    layer = make(2, "oja", False, eta=0.5)
    x, y, traces = torch.tensor([[1.0, -1.0]]).double(), torch.tensor([[1.0, 0.5]]).double(), layer.start(1)
    for _ in range(200):
        traces = layer.update(x, y, traces)
    torch.testing.assert_close(dense_traces(traces)[0], (x.T / y).detach())  # where y (x - y H) is 0


@pytest.mark.parametrize("shared", [False, True])
def test_dense_traces_can_be_handed_in(shared: bool) -> None:
    layer = make(4, "oja", shared, chunk=100)
    inputs = torch.randn(5, 2, 4, dtype=torch.float64)
    _, traces = unroll(layer, inputs)
    given = traces_from_dense(dense_traces(traces), layer.plasticity)
    x, y = torch.randn(2, 2, 4, dtype=torch.float64)
    torch.testing.assert_close(layer.drive(x, traces), layer.drive(x, given))
    after = [dense_traces(layer.update(x, y, t)) for t in (traces, given)]
    torch.testing.assert_close(*after)


def test_one_coefficient_is_a_scalar_and_the_rate_is_learned() -> None:
    layer = make(4, "hebb", True)
    assert layer.plasticity.shape == layer.rate.shape == ()
    activities, _ = unroll(layer, torch.randn(4, 2, 4, dtype=torch.float64))
    activities.square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in layer.parameters())
