"""TD3, ERL and CERL: SB3's own computation, shared replay, who plays, migration, and what agents promise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import TD3 as StockTD3
from stable_baselines3.common.buffers import ReplayBuffer

from tlbench.baselines.learners.cerl import CERL
from tlbench.baselines.learners.erl import ERL
from tlbench.baselines.learners.neuroevolution.portfolio import Contender
from tlbench.baselines.learners.neuroevolution.td3 import SharedReplay
from tlbench.baselines.learners.neuroevolution.td3_numpy import NumpyTD3, Transitions
from tlbench.baselines.learners.td3 import TD3
from tlbench.protocol.errors import DivergedError
from tlbench.protocol.interface import Interface

SMALL = {"n_envs": 4, "learning_starts": 100, "batch_size": 32}
LEARNERS = pytest.mark.parametrize("learner", [TD3(), ERL(), CERL()], ids=lambda learner: learner.id)


def build(learner, task, seed=0, **changes):
    population = {} if learner.id == "td3" else {"population": 4, "rollouts": 1, "migrate_every": 1}
    return learner.build(task.interface, learner.Config(**{**SMALL, **population, **changes}), seed, "cpu")


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[r], b[r]) for r in a)


@LEARNERS
def test_same_seed_gives_the_same_bytes_whatever_the_global_generators(learner, environment, make_task):
    ended = []
    for disturbance in (1, 2):
        agent = build(learner, make_task(environment, 1))
        torch.manual_seed(disturbance)
        np.random.seed(disturbance)
        agent.train(make_task(environment, 1200))
        ended.append(agent)
    assert equal(ended[0].params(), ended[1].params())
    assert ended[0].gradient_steps == ended[1].gradient_steps > 0
    assert ended[0].diagnostics() == ended[1].diagnostics()


@LEARNERS
def test_gradient_steps_follow_the_environment_steps(learner, make_task):
    task = make_task("tlbench/Pendulum-v1", 1300)
    agent = build(learner, task, gradient_share=0.1)
    agent.train(task)
    assert 116 <= agent.gradient_steps <= 121  # a tenth of 1,200 steps; CERL's four learners step together
    if learner.id == "cerl":
        assert len({member.gradient_steps for member in agent._members}) == 1
        assert [member.model.gamma for member in agent._members] == [0.9, 0.99, 0.997, 0.9995]
    else:
        assert [member.model.gamma for member in agent._members] == [0.99]


@LEARNERS
def test_budget_ends_training_quietly(learner, environment, make_task):
    for budget in (402, 2, 0):
        task = make_task(environment, budget)
        agent = build(learner, task)
        agent.train(task)
        assert budget - 4 < task.spent <= budget
        assert task.published == [agent.policy]


@LEARNERS
def test_frozen_roles_are_untouched_bit_for_bit(learner, environment, make_task):
    task = make_task(environment, 1000)
    agent = build(learner, task)
    loaded = {r: torch.randn_like(p) * 0.1 for r, p in agent.params().items()}
    frozen = ["body.0.weight", "head.bias"]
    agent.load(loaded, frozen)
    agent.train(task)
    assert all(torch.equal(agent.params()[role], loaded[role]) for role in frozen)
    for member in agent._members:
        live = member.params()
        assert {r for r in live if torch.equal(live[r].detach(), loaded[r])} == set(frozen)


def test_a_frozen_role_that_was_not_loaded_is_the_same_for_all_learners(make_task):
    task = make_task("tlbench/CartPole-v1", 1000)
    agent = build(CERL(), task)
    fresh = agent.params()
    agent.load({"head.bias": torch.ones(2)}, ["body.0.weight"])
    bodies = {member.weights[agent.layout.role_slices()["body.1.weight"]].tobytes() for member in agent._members}
    assert len(bodies) == 4
    agent.train(task)
    assert torch.equal(agent.params()["body.0.weight"], fresh["body.0.weight"])
    assert all(torch.equal(member.params()["body.0.weight"], fresh["body.0.weight"]) for member in agent._members)


@LEARNERS
def test_everybody_starts_from_what_was_loaded(learner, make_task):
    task = make_task("tlbench/CartPole-v1", 1)
    agent = build(learner, task)
    loaded = {role: torch.full_like(tensor, 0.5) for role, tensor in agent.params().items()}
    agent.load(loaded)
    agent.train(task)
    assert equal(agent.params(), loaded)
    for member in agent._members:
        assert equal({r: p.detach() for r, p in member.params().items()}, loaded)
        assert (member.weights == 0.5).all()
    with pytest.raises(KeyError, match="tail"):
        agent.load({"tail.weight": torch.zeros(1)})


def test_a_start_that_is_no_number_is_divergence(make_task):
    task = make_task("tlbench/CartPole-v1", 100)
    agent = build(ERL(), task)
    agent.load({"head.bias": torch.tensor([0.0, torch.nan])})
    with pytest.raises(DivergedError, match=r"head\.bias"):
        agent.train(task)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_a_seated_actor_acts_as_sb3s_own(activation):
    space = spaces.Box(np.array([-2, 0], np.float32), np.array([1, 5], np.float32))
    interface = Interface(spaces.Box(-np.inf, np.inf, (5,)), space, 0.99)
    agent = TD3().build(interface, TD3.Config(activation=activation), 0, "cpu")
    generator = torch.Generator().manual_seed(0)
    agent.load({r: p + 0.5 * torch.randn(p.shape, generator=generator) for r, p in agent.params().items()})
    obs = np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)
    actions, _ = agent.policy.act(obs, None, np.ones(9, dtype=bool))
    scores, _ = agent._members[0].model.policy.predict(obs, deterministic=True)  # in [-1, 1]
    np.testing.assert_allclose(actions, space.low + (scores + 1) / 2 * (space.high - space.low), atol=1e-5)
    assert all(space.contains(action) for action in actions)


def test_discrete_actions_are_the_largest_score():
    interface = Interface(spaces.Box(-np.inf, np.inf, (5,)), spaces.Discrete(3), 0.99)
    agent = TD3().build(interface, TD3.Config(), 0, "cpu")
    obs = np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)
    actions, _ = agent.policy.act(obs, None, np.ones(9, dtype=bool))
    scores, _ = agent._members[0].model.policy.predict(obs, deterministic=True)
    assert np.array_equal(actions, scores.argmax(axis=1))


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("frozen", [(), ("body.0.weight", "body.0.bias"), ("body.1.weight",), ("head.bias",)])
def test_steps_are_stock_td3s(activation, frozen):
    """The same networks and transitions give the same actor, critics and targets after 40 steps, without noise."""
    interface = Interface(spaces.Box(-np.inf, np.inf, (3,)), spaces.Box(-1, 1, (2,)), 0.9)
    agent = TD3().build(interface, TD3.Config(n_envs=2, batch_size=16, activation=activation), 0, "cpu")
    agent.load({}, frozen)
    member, rng = agent._members[0], np.random.default_rng(0)
    ours = member.model
    ours.target_policy_noise = 0.0
    for _ in range(40):
        agent._replay.store(
            rng.normal(size=(2, 3)), rng.uniform(-1, 1, (2, 2)), rng.normal(size=2), rng.normal(size=(2, 3)),
            rng.random(2) < 0.1, [{"terminal_observation": np.zeros(3)}] * 2,
        )  # fmt: skip
    activations = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}
    stock = StockTD3(
        type(ours.policy), env=None, gamma=0.9, learning_rate=1e-3, batch_size=16, seed=3, _init_setup_model=False,
        policy_kwargs={"net_arch": [64, 64], "activation_fn": activations[activation]},
        target_policy_noise=0.0, device="cpu",
    )  # fmt: skip
    stock.observation_space, stock.action_space, stock.n_envs = ours.observation_space, ours.action_space, 1
    stock._setup_model()
    stock.set_logger(ours.logger)
    stock.policy.load_state_dict(ours.policy.state_dict())
    for online, copied in zip(ours.actor.parameters(), stock.actor.parameters(), strict=True):
        copied.requires_grad_(online.requires_grad)
    stock.replay_buffer = agent._replay
    before = {name: tensor.clone() for name, tensor in ours.policy.state_dict().items()}
    agent._replay._rng = np.random.default_rng(1)
    for _ in range(20):
        member.learn(2)
    agent._replay._rng = np.random.default_rng(1)
    stock.train(40, 16)
    assert member.gradient_steps == stock._n_updates == 40
    after = ours.policy.state_dict()
    for name, tensor in stock.policy.state_dict().items():
        torch.testing.assert_close(after[name], tensor, atol=2e-5, rtol=1e-3)
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert len(before) - len(moved) == 2 * len(frozen)  # in the actor and in its target
    for mine, theirs in zip(ours.actor.parameters(), stock.actor.parameters(), strict=True):
        if mine.requires_grad:
            assert ours.actor.optimizer.state[mine]["step"] == stock.actor.optimizer.state[theirs]["step"] == 20


def test_the_noise_on_targets_is_stock_td3s():
    """Without a reward, and with critics that return the action, targets spread as the clipped noise does."""
    interface = Interface(spaces.Box(-np.inf, np.inf, (1,)), spaces.Box(-1, 1, (1,)), 1.0)
    agent = TD3().build(interface, TD3.Config(n_envs=1, hidden_sizes=(2,)), 0, "cpu")
    member = agent._members[0]
    with torch.no_grad():
        for parameter in member.model.actor_target.parameters():
            parameter.zero_()
        for net in member.model.critic_target.q_networks:
            layers = [layer for layer in net if isinstance(layer, torch.nn.Linear)]
            layers[0].weight.copy_(torch.tensor([[0.0, 1.0], [0.0, -1.0]]))
            layers[1].weight.copy_(torch.tensor([[1.0, -1.0]]))
            for layer in layers:
                layer.bias.zero_()
    update = NumpyTD3(member.model, "tanh", np.random.default_rng(0))
    zeros = np.zeros((20_000, 1), np.float32)
    drawn = update._targets(Transitions(zeros, zeros, zeros[:, 0], zeros, zeros[:, 0]))[:, 0]
    assert abs(drawn).max() == pytest.approx(0.5)
    assert drawn.std() == pytest.approx(
        np.clip(np.random.default_rng(1).normal(0, 0.2, 10**6), -0.5, 0.5).std(), rel=0.03
    )
    assert abs(drawn.mean()) < 0.01


def test_the_replay_holds_what_sb3s_would():
    """Terminal observations, and ends by a time limit that are no ends."""
    ours = SharedReplay(20, 3, 2, 2, np.random.default_rng(0))
    stock = ReplayBuffer(20, ours.observation_space, ours.action_space, "cpu", 2)
    rng = np.random.default_rng(1)
    for step in range(6):
        obs, after = rng.normal(size=(2, 2, 3)).astype(np.float32)
        scores, rewards = rng.uniform(-1, 1, (2, 2)).astype(np.float32), rng.normal(size=2)
        dones, infos = np.array([step == 2, step == 4]), [{}, {}]
        last = after.copy()
        for lane in np.flatnonzero(dones):
            last[lane] = rng.normal(size=3)
            infos[lane] = {"terminal_observation": last[lane], "TimeLimit.truncated": bool(lane)}
        ours.store(obs, scores, rewards, after, dones, infos)
        stock.add(obs, last, scores, rewards, dones, infos)
    assert np.array_equal(ours.next_observations, stock.next_observations)
    batch = ours.sample(500)
    assert batch.observations.shape == (500, 3)
    ends = {tuple(row) for row in batch.next_observations[batch.dones[:, 0] == 1].numpy().tolist()}
    assert ends == {tuple(stock.next_observations[2, 0].tolist())}


def test_the_population_fills_the_replay_and_actors_migrate(make_task, monkeypatch):
    from tlbench.baselines.learners.neuroevolution.genetic import GeneticAlgorithm

    came = []
    original = GeneticAlgorithm.immigrate
    monkeypatch.setattr(
        GeneticAlgorithm, "immigrate", lambda self, network: (came.append(network.copy()), original(self, network))
    )
    task = make_task("tlbench/CartPole-v1", 4000)
    agent = build(ERL(), task)
    agent.train(task)
    assert agent._replay.size() * 4 == 4000
    assert len(came) == agent.generations > 1
    assert not np.array_equal(came[0], came[-1])  # the actor has learned in between


def test_an_immigrant_takes_the_place_of_the_worst():
    from tlbench.baselines.learners.neuroevolution.genetic import Direct, GeneticAlgorithm, Selection

    coding = Direct(np.zeros(3, np.float32), np.ones(3, np.float32))
    evolution = GeneticAlgorithm(coding, Selection(4, 2, 1, 0), np.random.default_rng(0))
    members = [evolution.ask() for _ in range(4)]
    for member, value in zip(members[:3], (5.0, -7.0, 1.0), strict=True):
        evolution.tell(member, value)
    evolution.immigrate(np.full(3, 9, np.float32))
    newcomer = evolution.ask()
    assert (newcomer.weights == 9).all()
    evolution.tell(members[3], 0.0)
    assert evolution.generation == 0  # the newcomer has yet to play
    assert members[1] not in evolution._members
    evolution.tell(newcomer, 100.0)
    assert evolution.generation == 1
    assert evolution.elite is newcomer


def test_the_bound_prefers_the_better_and_the_less_known(make_task):
    agent = build(CERL(), make_task("tlbench/CartPole-v1", 1))
    agent._contenders = [Contender(m, v, n) for m, v, n in zip(agent._members, (1.0, 3.0, 2.0, 0.0), (9, 9, 9, 0))]  # noqa: B905
    assert agent._next_player(None) is agent._contenders[3]  # has never played
    agent._contenders[3].episodes = 9
    assert agent._next_player(None) is agent._contenders[1]  # equally known: the best
    agent._contenders[1].episodes = 10_000
    assert agent._next_player(None) is agent._contenders[2]


@LEARNERS
def test_unbounded_actions_are_not_supported(learner):
    interface = Interface(spaces.Box(-1, 1, (3,)), spaces.Box(-np.inf, np.inf, (1,)), 0.99)
    assert "bounded" in learner.unsupported(interface)
    assert learner.unsupported(Interface(spaces.Box(-1, 1, (3,)), spaces.Discrete(2), 0.99)) is None


@LEARNERS
def test_settings_are_described(learner):
    assert all(f.description for f in learner.Config.model_fields.values())
    with pytest.raises(ValueError, match="population"):
        learner.Config(population=-1)
