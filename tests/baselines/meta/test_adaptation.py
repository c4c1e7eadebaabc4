"""The meta-gradient against finite differences, and tasks together against each alone."""

from __future__ import annotations

import pytest
import torch
from torch.func import grad

from tlbench.baselines.meta.adaptation import InnerLoop, MetaObjective
from tlbench.baselines.meta.episodes import stacked

STEPS = pytest.mark.parametrize("inner_steps", [1, 2])


def differences(function, theta: torch.Tensor, width: float = 1e-5) -> torch.Tensor:
    """Central differences of a function ``[D] -> [...]``, ``[..., D]``."""
    units = torch.eye(len(theta), dtype=theta.dtype) * width
    return torch.stack([(function(theta + u) - function(theta - u)) / (2 * width) for u in units], dim=-1)


def tasks_of(batch, inner_steps: int):
    """Two tasks of unequal lengths: per inner step a batch of both, and the batch after it."""
    rows = [[batch(9 + 3 * task + k, 10 * task + k) for task in range(2)] for k in range(inner_steps + 1)]
    *practice, tested = [stacked(row) for row in rows]
    return rows, practice, tested


def test_the_inner_step_is_the_policy_gradient(policy, theta, batch):
    data, loop = batch(7, 0), InnerLoop(policy, 0.4)

    def objective(at):
        return (policy.log_prob(policy.outputs(at, data.obs), data.actions) * data.advantages).mean()

    torch.testing.assert_close(loop.step(theta, data), theta + 0.4 * differences(objective, theta), atol=1e-8, rtol=0)


@STEPS
def test_the_meta_gradient_is_that_of_finite_differences(policy, theta, batch, inner_steps):
    _, practice, tested = tasks_of(batch, inner_steps)
    objective = MetaObjective(InnerLoop(policy, 0.1), practice, tested, theta)

    def surrogate(at):
        return objective.surrogate(objective.outputs(at))

    elsewhere = theta + 0.05  # where the likelihood ratios aren't 1
    for at in (theta, elsewhere):
        torch.testing.assert_close(grad(surrogate)(at), differences(surrogate, at), atol=1e-7, rtol=1e-5)


@STEPS
def test_tasks_together_are_each_task_alone(policy, theta, batch, inner_steps):
    rows, practice, tested = tasks_of(batch, inner_steps)
    loop = InnerLoop(policy, 0.5)
    objective = MetaObjective(loop, practice, tested, theta)
    moved = theta + 0.05
    together = objective.outputs(moved)
    surrogates, divergences = [], []
    for task in range(2):
        batches = [row[task] for row in rows]
        adapted = loop.adapt(moved, batches[:-1])
        alone = policy.outputs(adapted, batches[-1].obs)
        torch.testing.assert_close(together[task, : len(alone)], alone)
        old = policy.outputs(loop.adapt(theta, batches[:-1]), batches[-1].obs)
        actions = batches[-1].actions
        ratio = (policy.log_prob(alone, actions) - policy.log_prob(old, actions)).exp()
        surrogates.append((ratio * batches[-1].advantages).mean())
        divergences.append(policy.kl(old, alone).mean())
    torch.testing.assert_close(objective.surrogate(together), sum(surrogates) / 2)
    torch.testing.assert_close(objective.divergence(together), sum(divergences) / 2)


def test_first_order_is_the_gradient_at_the_adapted_parameters(policy, theta, batch):
    """The mean over tasks of the surrogate's gradient where adaptation ended, and not the true meta-gradient."""
    rows, practice, tested = tasks_of(batch, 1)
    slopes = {}
    for first_order in (False, True):
        loop = InnerLoop(policy, 0.5, first_order)
        objective = MetaObjective(loop, practice, tested, theta)
        slopes[first_order] = grad(lambda at, o=objective: o.surrogate(o.outputs(at)))(theta)
    ends = []
    for task in range(2):
        before, after = rows[0][task], rows[1][task]
        adapted = InnerLoop(policy, 0.5).step(theta, before)
        old = policy.log_prob(policy.outputs(adapted, after.obs), after.actions)

        def surrogate(at, after=after, old=old):
            ratio = (policy.log_prob(policy.outputs(at, after.obs), after.actions) - old).exp()
            return (ratio * after.advantages).mean()

        ends.append(grad(surrogate)(adapted))
    torch.testing.assert_close(slopes[True], sum(ends) / 2)
    assert (slopes[True] - slopes[False]).norm() > 0.01 * slopes[False].norm()


def test_first_order_adapts_alike(policy, theta, batch):
    data = [batch(7, 0), batch(7, 1)]
    assert torch.equal(InnerLoop(policy, 0.5, True).adapt(theta, data), InnerLoop(policy, 0.5).adapt(theta, data))
