"""NumPy computations against SB3's own; frozen policies alone and stacked."""

import copy
import pickle

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy

from tlbench.baselines.learners.networks import FrozenMLP
from tlbench.baselines.learners.ppo import PPO
from tlbench.baselines.learners.vpg import VPG
from tlbench.protocol.errors import DivergedError
from tlbench.protocol.interface import Policy, StackablePolicy

OBS = np.random.default_rng(0).normal(size=(33, 5)) * 2
FIRST = np.ones(33, dtype=bool)


@pytest.fixture(params=[VPG, PPO], ids=["vpg", "ppo"])
def actor(request):
    """A learner whose policy is a distribution."""
    return request.param()


def randomised(learner, interface, seed=0, **config):
    """An agent with parameters large enough for actions to matter (SB3's initial head is nearly 0)."""
    agent = learner.build(interface, learner.Config(**config), seed, "cpu")
    generator = torch.Generator().manual_seed(seed)
    agent.load({r: p + 0.3 * torch.randn(p.shape, generator=generator) for r, p in agent.params().items()})
    return agent


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_deterministic_actions_are_sb3s(learner, interface, activation):
    agent = randomised(learner, interface, activation=activation)
    actions, state = agent.policy.act(OBS, None, FIRST)
    expected, _ = agent.model.policy.predict(OBS.astype(np.float32), deterministic=True)
    assert state is None
    np.testing.assert_allclose(actions, expected, atol=1e-5)
    assert all(interface.action_space.contains(a) for a in actions)


def test_lean_forward_is_sb3s(interface):
    policy = randomised(PPO(), interface).model.policy
    obs = torch.from_numpy(OBS.astype(np.float32))
    with torch.no_grad():
        for deterministic in (True, False):
            actions, values, log_prob = policy(obs, deterministic=deterministic)
            expected_values, expected_log_prob, _ = ActorCriticPolicy.evaluate_actions(policy, obs, actions)
            assert values.shape == (33, 1)
            assert log_prob.shape == (33,)
            torch.testing.assert_close(values, expected_values, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(log_prob, expected_log_prob, atol=1e-4, rtol=1e-4)
        expected, _, _ = ActorCriticPolicy.forward(policy, obs, deterministic=True)
        torch.testing.assert_close(policy(obs, deterministic=True)[0], expected, atol=1e-5, rtol=1e-5)


def test_unchecked_distributions_are_sb3s(actor, interface):
    policy = randomised(actor, interface).model.policy
    obs = torch.from_numpy(OBS.astype(np.float32))
    actions = policy.get_distribution(obs).sample()
    lean = policy.get_distribution(obs)
    log_prob, entropy = lean.log_prob(actions), lean.entropy()
    stock = ActorCriticPolicy._get_action_dist_from_latent(policy, policy.mlp_extractor.forward_actor(obs))
    assert torch.equal(log_prob, stock.log_prob(actions))
    assert torch.equal(entropy, stock.entropy())


def test_forward_with_gradients_is_sb3s(interface):
    policy = randomised(PPO(), interface).model.policy
    _, values, log_prob = policy(torch.from_numpy(OBS.astype(np.float32)))
    (values.sum() + log_prob.sum()).backward()
    assert all(p.grad is not None for p in policy.parameters())


def test_drawn_actions_follow_the_distribution(actor, interface):
    policy = randomised(actor, interface).model.policy
    policy.reseed(0)
    lanes = 20_000
    x = np.repeat(OBS[:1].astype(np.float32), lanes, axis=0)
    drawn = policy.sample(x)
    distribution = policy.get_distribution(torch.from_numpy(x[:1])).distribution
    if isinstance(interface.action_space, spaces.Discrete):
        shares = np.bincount(drawn, minlength=3) / lanes
        np.testing.assert_allclose(shares, distribution.probs.detach()[0], atol=5 * 0.5 / lanes**0.5)
    else:
        mean, std = (t.detach().numpy()[0] for t in (distribution.mean, distribution.stddev))
        np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=5 * std.max() / lanes**0.5)
        np.testing.assert_allclose(drawn.std(axis=0), std, rtol=0.05)


def test_views_follow_updates_moves_and_copies(actor, interface):
    policy = randomised(actor, interface).model.policy
    x = OBS.astype(np.float32)
    before = policy.outputs(x)
    with torch.no_grad():
        policy.action_net.bias += 1
    np.testing.assert_allclose(policy.outputs(x), before + 1, atol=1e-5)  # zero-copy
    twin = pickle.loads(pickle.dumps(copy.deepcopy(policy)))
    with torch.no_grad():
        twin.action_net.bias += 1
        policy.action_net.bias -= 1
    np.testing.assert_allclose(twin.outputs(x), before + 2, atol=1e-5)
    np.testing.assert_allclose(policy.outputs(x), before, atol=1e-5)
    policy.double()
    policy.float()
    np.testing.assert_allclose(policy.outputs(x), before, atol=1e-5)


def test_policies_fit_the_protocol(learner, interface):
    agent = learner.build(interface, learner.Config(), 0, "cpu")
    assert isinstance(agent.policy, Policy)
    frozen = agent.policy.frozen()
    assert isinstance(frozen, StackablePolicy)
    assert frozen.frozen() is frozen


def test_frozen_copies_do_not_change(learner, interface):
    agent = randomised(learner, interface)
    frozen = agent.policy.frozen()
    before = frozen.act(OBS, None, FIRST)[0]
    agent.load({r: torch.zeros_like(p) for r, p in agent.params().items()})
    assert np.array_equal(before, frozen.act(OBS, None, FIRST)[0])
    assert not np.array_equal(before, agent.policy.act(OBS, None, FIRST)[0])


@pytest.mark.parametrize("lanes", [1, 2, 3, 7, 10, 16, 33])
@pytest.mark.parametrize("copies", [1, 2, 5, 51])
def test_a_stack_equals_its_policies_bit_for_bit(learner, interface, lanes, copies):
    agents = [randomised(learner, interface, seed) for seed in range(2)]
    policies = []
    for i in range(copies):
        agent = agents[i % 2]
        params = agent.params()
        agent.load({"head.weight": params["head.weight"] * 1.01, "body.0.bias": params["body.0.bias"] + 0.01})
        policies.append(agent.policy.frozen())
    obs = np.random.default_rng(lanes).normal(size=(copies, lanes, 5))
    stack = FrozenMLP.stack(policies)
    together, _ = stack.act(obs, None, np.ones((copies, lanes), dtype=bool))
    assert together.dtype == interface.action_space.dtype
    for s, policy in enumerate(policies):
        alone, _ = policy.act(obs[s], None, FIRST[:lanes])
        assert np.array_equal(together[s], alone)
        assert together[s].tobytes() == alone.tobytes()


def test_only_equal_policies_are_stacked(interface):
    wide = VPG().build(interface, VPG.Config(hidden_sizes=(8, 8)), 0, "cpu").policy.frozen()
    deep = VPG().build(interface, VPG.Config(hidden_sizes=(8, 8, 8)), 0, "cpu").policy.frozen()
    relu = VPG().build(interface, VPG.Config(hidden_sizes=(8, 8), activation="relu"), 0, "cpu").policy.frozen()
    with pytest.raises(ValueError, match="nothing"):
        FrozenMLP.stack([])
    with pytest.raises(ValueError, match="shapes"):
        FrozenMLP.stack([wide, deep])
    with pytest.raises(ValueError, match="activations"):
        FrozenMLP.stack([wide, relu])


def test_nan_is_never_an_action_in_the_space(learner, interface):
    agent = randomised(learner, interface)
    agent.load({"head.bias": torch.full_like(agent.params()["head.bias"], torch.nan)})
    if isinstance(interface.action_space, spaces.Discrete):
        with pytest.raises(DivergedError):
            agent.policy.act(OBS, None, FIRST)
    else:
        assert np.isnan(agent.policy.act(OBS, None, FIRST)[0]).all()
