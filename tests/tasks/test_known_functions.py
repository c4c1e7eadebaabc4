"""Rewards and terminations that are given to methods as functions are the environment's own."""

import gymnasium
import numpy as np
import pytest

from tlbench.tasks.environments.batched import BatchedEnv

KNOWN = {
    "tlbench/HalfCheetahVelocity-v1": {"velocity": 0.7},
    "tlbench/HalfCheetahDirection-v1": {"direction": -1},
    "tlbench/AntDirection-v1": {"angle": 1.0},
    "tlbench/AntGoal-v1": {"goal_x": -1.0, "goal_y": 2.0},
    "tlbench/PointGoal-v1": {"goal_x": 0.05, "goal_y": 0.0},
}


@pytest.mark.parametrize("known", sorted(KNOWN))
def test_known_functions_are_the_environments(known):
    envs = gymnasium.make_vec(
        known, num_envs=8, vectorization_mode="vector_entry_point", autoreset_mode="same_step", **KNOWN[known]
    )
    reward, terminated = envs.reward_function(), envs.termination_function()
    rng = np.random.default_rng(0)
    low, high = envs.single_action_space.low, envs.single_action_space.high
    obs, _ = envs.reset(seed=3)
    ends = 0
    for _ in range(210):
        actions = (1.2 * rng.uniform(low, high, (8, *low.shape))).astype(np.float32)
        following, rewards, terminations, _, infos = envs.step(actions)
        final = np.where(infos["_final_obs"][:, None], infos["final_obs"], following) if infos else following
        np.testing.assert_allclose(reward(obs, actions, final), rewards, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(terminated(obs, actions, final), terminations)
        ends += terminations.sum()
        obs = following
    assert ends or not known.startswith("tlbench/Ant")


# as MAML's section 5.3 and code state them, but for the ant's cost of contact forces (nothing of them is observed);
# from MuJoCo's own state after the step
STATED = {
    "tlbench/HalfCheetahVelocity-v1": lambda data, action: -abs(data.qvel[0] - 0.7) - 0.05 * np.sum(action**2),
    "tlbench/HalfCheetahDirection-v1": lambda data, action: -data.qvel[0] - 0.05 * np.sum(action**2),
    "tlbench/AntDirection-v1": lambda data, action: (
        data.qvel[0] * np.cos(1.0) + data.qvel[1] * np.sin(1.0) - 0.005 * np.sum(action**2) + 0.05
    ),
    "tlbench/AntGoal-v1": lambda data, action: (
        4 - abs(data.qpos[0] + 1) - abs(data.qpos[1] - 2) - 0.005 * np.sum(action**2) + 0.05
    ),
}


@pytest.mark.parametrize("stated", sorted(STATED))
def test_rewards_are_what_the_documents_state(stated):
    env = gymnasium.make(stated, **KNOWN[stated])
    env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(30):
        action = env.action_space.sample()
        reward = env.step(action)[1]
        assert reward == pytest.approx(STATED[stated](env.unwrapped.data, action.astype(np.float64)), abs=1e-6)


def test_a_point_at_its_goal_has_arrived():
    envs = gymnasium.make_vec("tlbench/PointGoal-v1", num_envs=1, vectorization_mode="vector_entry_point")
    terminated = envs.termination_function()
    positions = np.array([[0.3, 0.3], [0.3, 0.309], [0.3, 0.311], [0.0, 0.0]])
    assert terminated(positions, positions, positions).tolist() == [True, True, False, False]


def test_other_rewards_are_not_known():
    envs = gymnasium.make_vec("tlbench/Hopper-v5", num_envs=1, vectorization_mode="vector_entry_point")
    assert isinstance(envs, BatchedEnv)
    assert envs.reward_function() is None
    assert envs.termination_function() is None
