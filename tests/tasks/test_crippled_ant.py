"""A crippled leg: its two actuators do nothing, all others what they did."""

from __future__ import annotations

import gymnasium
import mujoco
import numpy as np
import pytest

from tlbench.tasks.environments.ant_families import AntDirectionEnv


def after(action: np.ndarray, leg: int) -> np.ndarray:
    """The state after ten steps of the same action, from the same start."""
    lanes = gymnasium.make_vec("tlbench/AntDirection-v1", num_envs=1, crippled_leg=leg)
    lanes.reset(seed=0)
    for _ in range(10):
        obs, *_ = lanes.step(action[None])
    return np.asarray(obs)


@pytest.mark.parametrize("leg", [1, 2, 3, 4])
def test_a_crippled_legs_actions_move_nothing(leg: int) -> None:
    model = AntDirectionEnv().unwrapped.model
    joints = [mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_JOINT, joint) for joint in model.actuator_trnid[:, 0]]
    mine = np.isin(joints, [f"hip_{leg}", f"ankle_{leg}"])
    assert mine.sum() == 2
    still = np.zeros(8, np.float32)
    for number in range(8):
        action = still.copy()
        action[number] = 0.5
        moved = not np.array_equal(after(action, leg), after(still, leg))
        assert moved != mine[number], joints[number]
        assert not np.array_equal(after(action, 0), after(still, 0)), "an ant that is whole moves all its joints"
