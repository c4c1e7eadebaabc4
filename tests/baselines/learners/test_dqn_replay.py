"""Replay of stacked frames: what is sampled is what was added, whatever ended, wrapped around or was overwritten."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv

from tlbench.baselines.learners.dqn import DQN, DQNConfig
from tlbench.baselines.learners.dqn_replay import FrameReplayBuffer, SeededReplayBuffer
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.interface import Interface

LANES, SIDE = 3, 26


class Screens:
    """Lanes of image stacks: every frame is unique, episodes end by chance, first stacks are padded with zeros."""

    def __init__(self, stack, end=0.02, seed=0, channels=1):
        self.rng = np.random.default_rng(seed)
        self.stack, self.end, self.channels = stack, end, channels
        self.obs = np.stack([self.first() for _ in range(LANES)])

    def frame(self):
        return self.rng.integers(1, 256, (self.channels, 2, 2), dtype=np.uint8)

    def first(self):
        padding = [np.zeros((self.channels, 2, 2), np.uint8)] * (self.stack - 1)
        return np.concatenate([*padding, self.frame()])

    def step(self):
        """(obs, next_obs, actions, rewards, dones, infos) as an agent stores them; terminal observations in place."""
        before = self.obs
        after = np.stack([np.concatenate([obs[self.channels :], self.frame()]) for obs in before])
        dones = self.rng.random(LANES) < self.end
        infos = [{"TimeLimit.truncated": bool(self.rng.random() < 0.5)} if done else {} for done in dones]
        self.obs = np.stack([self.first() if done else obs for done, obs in zip(dones, after, strict=True)])
        return before, after, self.rng.integers(4, size=LANES), self.rng.normal(size=LANES), dones, infos


def buffer_of(size, stack, channels=1):
    space = spaces.Box(0, 255, (stack * channels, 2, 2), np.uint8)
    buffer = FrameReplayBuffer(size, space, spaces.Discrete(4), "cpu", LANES, frames=stack)
    buffer.rng = np.random.default_rng(1)
    return buffer


def facts(obs, action, reward, next_obs, ended):
    return (
        np.asarray(obs).tobytes(),
        int(action),
        float(np.float32(reward)),
        np.asarray(next_obs).tobytes(),
        float(ended),
    )


@pytest.mark.parametrize(("stack", "channels"), [(4, 1), (1, 1), (1, 3), (2, 2)])
@pytest.mark.parametrize("steps", [5, 40, 400])
def test_samples_are_what_was_added(stack, channels, steps):
    screens, buffer, added = Screens(stack, channels=channels), buffer_of(40 * LANES, stack, channels), []
    for _ in range(steps):
        obs, next_obs, actions, rewards, dones, infos = screens.step()
        buffer.add(obs, next_obs, actions, rewards, dones, infos)
        for lane in range(LANES):
            ended = dones[lane] and not infos[lane]["TimeLimit.truncated"]
            added.append(facts(obs[lane], actions[lane], rewards[lane], next_obs[lane], ended))
    drawn = buffer.sample(2000)
    columns = (drawn.observations, drawn.actions[:, 0], drawn.rewards[:, 0], drawn.next_observations, drawn.dones[:, 0])
    seen = {facts(*(c.numpy() for c in row)) for row in zip(*columns, strict=True)}
    assert seen <= set(added[-40 * LANES :])
    assert len(seen) >= 0.8 * min(len(added), 40 * LANES)  # little is lost to short episodes, all is drawn


def test_very_short_episodes_shorten_the_memory_and_corrupt_nothing():
    screens, buffer, added = Screens(4, end=0.9), buffer_of(30 * LANES, 4), set()
    for _ in range(200):
        obs, next_obs, actions, rewards, dones, infos = screens.step()
        buffer.add(obs, next_obs, actions, rewards, dones, infos)
        added |= {(obs[lane].tobytes(), next_obs[lane].tobytes()) for lane in range(LANES)}
    drawn = buffer.sample(1000)
    pairs = {(a.numpy().tobytes(), b.numpy().tobytes()) for a, b in zip(drawn.observations, drawn.next_observations)}  # noqa: B905
    assert pairs <= added
    assert len(pairs) > 10


def test_a_step_may_bring_several_frames():
    """As a game that goes on by itself after a lost life: some lanes move on by two or three frames."""
    buffer, rng, added = buffer_of(20 * LANES, 4), np.random.default_rng(0), []
    obs = rng.integers(0, 256, (LANES, 4, 2, 2), dtype=np.uint8)
    for step in range(70):
        after = obs.copy()
        for lane in range(LANES):
            new = int(rng.integers(1, 4)) if step % 3 == 0 else 1
            after[lane] = np.concatenate([obs[lane, new:], rng.integers(0, 256, (new, 2, 2), dtype=np.uint8)])
        buffer.add(obs, after, np.zeros(LANES), np.zeros(LANES), np.zeros(LANES), [{}] * LANES)
        added += [(before.tobytes(), then.tobytes()) for before, then in zip(obs, after, strict=True)]
        obs = after
    drawn = buffer.sample(1000)
    pairs = zip(drawn.observations.numpy(), drawn.next_observations.numpy(), strict=True)
    seen = {(before.tobytes(), then.tobytes()) for before, then in pairs}
    assert seen <= set(added[-20 * LANES :])
    assert len(seen) > 10 * LANES


def test_observations_that_are_no_stacks_are_refused():
    buffer, rng = buffer_of(30, 4), np.random.default_rng(0)
    obs, next_obs = rng.integers(0, 256, (2, LANES, 4, 2, 2), dtype=np.uint8)
    zeros = np.zeros(LANES)
    with pytest.raises(TlbenchError, match="stacked_frames=false"):
        buffer.add(obs, next_obs, zeros, zeros, zeros, [{}] * LANES)


def test_reset_forgets():
    screens, buffer = Screens(4), buffer_of(30, 4)
    for _ in range(5):
        buffer.add(*screens.step())
    buffer.reset()
    only = screens.step()
    buffer.add(*only)
    drawn = buffer.sample(20).observations.numpy()
    assert {row.tobytes() for row in drawn} == {row.tobytes() for row in only[0]}


def test_seeded_samples_are_uniform_over_what_is_stored():
    buffer = SeededReplayBuffer(20, spaces.Box(-1, 1, (1,)), spaces.Discrete(2), "cpu", n_envs=2)
    buffer.rng = np.random.default_rng(0)
    for i in range(13):  # ten rows: the first three are overwritten
        rows = np.array([[i], [i + 100]], dtype=np.float32)
        buffer.add(rows, rows, np.zeros(2), rows[:, 0], np.zeros(2), [{}, {}])
    drawn = buffer.sample(20_000)
    values, counts = np.unique(drawn.rewards.numpy(), return_counts=True)
    assert values.tolist() == [*range(3, 13), *range(103, 113)]
    assert counts.min() > 850
    assert torch.equal(drawn.observations, drawn.next_observations)


class Halves(gymnasium.Env):
    """Shows two frames; the action that names the newest one's bright half is rewarded."""

    observation_space = spaces.Box(0, 255, (2, SIDE, SIDE), np.uint8)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.frames, self.t = [np.zeros((SIDE, SIDE), np.uint8)], 0
        return self.look(), {}

    def look(self):
        self.side = int(self.np_random.integers(2))
        frame = np.zeros((SIDE, SIDE), np.uint8)
        frame[:, self.side * SIDE // 2 :][:, : SIDE // 2] = 255
        self.frames = [self.frames[-1], frame]
        return np.stack(self.frames)

    def step(self, action):
        self.t += 1
        reward = float(action == self.side)
        return self.look(), reward, self.t == 20, False, {}


class Task:
    unit, budget, spent = "env_steps", 600, 0
    interface = Interface(Halves.observation_space, Halves.action_space, 0.5)

    def publish(self, policy):
        self.policy = policy

    def envs(self, n):
        envs = DummyVecEnv([Halves] * n)
        envs.seed(0)
        return envs


DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
SMALL = {"n_envs": 4, "learning_starts": 100, "learning_rate": 1e-3, "conv_layers": ((4, 6, 5), (8, 3, 1), (8, 2, 1)),
         "hidden_sizes": (16,), "target_update_interval": 100}  # fmt: skip


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("end", "count"), [("first", 1), ("first", 4), ("last", 2)])
def test_frozen_layers_of_images_stay_bit_for_bit(end, count, device):
    agent = DQN().build(Task.interface, DQNConfig(**SMALL), 3, device)
    layers = ["body.0", "body.1", "body.2", "body.3", "head"]
    chosen = layers[:count] if end == "first" else layers[-count:]
    frozen = [f"{layer}.{part}" for layer in chosen for part in ("weight", "bias")]
    start = agent.params()
    agent.load({role: 2 * start[role] for role in frozen}, frozen)
    agent.train(Task())
    final = agent.params()
    assert agent.gradient_steps == 250
    for role, tensor in final.items():
        assert tensor.device.type == "cpu"
        moments = agent._roles[role] in agent.model.policy.optimizer.state
        if role in frozen:
            assert torch.equal(tensor, 2 * start[role])
            assert not moments
        else:
            assert not torch.equal(tensor, start[role])
            assert moments
    assert {p.device.type for p in agent.model.policy.parameters()} == {device}
    assert agent.model.replay_buffer.sample(2).observations.device.type == device
    actions, _ = agent.policy.frozen().act(np.zeros((3, 2, SIDE, SIDE), np.uint8), None, np.ones(3, dtype=bool))
    assert actions.shape == (3,)


def test_images_are_learned_deterministically_and_frozen_layers_stay():
    config = DQNConfig(n_envs=4, gradient_steps=2, learning_starts=100, learning_rate=1e-3, exploration_fraction=0.5,
                       target_update_interval=100, conv_layers=((4, 6, 5), (8, 3, 1)), hidden_sizes=(16,))  # fmt: skip

    finals = []
    for _ in range(2):
        agent = DQN().build(Task.interface, config, 3, "cpu")
        start = agent.params()
        agent.load({}, ["body.0.weight", "body.0.bias"])
        agent.train(Task())
        finals.append(agent.params())
    assert agent.gradient_steps == 2 * (600 - 100) // 4
    assert all(torch.equal(a, b) for a, b in zip(finals[0].values(), finals[1].values(), strict=True))
    assert {r for r in start if torch.equal(start[r], finals[0][r])} == {"body.0.weight", "body.0.bias"}
    env, right = Halves(), 0
    obs, _ = env.reset(seed=5)
    for _ in range(20):
        action, _ = agent.policy.act(obs[None], None, np.ones(1, dtype=bool))
        obs, reward, *_ = env.step(int(action[0]))
        right += reward
    assert right >= 16
