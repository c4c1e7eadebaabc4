"""The learned environment against a hand-written loop of the model, and policies that are trained in it."""

from __future__ import annotations

import numpy as np
import pytest
import stable_baselines3
import torch
from gymnasium import spaces

from tlbench.baselines.model_based.dynamics import DynamicsEnsemble
from tlbench.baselines.model_based.pilot import Pilot
from tlbench.baselines.model_based.virtual_env import Scales, VirtualEnv
from tlbench.protocol.discovery import learners
from tlbench.protocol.interface import Interface

LANES, HORIZON = 6, 5
ACTIONS = spaces.Box(np.array([-2.0, 0.0], np.float32), np.array([2.0, 1.0], np.float32))


def reward(obs, actions, following):
    return following[:, 0] - 10 * actions[:, 1] + 0.1 * obs[:, 2]


def terminated(obs, actions, following):
    return following[:, 1] > 1.6


INTERFACE = Interface(spaces.Box(-np.inf, np.inf, (3,), np.float64), ACTIONS, 0.9, reward=reward, terminated=terminated)
STARTS = torch.tensor([[1.0, 1.0, 1.0], [0.5, 1.5, 2.0], [1.5, 0.0, -1.0]])


def make_env(models: DynamicsEnsemble, lanes: int = LANES, horizon: int = HORIZON) -> VirtualEnv:
    return VirtualEnv(models, Scales(models, INTERFACE), INTERFACE, STARTS, horizon, lanes, np.random.default_rng(4))


def test_it_is_a_loop_of_the_models(ensemble):
    models = ensemble()
    env, draws = make_env(models), np.random.default_rng(4)
    chosen = np.random.default_rng(9)
    mean, std = models.obs_mean.numpy(), models.obs_std.numpy()
    state = STARTS.numpy()[draws.integers(3, size=LANES)].astype(np.float64)
    elapsed, ends = np.zeros(LANES, int), 0
    np.testing.assert_allclose(env.reset(), (state - mean) / std, rtol=1e-5, atol=1e-6)
    for _ in range(3 * HORIZON):
        unit = chosen.uniform(-1.3, 1.3, (LANES, 2)).astype(np.float32)
        obs, rewards, dones, infos = env.step(unit)
        clipped = np.clip(unit, -1, 1)
        real = np.stack([2 * clipped[:, 0], (clipped[:, 1] + 1) / 2], axis=1)
        over = []
        for lane in range(LANES):
            one, act = (torch.from_numpy(x.astype(np.float32)) for x in (state[lane], clipped[lane]))
            every = models.deltas(one.expand(3, 1, 3), act.expand(3, 1, 2)).detach().numpy()
            following = state[lane] + every[lane // 2, 0]
            assert rewards[lane] == pytest.approx(
                following[0] - 10 * real[lane, 1] + 0.1 * state[lane, 2], rel=1e-4, abs=1e-4
            )
            elapsed[lane] += 1
            ended = following[1] > 1.6
            assert dones[lane] == (ended or elapsed[lane] == HORIZON)
            if dones[lane]:
                np.testing.assert_allclose(
                    infos[lane]["terminal_observation"], (following - mean) / std, rtol=1e-4, atol=1e-4
                )
                assert infos[lane]["TimeLimit.truncated"] == (not ended)
                over.append(lane)
            else:
                assert infos[lane] == {}
            state[lane] = following
        if over:
            state[over], elapsed[over] = STARTS.numpy()[draws.integers(3, size=len(over))], 0
        ends += len(over)
        np.testing.assert_allclose(obs, (state - mean) / std, rtol=1e-4, atol=1e-4)
        state = obs.astype(np.float64) * std + mean
    assert ends >= 2 * LANES


def test_lanes_are_shared_out_equally(ensemble):
    with pytest.raises(ValueError, match="7 lanes can't be shared out among 3 models"):
        make_env(ensemble(), lanes=7)


@pytest.mark.parametrize("algorithm", ["PPO", "A2C", "SAC"])
def test_any_algorithm_of_sb3_trains_on_it(ensemble, algorithm):
    settings = {"SAC": {"learning_starts": 12, "batch_size": 8}, "PPO": {"n_steps": 4, "batch_size": 8}}
    cls = getattr(stable_baselines3, algorithm)
    model = cls("MlpPolicy", make_env(ensemble()), **settings.get(algorithm, {}))
    before = torch.cat([p.detach().flatten().clone() for p in model.policy.parameters()])
    model.learn(60)
    assert not torch.equal(before, torch.cat([p.detach().flatten() for p in model.policy.parameters()]))


def make_pilot(models: DynamicsEnsemble, env: VirtualEnv) -> Pilot:
    learner = learners()["trpo"]
    config = learner.Config(n_envs=env.num_envs, n_steps=env.horizon, batch_size=10, hidden_sizes=(8, 8))
    seen = Interface(env.scales.seen_space, env.scales.unit_space, 0.9)
    return Pilot(learner.build(seen, config, 0, "cpu"), Scales(models, INTERFACE), config.scale_rewards)


def test_the_frozen_policy_acts_on_raw_observations_as_the_network_on_normalised_ones(ensemble):
    models = ensemble()
    env = make_env(models)
    pilot = make_pilot(models, env)
    pilot.train(env, 2)
    obs = np.random.default_rng(0).normal(1, 2, (50, 3))
    inside, _ = pilot._net.freeze().act(pilot.scales.seen(obs), None, np.ones(50, bool))
    actions, _ = pilot.policy.act(obs, None, np.ones(50, bool))
    np.testing.assert_allclose(actions, pilot.scales.real_actions(inside), rtol=1e-4, atol=1e-5)
    assert all(ACTIONS.contains(action) for action in actions)


def test_frozen_copies_stay_as_they_are_and_can_be_stacked(ensemble):
    models = ensemble()
    env = make_env(models)
    pilot = make_pilot(models, env)
    obs, first = np.random.default_rng(0).normal(1, 2, (9, 3)), np.ones(9, bool)
    copy = pilot.policy.frozen()
    before, _ = copy.act(obs, None, first)
    pilot.train(env, 2)
    models.obs_mean += 1.0
    assert np.array_equal(copy.act(obs, None, first)[0], before)
    after = pilot.policy.frozen()
    assert not np.allclose(after.act(obs, None, first)[0], before)
    both = type(copy).stack([copy, after]).act(np.stack([obs, obs]), None, np.stack([first, first]))[0]
    assert np.array_equal(both[0], before)
    assert np.array_equal(both[1], after.act(obs, None, first)[0])


def test_what_is_imagined_is_one_deterministic_episode_per_lane(ensemble):
    models = ensemble()
    env = make_env(models, lanes=3)
    pilot = make_pilot(models, env)
    seen = pilot.imagine(env)
    again = make_env(models, lanes=3)
    frozen, obs, total, alive = pilot._net.freeze(), again.reset(), np.zeros(3), np.ones(3, bool)
    for _ in range(HORIZON):
        actions, _ = frozen.act(obs, None, alive)
        obs, rewards, dones, _ = again.step(actions)
        total += rewards * alive
        alive &= ~dones
    assert seen.mean_return == pytest.approx(total.mean(), rel=1e-5)
    assert seen.disagreement > 0


def test_disagreement_counts_each_lane_once_however_long_it_lives(ensemble, monkeypatch):
    models = ensemble()
    env = make_env(models, lanes=3)
    pilot = make_pilot(models, env)
    ends = iter([np.array([True, True, False]), *[np.zeros(3, bool)] * 8, np.ones(3, bool)])
    step = env.step

    def ended_early(actions):
        obs, rewards, _, infos = step(actions)
        return obs, rewards, next(ends), infos

    monkeypatch.setattr(env, "step", ended_early)
    doubt = iter([torch.tensor([1.0, 1.0, 5.0])] + [torch.tensor([5.0])] * 9)
    monkeypatch.setattr(models, "disagreement", lambda obs, actions: next(doubt))
    assert pilot.imagine(env).disagreement == pytest.approx((1 + 1 + 5) / 3)
