"""Physics on several threads: the same bits as on one."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from tlbench.tasks.environments.batched_mujoco import BatchedMujocoEnv


def trajectory(env_id: str) -> bytes:
    """Forty random steps of six lanes, ends by the time limit included."""
    lanes = gymnasium.make_vec(env_id, num_envs=6, vectorization_mode="vector_entry_point", max_episode_steps=30)
    if not isinstance(lanes.unwrapped, BatchedMujocoEnv):
        pytest.skip("has no physics")
    lanes.action_space.seed(3)
    seen = [lanes.reset(seed=5)[0]]
    for _ in range(40):
        seen += lanes.step(lanes.action_space.sample())[:4]
    return b"".join(np.asarray(array).tobytes() for array in seen)


def test_two_threads_step_as_one_does(env_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = trajectory(env_id)
    monkeypatch.setattr(BatchedMujocoEnv, "threads", 2)
    assert trajectory(env_id) == alone
