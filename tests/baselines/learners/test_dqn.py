"""DQN: the NumPy update against SB3's own, collection against SB3's own, images, settings."""

import copy
import warnings

import numpy as np
import pytest
import stable_baselines3
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.dqn.policies import CnnPolicy

from tlbench.baselines.learners.agent import build_model
from tlbench.baselines.learners.dqn import DQN
from tlbench.baselines.learners.dqn_model import LeanDQN
from tlbench.baselines.learners.dqn_policy import (
    Convolutions,
    FrozenNetwork,
    LeanQPolicy,
    conv_features,
    linears,
    weighted_layers,
)
from tlbench.baselines.learners.dqn_settings import NATURE, SMALL_IMAGES, TINY_IMAGES, VECTORS, DQNConfig
from tlbench.protocol.errors import DivergedError
from tlbench.protocol.interface import Interface, StackablePolicy

CARTPOLE = "tlbench/CartPole-v1"


def pair(make_envs, activation=torch.nn.ReLU, **settings):
    """A lean and a stock model with equal parameters; both see the transitions that the lean one has collected."""
    shared = {"seed": 0, "device": "cpu", "learning_rate": 1e-3, "buffer_size": 4000, "batch_size": 32, **settings}
    shared["policy_kwargs"] = {"net_arch": [64, 64], "activation_fn": activation}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a target update interval below the number of lanes
        lean = LeanDQN(LeanQPolicy, make_envs(CARTPOLE, 4), **shared)
        stock = stable_baselines3.DQN("MlpPolicy", make_envs(CARTPOLE, 4), **shared)
    for a, b in zip(lean.policy.parameters(), stock.policy.parameters(), strict=True):
        assert torch.equal(a, b)
    _, callback = lean._setup_learn(100_000)
    stock._setup_learn(100_000)
    lean.train_freq = lean.train_freq._replace(frequency=400)
    lean.collect_rollouts(lean.env, callback, lean.train_freq, lean.replay_buffer, learning_starts=10_000)
    return lean, stock


def same_minibatches(lean, stock, steps, monkeypatch):
    """Make the stock model draw what the lean one will draw in its next ``steps`` steps."""
    buffer = lean.replay_buffer
    twin = copy.deepcopy(buffer)
    chosen = iter(twin.draw(steps, lean.batch_size))

    def sample(batch_size, env=None):
        obs, actions, rewards, next_obs, ended = twin.arrays(next(chosen))
        columns = (obs, actions[:, None], next_obs, ended[:, None], rewards[:, None])
        return stable_baselines3.common.buffers.ReplayBufferSamples(*(torch.from_numpy(c) for c in columns))

    monkeypatch.setattr(stock.replay_buffer, "sample", sample)


@pytest.mark.parametrize("activation", [torch.nn.ReLU, torch.nn.Tanh], ids=["relu", "tanh"])
@pytest.mark.parametrize("norm", [10.0, 0.01], ids=["unclipped", "clipped"])
def test_the_numpy_update_is_sb3s_train(make_envs, activation, norm, monkeypatch):
    lean, stock = pair(make_envs, activation, max_grad_norm=norm, target_update_interval=100)
    for _ in range(10):
        same_minibatches(lean, stock, 51, monkeypatch)
        lean.train(51, 32)
        stock.train(51, 32)
        for model in (lean, stock):
            model._n_calls = 24  # the next one updates the target network
            model._on_step()
    assert lean._update is not None  # it was the NumPy path
    assert lean._n_updates == stock._n_updates == 510
    for a, b in zip(lean.policy.parameters(), stock.policy.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
    start = DQN().build(Interface(lean.observation_space, lean.action_space, 0.99), DQNConfig(), 0, "cpu").params()
    assert (lean.q_net.q_net[0].weight - start["body.0.weight"]).abs().max() > 0.01  # something was learned
    for a, b in zip(lean.policy.optimizer.state.values(), stock.policy.optimizer.state.values(), strict=True):
        assert a["step"] == b["step"] == 510
        torch.testing.assert_close(a["exp_avg"], b["exp_avg"], atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("frozen", [(), (0, 1), (4, 5), (0, 3), (2,), (1, 2, 3, 4, 5)])
def test_one_gradient_is_autograds(make_envs, frozen):
    """Adam's first moment after one step is a tenth of the gradient."""
    lean, _ = pair(make_envs, torch.nn.Tanh)
    parameters = list(lean.q_net.parameters())
    for i in frozen:
        parameters[i].requires_grad_(False)
    with torch.no_grad():
        for p in lean.q_net_target.parameters():
            p += 0.1
    twin = copy.deepcopy(lean.q_net)
    obs, actions, rewards, next_obs, ended = (
        torch.from_numpy(c)
        for c in copy.deepcopy(lean.replay_buffer).arrays(copy.deepcopy(lean.replay_buffer).draw(32))
    )
    with torch.no_grad():
        wanted = rewards + (1 - ended) * lean.gamma * lean.q_net_target(next_obs).max(dim=1).values
    values = twin(obs)[torch.arange(32), actions]
    torch.nn.functional.smooth_l1_loss(values, wanted).backward()
    lean.train(1, 32)
    for i, (p, q) in enumerate(zip(parameters, twin.parameters(), strict=True)):
        if i in frozen:
            assert p not in lean.policy.optimizer.state
            assert torch.equal(p, q)
        else:
            torch.testing.assert_close(lean.policy.optimizer.state[p]["exp_avg"], 0.1 * q.grad, atol=1e-7, rtol=1e-4)


def test_torch_updates_equal_numpy_updates(make_envs, monkeypatch):
    lean, _ = pair(make_envs)
    other, _ = pair(make_envs)
    monkeypatch.setattr(other.policy, "in_numpy", lambda: False)
    for model in (lean, other):
        for _ in range(100):
            model.train(1, 32)
    assert other._update is None
    for a, b in zip(lean.policy.parameters(), other.policy.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_training_goes_on_alike_after_the_parameters_moved(make_envs):
    """Moments survive where the arrays have to be taken anew."""
    lean, _ = pair(make_envs)
    lean.train(20, 32)
    twin = copy.deepcopy(lean.policy.q_net), copy.deepcopy(lean.policy.optimizer.state_dict())
    rng = copy.deepcopy(lean.replay_buffer.rng)
    lean.train(20, 32)
    expected = [p.detach().clone() for p in lean.q_net.parameters()]
    with torch.no_grad():
        for p, q in zip(lean.q_net.parameters(), twin[0].parameters(), strict=True):
            p.data = q.detach().clone()
    lean.policy.optimizer.load_state_dict(twin[1])
    lean.replay_buffer.rng = rng
    lean.train(20, 32)
    assert all(torch.equal(a, b) for a, b in zip(lean.q_net.parameters(), expected, strict=True))


def test_dead_units_leave_no_denormals(make_envs):
    lean, _ = pair(make_envs)
    with torch.no_grad():
        lean.q_net.q_net[0].bias.copy_(torch.full((64,), -100.0))  # relu: no gradient reaches the first layer
    lean.train(1, 32)
    state = lean.policy.optimizer.state[lean.q_net.q_net[0].weight]
    state["exp_avg"].fill_(1e-35)
    lean.train(1, 32)
    assert (state["exp_avg"] == 0).all()


def test_collection_stores_what_sb3_stores(make_envs):
    """Terminal observations, time limits and order, over lanes that end at different times."""
    lean, stock = pair(make_envs)
    actions = lean.replay_buffer.actions[:400, :, 0]
    env: VecEnv = make_envs(CARTPOLE, 4)
    stock.set_env(env)
    stock._last_obs = env.reset()
    for row in actions:
        new_obs, rewards, dones, infos = env.step(row)
        stock._store_transition(stock.replay_buffer, row[:, None], new_obs, rewards, dones, infos)
    for name in ("observations", "next_observations", "actions", "rewards", "dones", "timeouts", "pos", "full"):
        assert np.array_equal(getattr(lean.replay_buffer, name), getattr(stock.replay_buffer, name)), name
    assert lean.replay_buffer.dones.any()


def test_exploration_falls_with_the_budget_and_is_per_lane(make_envs):
    lean, _ = pair(make_envs)
    obs = np.zeros((1000, 4), dtype=np.float32)
    best = lean.policy.greedy(obs)[0]
    for rate, share in ((0.0, 1.0), (1.0, 0.5), (0.5, 0.75)):
        lean.exploration_rate = rate
        assert np.mean(lean._explore(obs, False) == best) == pytest.approx(share, abs=0.08)
    assert np.mean(lean._explore(obs, True) == best) == pytest.approx(0.5, abs=0.08)
    schedule = DQN().build(
        Interface(lean.observation_space, lean.action_space, 0.99),
        DQNConfig(exploration_fraction=0.5, exploration_final=0.1), 0, "cpu",
    ).model.exploration_schedule  # fmt: skip
    assert [schedule(left) for left in (1.0, 0.75, 0.5, 0.2)] == pytest.approx([1.0, 0.55, 0.1, 0.1])


def test_clipped_rewards_are_what_is_learned_from(make_envs):
    envs = make_envs("tlbench/Pendulum-v1", 4, discrete=True)
    lean = LeanDQN(LeanQPolicy, envs, clip_rewards=True, seed=0, buffer_size=1000)
    lean.learn(400)
    assert lean.replay_buffer.rewards.min() == -1


def test_learns_cartpole(make_task, make_envs):
    task = make_task(CARTPOLE, 30_000)
    agent = DQN().build(task.interface, DQNConfig(), 1000, "cpu")
    agent.train(task)
    mean, _ = evaluate_policy(agent.model, make_envs(CARTPOLE, 8, 9), 8, warn=False)
    assert mean > 100  # random: about 22


def test_saving_and_going_on(tmp_path, make_envs):
    model = LeanDQN(LeanQPolicy, make_envs(CARTPOLE, 4), seed=0, learning_starts=50, buffer_size=2000)
    model.learn(800)
    model.save(tmp_path / "model")
    loaded = LeanDQN.load(tmp_path / "model", env=make_envs(CARTPOLE, 4))
    obs = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    assert np.array_equal(model.predict(obs, deterministic=True)[0], loaded.predict(obs, deterministic=True)[0])
    loaded.learn(400)


def test_settings_go_with_the_observations():
    image = spaces.Box(0, 255, (4, 84, 84), np.uint8)
    small = spaces.Box(0, 255, (2, 42, 42), np.uint8)
    vector = spaces.Box(-1, 1, (5,))
    assert DQNConfig().resolved(vector) == VECTORS
    assert DQNConfig().resolved(image) == NATURE
    assert DQNConfig().resolved(small) == SMALL_IMAGES
    assert DQNConfig().resolved(spaces.Box(0, 255, (3, 8, 8), np.uint8)) == TINY_IMAGES
    assert DQNConfig(batch_size=7).resolved(image) == NATURE.model_copy(update={"batch_size": 7})
    for settings in (VECTORS, NATURE, SMALL_IMAGES, TINY_IMAGES):
        assert None not in settings.model_dump().values()
    for settings in (NATURE, SMALL_IMAGES, TINY_IMAGES):
        assert settings.gradient_steps / (settings.n_envs * settings.train_freq) == 1 / 4  # Nature's
        assert settings.weighted_layers() == 5
    assert VECTORS.weighted_layers() == 3


def test_the_settings_that_were_used_are_reported():
    agent = DQN().build(images(9), DQNConfig(learning_rate=1e-3), 0, "cpu")
    wanted = TINY_IMAGES.model_copy(update={"learning_rate": 1e-3}).model_dump(mode="json")
    assert agent.diagnostics() == {"settings": wanted}


def images(side=36, channels=4, actions=3):
    return Interface(spaces.Box(0, 255, (channels, side, side), np.uint8), spaces.Discrete(actions), 0.99)


def test_natures_network_is_sb3s():
    interface = images(84)
    agent = DQN().build(interface, DQNConfig(buffer_size=8), 0, "cpu")
    stock = CnnPolicy(interface.observation_space, interface.action_space, lambda _: 1e-4)
    ours = [tuple(p.shape) for p in agent.params().values()]
    assert ours == [tuple(p.shape) for p in stock.q_net.parameters()]
    assert list(agent.params())[::2] == [
        "body.0.weight",
        "body.1.weight",
        "body.2.weight",
        "body.3.weight",
        "head.weight",
    ]
    agent.load(dict(zip(agent.params(), (p.detach() for p in stock.q_net.parameters()), strict=True)))
    obs = np.random.default_rng(0).integers(0, 256, (5, 4, 84, 84), dtype=np.uint8)
    with torch.no_grad():
        torch.testing.assert_close(agent.model.q_net(torch.from_numpy(obs)), stock.q_net(torch.from_numpy(obs)))


def test_conv_features_by_hand():
    assert conv_features((4, 84, 84), NATURE.conv_layers) == 7 * 7 * 64
    assert conv_features((1, 32, 32), SMALL_IMAGES.conv_layers) == 32
    assert conv_features((1, 10, 10), SMALL_IMAGES.conv_layers) == 0
    assert conv_features((1, 42, 42), SMALL_IMAGES.conv_layers) == 3 * 3 * 32
    assert conv_features((1, 7, 7), TINY_IMAGES.conv_layers) == 32
    assert "7 x 7" in DQN().unsupported(images(6))


@pytest.mark.parametrize("side", [7, 8, 31, 32, 42, 63, 64, 84])
def test_there_is_a_network_for_every_size(side):
    interface = images(side)
    assert DQN().unsupported(interface) is None
    agent = DQN().build(interface, DQNConfig(buffer_size=8), 0, "cpu")
    assert len(agent.params()) == 10
    obs = np.full((2, *interface.observation_space.shape), 200, np.uint8)
    actions, _ = agent.policy.act(obs, None, np.ones(2, dtype=bool))
    assert actions.shape == (2,)


def test_parameters_leave_in_plain_memory_order():
    agent = DQN().build(images(), DQNConfig(), 0, "cpu")
    assert all(tensor.is_contiguous() for tensor in agent.params().values())
    weight = weighted_layers(agent.model.q_net)[0].weight
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_image_updates_are_sb3s(monkeypatch):
    """Several minibatches in one call, against SB3's loop over the same ones."""
    config = DQNConfig(conv_layers=((8, 8, 4), (8, 3, 1)), hidden_sizes=(16,), max_grad_norm=0.5, buffer_size=400,
                       learning_rate=1e-4)  # fmt: skip
    interface = images(36)
    agent = DQN().build(interface, config, 0, "cpu")
    lean = agent.model
    convolutions = {
        "features_extractor_class": Convolutions,
        "features_extractor_kwargs": {"layers": config.conv_layers},
    }
    stock = build_model(
        stable_baselines3.DQN, interface, 1, policy="CnnPolicy", policy_kwargs={"net_arch": [16], **convolutions},
        max_grad_norm=0.5, buffer_size=400, device="cpu",
    )  # fmt: skip
    stock.policy.load_state_dict(lean.policy.state_dict())
    rng = np.random.default_rng(0)
    obs = rng.integers(0, 256, (8, 4, 36, 36), dtype=np.uint8)
    for _ in range(20):
        after = np.concatenate([obs[:, 1:], rng.integers(0, 256, (8, 1, 36, 36), dtype=np.uint8)], axis=1)
        ended = rng.random(8) < 0.2
        lean.replay_buffer.add(obs, after, rng.integers(3, size=8), rng.normal(size=8), ended, [{}] * 8)
        obs = after
    twin = copy.deepcopy(lean.replay_buffer).sample(3 * 32)
    batches = zip(*(column.split(32) for column in twin[:5]), strict=True)
    monkeypatch.setattr(stock.replay_buffer, "sample", lambda *_, **__: type(twin)(*next(batches)))
    for model in (lean, stock):
        model.set_logger(Logger(None, []))
        model.train(3, 32)
    assert lean._n_updates == stock._n_updates == 3
    for a, b in zip(lean.policy.parameters(), stock.policy.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_idle_lanes_keep_their_action_and_busy_ones_are_looked_at():
    agent = DQN().build(images(), DQNConfig(), 0, "cpu")
    frozen, first = agent.policy.frozen(), np.ones(6, dtype=bool)
    rng = np.random.default_rng(0)
    obs = rng.integers(0, 256, (6, 4, 36, 36), dtype=np.uint8)
    before, state = frozen.act(obs, None, first)
    busy = obs.copy()
    busy[[1, 4]] = rng.integers(0, 256, (2, 4, 36, 36), dtype=np.uint8)
    alone, _ = frozen.act(busy, None, first)
    rows = []
    original = frozen._network.forward
    frozen._network.forward = lambda x: rows.append(len(x)) or original(x)
    actions, state = frozen.act(busy, state, ~first)
    again, _ = frozen.act(busy, state, ~first)
    assert rows == [2]
    assert np.array_equal(actions, alone)
    assert np.array_equal(again, alone)
    agent.load({"head.bias": torch.tensor([0.0, 50.0, 0.0])})
    learned, _ = agent.policy.act(busy, state, ~first)  # another copy: nothing is kept
    assert (learned == 1).all()
    assert not np.array_equal(before, learned)


def test_image_policies_freeze_act_alike_and_notice_nan():
    agent = DQN().build(images(), DQNConfig(), 0, "cpu")
    obs = np.random.default_rng(0).integers(0, 256, (6, 4, 36, 36), dtype=np.uint8)
    first = np.ones(6, dtype=bool)
    frozen = agent.policy.frozen()
    assert isinstance(frozen, FrozenNetwork)
    assert not isinstance(frozen, StackablePolicy)
    actions, _ = frozen.act(obs, None, first)
    assert np.array_equal(actions, agent.model.predict(obs, deterministic=True)[0])
    agent.load({"head.bias": torch.tensor([0.0, 50.0, 0.0])})
    assert (agent.policy.act(obs, None, first)[0] == 1).all()
    assert np.array_equal(actions, frozen.act(obs, None, first)[0])
    agent.load({"head.bias": torch.full((3,), torch.nan)})
    with pytest.raises(DivergedError):
        agent.policy.act(obs, None, first)


def test_targets_follow_what_is_loaded(make_task):
    task = make_task(CARTPOLE, 10)
    agent = DQN().build(task.interface, DQNConfig(), 0, "cpu")
    agent.load({"head.bias": torch.tensor([3.0, 4.0])})
    assert torch.equal(linears(agent.model.q_net_target)[-1].bias.detach(), torch.tensor([3.0, 4.0]))


def test_replay_starts_empty_with_every_task(make_task):
    config = DQNConfig(n_envs=4, learning_starts=10)
    agent = DQN().build(make_task(CARTPOLE, 1).interface, config, 0, "cpu")
    agent.train(make_task(CARTPOLE, 400))
    agent.train(make_task(CARTPOLE, 40))
    assert agent.model.replay_buffer.pos == 10
    assert isinstance(agent.model.replay_buffer, ReplayBuffer)
