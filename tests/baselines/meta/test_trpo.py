"""The trust region step: curvature, the linear solver, the bound."""

from __future__ import annotations

import pytest
import torch
from torch.func import grad, jacrev

from tlbench.baselines.meta.adaptation import InnerLoop, MetaObjective
from tlbench.baselines.meta.episodes import stacked
from tlbench.baselines.meta.trpo import conjugate_gradient, curvature, trust_region_step


@pytest.fixture(params=[False, True], ids=["second-order", "first-order"])
def objective(request, policy, theta, batch):
    practice = [stacked([batch(12, 0), batch(9, 1)])]
    return MetaObjective(InnerLoop(policy, 0.5, request.param), practice, stacked([batch(30, 2), batch(20, 3)]), theta)


def test_products_are_differences_of_the_divergences_gradient(policy, theta, batch):
    practice = [stacked([batch(12, k), batch(9, k + 5)]) for k in range(2)]
    tested = stacked([batch(30, 2), batch(20, 3)])
    objective = MetaObjective(InnerLoop(policy, 0.1), practice, tested, theta)
    slope = grad(lambda at: objective.divergence(objective.outputs(at)))
    assert slope(theta).norm() < 1e-12
    product = curvature(objective, theta)
    for seed in range(3):
        vector = torch.randn(len(theta), dtype=theta.dtype, generator=torch.Generator().manual_seed(seed))
        expected = (slope(theta + 1e-5 * vector) - slope(theta - 1e-5 * vector)) / 2e-5
        torch.testing.assert_close(product(vector), expected, atol=1e-7, rtol=1e-5)


def test_without_the_inner_derivative_curvature_is_that_of_the_adapted_policies(policy, theta, batch):
    """One task: the Fisher information where adaptation ended."""
    before, after = batch(12, 0), batch(30, 1)
    loop = InnerLoop(policy, 0.5, first_order=True)
    product = curvature(MetaObjective(loop, [stacked([before])], stacked([after]), theta), theta)
    end = loop.step(theta, before)
    old = policy.outputs(end, after.obs)
    hessian = jacrev(grad(lambda at: policy.kl(old, policy.outputs(at, after.obs)).mean()))(end)
    vector = torch.randn(len(theta), dtype=theta.dtype, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(product(vector), hessian @ vector)


def test_conjugate_gradient_solves():
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(12, 12, dtype=torch.float64, generator=generator)
    A, b = root @ root.T + torch.eye(12), torch.randn(12, dtype=torch.float64, generator=generator)
    solution = conjugate_gradient(lambda v: A @ v, b, 50, 1e-10)
    torch.testing.assert_close(solution, torch.linalg.solve(A, b))
    assert (A @ conjugate_gradient(lambda v: A @ v, b, 3) - b).norm() < b.norm()
    assert torch.equal(conjugate_gradient(lambda v: A @ v, torch.zeros_like(b), 5), torch.zeros_like(b))


@pytest.mark.parametrize("limit", [1e-3, 1e-2, 0.1])
def test_a_step_raises_the_surrogate_within_the_bound(objective, theta, limit):
    step = trust_region_step(objective, theta, limit, 10, 1e-4, 15)
    assert step.accepted
    outputs = objective.outputs(step.theta)
    before = objective.surrogate(objective.outputs(theta))
    assert float(objective.divergence(outputs)) == pytest.approx(step.divergence)
    assert step.divergence <= limit
    assert step.divergence > 0.1 * limit, "it goes about as far as it may"
    assert step.gain > 0
    assert float(objective.surrogate(outputs) - before) == pytest.approx(step.gain)


class Bowl:
    """A quadratic divergence around 0 and a linear surrogate, so that the best step is known."""

    def __init__(self, spread: torch.Tensor, slope: torch.Tensor) -> None:
        self.spread, self.slope = spread, slope

    def outputs(self, theta):
        return theta * 1.0

    def surrogate(self, outputs):
        return self.slope @ outputs

    def divergence(self, outputs):
        return 0.5 * (self.spread * outputs * outputs).sum()


def test_the_step_is_the_natural_gradients():
    spread = torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64)
    slope = torch.tensor([1.0, 1.0, -2.0], dtype=torch.float64)
    step = trust_region_step(Bowl(spread, slope), torch.zeros(3, dtype=torch.float64), 0.01, 10, 0.0, 5)
    natural = slope / spread
    farthest = natural * torch.sqrt(0.02 / (natural @ slope))
    torch.testing.assert_close(step.theta / step.theta.norm(), farthest / farthest.norm())
    assert 0.8 - 1e-6 <= step.theta.norm() / farthest.norm() <= 1 + 1e-6  # rounding may put the first length beyond


def test_no_step_where_none_is_good():
    class Falling(Bowl):
        def surrogate(self, outputs):
            return (self.slope @ outputs).sin() - 1e6 * (outputs != 0).sum()

    theta = torch.zeros(3, dtype=torch.float64)
    step = trust_region_step(Falling(torch.ones(3).double(), torch.ones(3).double()), theta, 0.01, 5, 0.0, 5)
    assert not step.accepted
    assert torch.equal(step.theta, theta)


def test_nothing_to_gain_is_no_step():
    theta = torch.zeros(3, dtype=torch.float64)
    step = trust_region_step(Bowl(torch.ones(3).double(), torch.zeros(3).double()), theta, 0.01, 5, 0.0, 5)
    assert not step.accepted
    assert torch.equal(step.theta, theta)
