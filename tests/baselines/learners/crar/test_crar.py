"""CRAR as an agent and as an SB3 algorithm: sources of data, freezing, embedding, saving, acting."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from tlbench.baselines.learners.crar.algorithm import CRAR
from tlbench.baselines.learners.crar.learner import CRARConfig, CRARLearner, abstract_neurons
from tlbench.baselines.learners.crar.losses import NAMES
from tlbench.protocol.errors import DivergedError
from tlbench.protocol.interface import Interface
from tlbench.protocol.specs import TaskSpec
from tlbench.protocol.task import HarnessTask

SIMPLE = {
    "environment": "tlbench/SimpleMaze-v1",
    "context": {"abstract_neurons": 2.0},
    "unit": "samples",
    "offline": {"transitions": 500, "lanes": 10},
    "target": {"budget": 640, "points": 2, "episodes": 1},
}
LABYRINTH = {
    "environment": "tlbench/MetaLabyrinth-v1",
    "options": {"tile_size": 1},
    "target": {"budget": 120, "points": 2, "episodes": 1},
}
SMALL = {"n_envs": 4, "batch_size": 8, "learning_starts": 40, "planning_depth": 1}


def task(kind, **changes):
    fixed = {"discount": 0.9, "random_return": 0.0, "expert_return": 1.0, "threshold": 1.0, "wall_limit": 60.0}
    return HarnessTask(TaskSpec.model_validate({**fixed, **kind, **changes}), "target", 0)


def build(on, seed=0, **config):
    return CRARLearner().build(on.interface, CRARConfig(**{**SMALL, **config}), seed, "cpu")


def trained(kind, before=None, **config):
    on = task(kind)
    agent = build(on, **config)
    if before is not None:
        before(agent)
    agent.train(on)
    return agent, on


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[r], b[r]) for r in a)


@pytest.mark.parametrize(("kind", "steps"), [(SIMPLE, 80), (LABYRINTH, 80)], ids=["samples", "steps"])
def test_learns_from_samples_and_from_steps_alike(kind, steps):
    agent, on = trained(kind)
    start = build(on).params()
    final = agent.params()
    assert on.spent == on.budget
    assert agent.gradient_steps == steps
    assert all(not torch.equal(start[r], final[r]) for r in start)
    assert all(p.is_contiguous() for p in final.values())
    table = agent.diagnostics()["losses"]
    assert set(table) == {"update", *NAMES}
    assert table["update"][-1] == steps
    assert len(on.finish()) == 2


@pytest.mark.parametrize("kind", [SIMPLE, LABYRINTH], ids=["samples", "steps"])
def test_same_seed_gives_the_same_bytes_whatever_the_global_generators(kind):
    def disturb(agent):
        torch.manual_seed(99)
        np.random.seed(99)

    one, other = trained(kind)[0].params(), trained(kind, disturb)[0].params()
    assert equal(one, other)
    assert not equal(one, build(task(kind), seed=1).params())


@pytest.mark.parametrize("kind", [SIMPLE, LABYRINTH], ids=["samples", "steps"])
def test_frozen_models_stay_bit_for_bit_while_the_encoder_learns_through_them(kind):
    kept = {}

    def freeze(agent):
        start = agent.params()
        kept.update(start)
        agent.load({}, [role for role in start if not role.startswith("body.")])

    final = trained(kind, freeze)[0].params()
    assert {role for role in final if torch.equal(final[role], kept[role])} == {r for r in kept if r[:5] != "body."}


def test_all_frozen_takes_no_step():
    agent, on = trained(LABYRINTH, lambda agent: agent.load({}, list(agent.params())))
    assert agent.gradient_steps == 0
    assert on.spent == on.budget


def test_loading_makes_the_target_networks_equal_and_forgets_moments():
    agent, _ = trained(SIMPLE)
    agent.load(build(task(SIMPLE), seed=3).params())
    policy = agent.model.policy
    assert not policy.optimizer.state
    pairs = zip(policy.networks.parameters(), policy.target.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_target_networks_are_copied_at_the_interval():
    agent, _ = trained(SIMPLE, target_update_interval=80)
    policy = agent.model.policy
    pairs = list(zip(policy.networks.parameters(), policy.target.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not any(b.requires_grad for _, b in pairs)


@pytest.mark.parametrize(("kind", "interval", "rate"), [(SIMPLE, 1_000, 5e-4), (LABYRINTH, 200, 1e-3)])
def test_where_updates_are_few_target_networks_are_copied_more_often_and_pictures_learned_faster(kind, interval, rate):
    model = trained(kind)[0].model
    assert model.target_update_interval == interval
    assert model.policy.optimizer.param_groups[0]["lr"] == rate


@pytest.mark.parametrize("kind", [SIMPLE, LABYRINTH], ids=["samples", "steps"])
def test_a_learning_rate_that_is_set_holds_everywhere(kind):
    assert trained(kind, learning_rate=2e-4)[0].model.policy.optimizer.param_groups[0]["lr"] == 2e-4


def test_losses_of_the_abstract_space_may_begin_later():
    whole, half = (trained(SIMPLE, unstructured_share=share)[0] for share in (1.0, 0.5))
    without = trained(SIMPLE, disambiguation_weight=0.0, succession_weight=0.0, bound_weight=0.0)[0]
    assert equal(whole.params(), without.params())
    assert not equal(whole.params(), half.params())
    half, never = (trained(LABYRINTH, unstructured_share=share)[0] for share in (0.7, 0.0))
    assert not equal(half.params(), never.params())


def test_the_learning_rate_falls():
    agent, _ = trained(SIMPLE)
    agent.model.decay_interval = 10
    agent.train(task(SIMPLE))
    assert agent.model.policy.optimizer.param_groups[0]["lr"] == pytest.approx(5e-4 * 0.9**15)


def test_policies_embed_act_and_freeze():
    on = task(LABYRINTH)
    agent = build(on, planning_depth=2)
    rng = np.random.default_rng(0)
    obs = rng.uniform(-1, 1, (300, 1, 8, 8)).astype(np.float32)
    frozen, first = agent.policy.frozen(), np.ones(300, dtype=bool)
    actions, state = frozen.act(obs, None, first)
    embedded = frozen.embed(obs)
    assert state is None
    assert embedded.shape == (300, 192)
    assert np.array_equal(embedded, agent.policy.embed(obs))
    assert set(np.unique(actions)) <= set(range(4))
    planned, _ = agent.model.predict(obs, deterministic=True)
    assert (planned == actions).mean() > 0.98  # other batches, other rounding
    agent.train(on)
    assert np.array_equal(frozen.embed(obs), embedded)
    assert not np.array_equal(agent.policy.embed(obs), embedded)
    assert build(task(SIMPLE)).policy.embed(obs[:3]).shape == (3, 2)


def test_predicted_embeddings_are_the_models_next_states():
    policy = build(task(SIMPLE)).policy
    obs = np.random.default_rng(0).uniform(-1, 1, (5, 1, 8, 8)).astype(np.float32)
    predicted = policy.predict_embeddings(obs)
    networks = policy.frozen()._networks
    for action in range(4):
        after, _, _ = networks.step(networks.encode(torch.tensor(obs)), torch.full((5,), action))
        assert predicted[:, action] == pytest.approx(after.numpy(), abs=1e-6)
    assert build(task(LABYRINTH)).policy.predict_embeddings(obs).shape == (5, 4, 192)


def test_divergence_is_raised():
    with pytest.raises(DivergedError, match="not finite"):
        trained(SIMPLE, learning_rate=1e38)
    on = task(LABYRINTH)
    agent = build(on)
    agent.load({"head.bias": torch.full((4,), torch.nan)})
    with pytest.raises(DivergedError):
        agent.policy.act(np.zeros((2, 1, 8, 8), np.float32), None, np.ones(2, dtype=bool))


@pytest.mark.parametrize(
    ("observations", "actions", "why"),
    [
        (spaces.Discrete(3), spaces.Discrete(2), "Box of floats"),
        (spaces.Box(0, 255, (1, 8, 8), np.uint8), spaces.Discrete(2), "Box of floats"),
        (spaces.Box(-1, 1, (1, 8, 9)), spaces.Discrete(2), "square pictures"),
        (spaces.Box(-1, 1, (1, 9, 9)), spaces.Discrete(2), "multiples of 8"),
        (spaces.Box(-1, 1, (3,)), spaces.Box(-1, 1, (2,)), "discrete actions"),
        (spaces.Box(-1, 1, (3,)), spaces.Discrete(2, start=1), "count from 0"),
    ],
)
def test_unsupported_says_why(observations, actions, why):
    assert why in CRARLearner().unsupported(Interface(observations, actions, 0.9))


def test_the_size_of_the_abstract_state_is_the_settings_or_the_tasks():
    picture, vector = spaces.Box(-1, 1, (1, 16, 16)), spaces.Box(-1, 1, (5,))
    asked = {"abstract_neurons": 2.0}
    for space, context, neurons, wanted in (
        (picture, {}, None, None),
        (picture, asked, None, 2),
        (picture, asked, 7, 7),
        (vector, {}, None, 8),
        (vector, {}, 3, 3),
    ):
        interface = Interface(space, spaces.Discrete(4), 0.9, context)
        assert CRARLearner().unsupported(interface) is None
        assert abstract_neurons(interface, CRARConfig(neurons=neurons)) == wanted


def test_stock_environments_saving_and_prediction(tmp_path):
    kwargs = {"neurons": 4, "planning_depth": 2}
    model = CRAR("CRARPolicy", make_vec_env("CartPole-v1", 4, seed=0), learning_starts=40, seed=0, policy_kwargs=kwargs)
    model.learn(200)
    assert model.num_timesteps == 200
    assert model._n_updates == 40
    assert model.exploration_rate == pytest.approx(0.1)
    model.save(tmp_path / "model")
    loaded = CRAR.load(tmp_path / "model")
    obs = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    assert np.array_equal(model.predict(obs, deterministic=True)[0], loaded.predict(obs, deterministic=True)[0])
    loaded.set_env(make_vec_env("CartPole-v1", 4, seed=1))
    loaded.learn(100, reset_num_timesteps=False)
    assert loaded.num_timesteps == 300
    single, _ = loaded.predict(obs[0], deterministic=True)
    assert single.shape == ()


def test_a_schedule_of_the_learning_rate_is_followed():
    envs = make_vec_env("CartPole-v1", 4, seed=0)
    kwargs = {"neurons": 4}
    model = CRAR("CRARPolicy", envs, lambda left: 1e-3 * left, 0.5, 20, learning_starts=40, policy_kwargs=kwargs)
    model.learn(200)
    assert model.policy.optimizer.param_groups[0]["lr"] == pytest.approx(0.0, abs=1e-9)
    model.learn(400)
    model._current_progress_remaining = 0.25
    model.train(1)
    assert model.policy.optimizer.param_groups[0]["lr"] == pytest.approx(2.5e-4 * 0.5 ** ((model._n_updates - 1) // 20))


def test_normalised_environments_are_learned_as_they_are_acted_on(monkeypatch):
    envs = VecNormalize(make_vec_env("CartPole-v1", 4, seed=0))
    model = CRAR("CRARPolicy", envs, learning_starts=40, seed=0, policy_kwargs={"neurons": 4})
    model.learn(100)
    seen = []
    monkeypatch.setattr(model, "update", lambda *arrays: seen.append(arrays))
    monkeypatch.setattr(model.replay_buffer, "draw", lambda size: np.arange(size))
    model.train(1, 8)
    stored = model.replay_buffer.arrays(np.arange(8))
    obs, actions, rewards, next_obs, ended = seen[0]
    assert np.array_equal(obs, envs.normalize_obs(stored[0]))
    assert np.array_equal(next_obs, envs.normalize_obs(stored[3]))
    assert np.array_equal(rewards, envs.normalize_reward(stored[2]))
    assert not np.array_equal(rewards, stored[2])
    assert np.array_equal(actions, stored[1])
    assert np.array_equal(ended, stored[4])


def test_observations_may_be_of_any_precision():
    class Doubles(gymnasium.ObservationWrapper):
        observation_space = spaces.Box(-np.inf, np.inf, (4,), np.float64)

        def observation(self, observation):
            return observation.astype(np.float64)

    envs = make_vec_env("CartPole-v1", 2, seed=0, wrapper_class=Doubles)
    model = CRAR("CRARPolicy", envs, learning_starts=10, exploration_fraction=0.1, policy_kwargs={"neurons": 4})
    model.learn(60)
    assert model.predict(np.zeros((3, 4)), deterministic=True)[0].shape == (3,)


def test_exploration_is_random_at_first_and_then_mostly_by_q():
    model = CRAR("CRARPolicy", make_vec_env("CartPole-v1", 2, seed=0), seed=0, policy_kwargs={"neurons": 4})
    obs = np.random.default_rng(0).normal(size=(2000, 4)).astype(np.float32)
    best = model.policy.predict(obs)[0]
    shares = []
    for progress in (0.0, 0.25, 1.0):
        model._current_progress_remaining = 1 - progress
        shares.append(float((model.predict(obs)[0] == best).mean()))
    assert shares == pytest.approx([0.5, 0.725, 0.95], abs=0.04)


def test_vectors_have_eight_neurons_unless_told_otherwise():
    model = CRAR("CRARPolicy", make_vec_env("CartPole-v1", 2, seed=0), learning_starts=10)
    assert model.policy.neurons == 8
    assert model.learn(40).policy.predict(np.zeros((3, 4), np.float32), deterministic=True)[0].shape == (3,)


def test_pictures_that_planes_can_not_be_made_of_are_refused_with_what_to_do():
    class Picture(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-1, 1, (1, 12, 12), np.float32)
        action_space = gymnasium.spaces.Discrete(2)

    with pytest.raises(ValueError, match=r"not of observations \(1, 12, 12\): say how many neurons"):
        CRAR("CRARPolicy", Picture())
    assert CRAR("CRARPolicy", Picture(), policy_kwargs={"neurons": 2}).policy.neurons == 2
