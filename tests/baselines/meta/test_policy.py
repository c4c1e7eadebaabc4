"""Functional policies: their distributions, what they draw, what is frozen of them."""

from __future__ import annotations

import math

import numpy as np
import torch
from gymnasium import spaces
from torch.distributions import Categorical, Independent, Normal, kl_divergence

from tlbench.baselines.meta.policy import FunctionalPolicy
from tlbench.protocol.interface import Interface


def distribution(policy: FunctionalPolicy, outputs: torch.Tensor) -> torch.distributions.Distribution:
    if policy.discrete:
        return Categorical(logits=outputs)
    mean, log_std = outputs.chunk(2, dim=-1)
    return Independent(Normal(mean, log_std.exp()), 1)


def test_distributions_are_torchs(policy, theta, batch):
    data = batch(6, 0)
    one, two = policy.outputs(theta, data.obs), policy.outputs(theta + 0.2, data.obs)
    torch.testing.assert_close(policy.log_prob(one, data.actions), distribution(policy, one).log_prob(data.actions))
    expected = kl_divergence(distribution(policy, one), distribution(policy, two))
    torch.testing.assert_close(policy.kl(one, two), expected)
    assert (policy.kl(one, two) > 0).all()


def test_parameters_pack_and_unpack(policy):
    theta = policy.initial(3)
    params = policy.unpack(theta)
    heads = 3 if policy.discrete else 2
    assert params["body.0.weight"].shape == (4, 3)
    assert params["head.weight"].shape == (heads, 4)
    assert ("log_std" in params) != policy.discrete
    assert torch.equal(policy.pack(params), theta)
    assert torch.equal(theta, policy.initial(3))
    assert not torch.equal(theta, policy.initial(4))
    if not policy.discrete:
        torch.testing.assert_close(params["log_std"], torch.full((2,), -0.3))


def test_what_is_drawn_has_the_distribution(policy):
    theta, rng = policy.initial(3), np.random.default_rng(0)
    row = np.array([[0.5, -1.0, 0.3]], np.float32)
    drawn = policy.sampler(theta).draw(np.repeat(row, 20_000, axis=0), rng)
    outputs = policy.outputs(theta, torch.from_numpy(row))[0]
    if policy.discrete:
        shares = np.bincount(drawn, minlength=3) / len(drawn)
        np.testing.assert_allclose(shares, outputs.softmax(-1).numpy(), atol=0.02)
    else:
        np.testing.assert_allclose(drawn.mean(axis=0), outputs[:2].numpy(), atol=0.03)
        np.testing.assert_allclose(drawn.std(axis=0), math.exp(-0.3), atol=0.03)


def test_frozen_copies_act_with_the_most_likely_action(policy, batch):
    theta, obs = policy.initial(5), batch(20, 1).obs.float()
    frozen = policy.freeze(theta)
    expected = policy.outputs(theta, obs).numpy()
    theta += 1.0  # a copy: it doesn't follow
    actions, _ = frozen.act(obs.numpy(), None, np.ones(20, np.bool_))
    if policy.discrete:
        np.testing.assert_array_equal(actions, expected.argmax(axis=1))
    else:
        np.testing.assert_allclose(actions, policy.to_environment(expected[:, :2]), atol=1e-6)


def test_actions_are_scaled_to_their_bounds_and_clipped():
    interface = Interface(
        spaces.Box(-1, 1, (2,)),
        spaces.Box(np.array([0, -0.1, -np.inf], np.float32), np.array([4, 0.1, np.inf], np.float32)),
        0.9,
    )
    policy = FunctionalPolicy(interface, (4,), "relu", 0.0)
    drawn = np.array([[0.0, 0.0, 7.0], [1.0, -1.0, -7.0], [3.0, -3.0, 0.5]], np.float32)
    expected = [[2.0, 0.0, 7.0], [4.0, -0.1, -7.0], [4.0, -0.1, 0.5]]
    actions = policy.to_environment(drawn)
    np.testing.assert_allclose(actions, expected)
    assert all(interface.action_space.contains(action) for action in actions)
