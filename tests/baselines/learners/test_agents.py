"""What agents on SB3 models promise: determinism, roles, loading, freezing, the budget's end, divergence."""

import itertools

import numpy as np
import pytest
import torch
from gymnasium import spaces

from tlbench.protocol.errors import DivergedError
from tlbench.protocol.interface import Interface

BODY = ["body.0.weight", "body.0.bias", "body.1.weight", "body.1.bias", "head.weight", "head.bias"]


def train(learner, task, config, seed=0, before=None):
    agent = learner.build(task.interface, config, seed, "cpu")
    if before is not None:
        before(agent)
    agent.train(task)
    return agent


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[r], b[r]) for r in a)


def test_roles_are_ordered_by_depth(learner, interface):
    agent = learner.build(interface, learner.Config(), 0, "cpu")
    expected = list(BODY)
    if isinstance(interface.action_space, spaces.Box):
        expected.append("log_std")
    if learner.id in ("ppo", "trpo"):
        expected += [f"value.{role}" for role in BODY]
    params = agent.params()
    assert list(params) == expected
    assert params["body.0.weight"].shape == (64, 5)
    assert params["body.1.weight"].shape == (64, 64)
    network = getattr(agent.model.policy, "q_net", agent.model.policy)  # a target network has no roles
    assert sum(p.numel() for p in params.values()) == sum(p.numel() for p in network.parameters())


def test_same_seed_gives_the_same_bytes_whatever_the_global_generators(learner, environment, make_task, small_config):
    config = small_config(learner)
    runs = []
    for disturbance in (1, 2):

        def disturb(agent, disturbance=disturbance):
            torch.manual_seed(disturbance)
            np.random.seed(disturbance)

        runs.append(train(learner, make_task(environment, 1600), config, before=disturb))
    assert runs[0].gradient_steps == runs[1].gradient_steps > 0
    assert equal(runs[0].params(), runs[1].params())
    other = train(learner, make_task(environment, 1600), config, seed=1)
    assert not equal(runs[0].params(), other.params())


def test_training_changes_every_parameter_and_the_seed_chooses_the_start(learner, environment, make_task, small_config):
    task = make_task(environment, 1600)
    agent = learner.build(task.interface, small_config(learner), 3, "cpu")
    start = agent.params()
    assert equal(start, learner.build(task.interface, small_config(learner), 3, "cpu").params())
    agent.train(task)
    final = agent.params()
    assert all(not torch.equal(start[r], final[r]) for r in start)


def test_budget_ends_training_quietly(learner, environment, make_task, small_config):
    for budget in (1602, 2, 0):  # not a multiple of the lanes; less than one step of all lanes; nothing
        task = make_task(environment, budget)
        agent = train(learner, task, small_config(learner))
        assert budget - 4 < task.spent <= budget
        assert task.published == [agent.policy]


def test_training_may_go_on_with_another_task(learner, environment, make_task, small_config):
    agent = train(learner, make_task(environment, 1000), small_config(learner))
    steps = agent.gradient_steps
    agent.train(make_task(environment, 1000, seed=50))
    assert agent.gradient_steps > steps


def test_gradient_steps_are_the_optimiser_steps(learner, make_task, small_config):
    agent = train(learner, make_task("tlbench/Pendulum-v1", 2000), small_config(learner))
    states = agent.model.policy.optimizer.state.values()
    policy_steps = 15 if learner.id == "trpo" else 0  # natural gradients: the optimiser has no part in them
    assert {int(state["step"]) for state in states} == {agent.gradient_steps - policy_steps}
    # 2 x 4 episodes of 200; 15 rollouts, 2 epochs, 2 minibatches; 125 rollouts, 4 of them to warm up, 2 steps
    expected = {"vpg": 2, "ppo": 15 * 2 * 2, "trpo": 15 * (1 + 2 * 2), "dqn": 121 * 2}[learner.id]
    assert agent.gradient_steps == expected


@pytest.mark.parametrize("frozen", [["body.0.weight", "body.0.bias"], ["head.weight", "body.1.bias"], BODY])
def test_frozen_roles_are_untouched_bit_for_bit(learner, environment, make_task, small_config, frozen):
    task = make_task(environment, 1600)
    agent = learner.build(task.interface, small_config(learner), 0, "cpu")
    loaded = {r: torch.randn_like(p) * 0.1 for r, p in agent.params().items()}
    agent.load(loaded, frozen)
    agent.train(task)
    final = agent.params()
    assert {r for r in final if torch.equal(final[r], loaded[r])} == set(frozen)
    live = agent._roles
    assert all(live[r] not in agent.model.policy.optimizer.state for r in frozen)
    assert all(live[r].grad is None for r in frozen)


def test_all_frozen_takes_no_step(learner, environment, make_task, small_config):
    task = make_task(environment, 800)
    agent = learner.build(task.interface, small_config(learner), 0, "cpu")
    start = agent.params()
    agent.load({}, list(start))
    agent.train(task)
    assert equal(start, agent.params())
    assert agent.gradient_steps == 0
    assert task.spent == 800


def test_load_after_training_forgets_moments_and_unfreezes(learner, environment, make_task, small_config):
    config = small_config(learner)
    fresh = learner.build(make_task(environment, 1).interface, config, 0, "cpu")
    start = fresh.params()
    agent = learner.build(make_task(environment, 1).interface, config, 0, "cpu")
    agent.load({}, ["body.0.weight"])
    agent.train(make_task(environment, 1000))
    agent.load(start)
    assert not agent.model.policy.optimizer.state
    agent.train(make_task(environment, 1000))
    assert not torch.equal(agent.params()["body.0.weight"], start["body.0.weight"])


def test_params_are_copies_and_load_restores_them(learner, interface):
    agent = learner.build(interface, learner.Config(), 0, "cpu")
    params = agent.params()
    other = learner.build(interface, learner.Config(), 1, "cpu")
    assert not equal(params, other.params())
    other.load(params)
    assert equal(params, other.params())
    params["head.weight"].zero_()
    assert not equal(params, other.params())
    obs = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    first = np.ones(7, dtype=bool)
    assert np.array_equal(agent.policy.act(obs, None, first)[0], other.policy.act(obs, None, first)[0])


def test_load_refuses_unknown_roles_and_wrong_shapes_and_changes_nothing(learner, interface):
    agent = learner.build(interface, learner.Config(), 0, "cpu")
    start = agent.params()
    good = torch.zeros_like(start["head.bias"])
    with pytest.raises(KeyError, match="tail"):
        agent.load({"head.bias": good, "tail.weight": torch.zeros(1)})
    with pytest.raises(KeyError, match="tail"):
        agent.load({"head.bias": good}, frozen=["tail.weight"])
    with pytest.raises(ValueError, match=r"head\.weight"):
        agent.load({"head.bias": good, "head.weight": torch.zeros(1, 64)})
    assert equal(start, agent.params())


def test_divergence_is_raised(learner, environment, make_task, small_config):
    task = make_task(environment, 4000)
    with pytest.raises(DivergedError, match="not finite"):
        train(
            learner,
            task,
            small_config(learner, learning_rate=1e30, max_grad_norm=1e30)
            if learner.id == "ppo"
            else small_config(learner, learning_rate=1e38),
        )
    assert task.spent < 4000


def test_nan_parameters_are_noticed_before_the_first_step(learner, make_task, small_config):
    task = make_task("tlbench/CartPole-v1", 400)
    agent = learner.build(task.interface, small_config(learner), 0, "cpu")
    agent.load({"head.bias": torch.tensor([0.0, torch.nan])})
    with pytest.raises(DivergedError, match=r"head\.bias"):
        agent.train(task)
    assert task.spent == 0


@pytest.mark.parametrize(
    ("observations", "actions", "why"),
    [
        (spaces.Discrete(3), spaces.Discrete(2), "observations"),
        (spaces.Box(0, 255, (8, 8, 3), np.uint8), spaces.Discrete(2), "observations"),
        (spaces.Box(-1, 1, (3,)), spaces.MultiDiscrete([2, 2]), "actions"),
        (spaces.Box(-1, 1, (3,)), spaces.Box(-1, 1, (2, 2)), "actions"),
        (spaces.Box(-1, 1, (3,)), spaces.Discrete(2, start=1), "count from 0"),
    ],
)
def test_unsupported_says_why_in_one_line(learner, observations, actions, why):
    text = learner.unsupported(Interface(observations, actions, 0.99))
    assert why in text
    assert "\n" not in text


def test_supported(learner, interface):
    assert learner.unsupported(interface) is None


def test_configurations_are_typed_described_and_closed(learner):
    assert all(f.description for f in learner.Config.model_fields.values())
    for wrong in ({"n_envs": 0}, {"learning_rate": -1.0}, {"unknown": 1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            learner.Config(**wrong)


@pytest.mark.parametrize(("sizes", "activation"), itertools.product([(), (8,), (16, 8, 4)], ["tanh", "relu"]))
def test_other_networks_train_too(learner, make_task, small_config, sizes, activation):
    agent = train(
        learner,
        make_task("tlbench/CartPole-v1", 600),
        small_config(learner, hidden_sizes=sizes, activation=activation),
    )
    assert len([r for r in agent.params() if r.startswith("body.")]) == 2 * len(sizes)
    assert agent.gradient_steps > 0
