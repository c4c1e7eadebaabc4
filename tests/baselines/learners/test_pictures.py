"""Learners with MLPs on pictures of floats: flattened, in training and in evaluation, alone and stacked."""

import numpy as np
import pytest

from tlbench.baselines.learners.dqn import DQN
from tlbench.baselines.learners.ppo import PPO
from tlbench.baselines.learners.vpg import VPG
from tlbench.protocol.interface import StackablePolicy
from tlbench.protocol.specs import TaskSpec
from tlbench.protocol.task import HarnessTask

SPEC = {
    "environment": "tlbench/MetaLabyrinth-v1",
    "options": {"tile_size": 1},
    "discount": 0.9,
    "random_return": 0.0,
    "expert_return": 1.0,
    "threshold": 1.0,
    "wall_limit": 60.0,
    "target": {"budget": 1200, "points": 3, "episodes": 2},
}
SMALL = {"vpg": {"batch_size": 100}, "ppo": {"n_steps": 16}, "dqn": {"learning_starts": 100}}


@pytest.mark.parametrize("learner", [VPG(), PPO(), DQN()], ids=lambda learner: learner.id)
def test_pictures_are_flattened(learner):
    task = HarnessTask(TaskSpec.model_validate(SPEC), "target", 0)
    assert learner.unsupported(task.interface) is None
    agent = learner.build(task.interface, learner.Config(n_envs=4, **SMALL[learner.id]), 0, "cpu")
    assert agent.params()["body.0.weight"].shape[1] == 64
    agent.train(task)
    assert agent.gradient_steps > 0
    assert all(len(outcome.returns) == 2 for _, outcome in task.finish())
    obs = np.random.default_rng(0).uniform(-1, 1, (9, 1, 8, 8)).astype(np.float32)
    actions, _ = agent.policy.act(obs, None, np.ones(9, dtype=bool))
    frozen = agent.policy.frozen()
    assert isinstance(frozen, StackablePolicy)
    both, _ = type(frozen).stack([frozen, frozen]).act(np.stack([obs, obs]), None, np.ones((2, 9), dtype=bool))
    assert np.array_equal(both, [actions, actions])
    predicted, _ = agent.model.predict(obs, deterministic=True)
    assert np.array_equal(predicted, actions)
