"""The hidden-goal maze: learning across lifetimes and within them, on held-out layouts.

    python benchmarks/hidden_goal_maze.py [--learners plastic,plastic-homogeneous,nonplastic-rnn] [--seeds 3]
        [--steps 800000] [--side 9] [--length 100]

Each learner is trained on episodes with layouts 0 to 99 and evaluated on layouts 1000 to 1099: the mean return at
tenths of the training (across lifetimes), and the mean reward per step in tenths of a lifetime of the last policy
(within a lifetime), which rises where the policy remembers where the goal is. Returns are divided by the goal's reward:
they count goals, less what was paid for walls.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
from typing import Any

import numpy as np
import torch

import tlbench.tasks.environments  # noqa: F401  (registers them)
from tlbench.protocol.discovery import learners
from tlbench.protocol.interface import Policy
from tlbench.protocol.specs import Schedule, TaskSpec
from tlbench.protocol.task import HarnessTask
from tlbench.protocol.vector import open_lanes
from tlbench.tasks.environments.hidden_goal_maze import GOAL_REWARD

LAYOUTS, HELD_OUT = 100, 1000
TENTHS, LANES = 10, 256


def spec(side: int, length: int, first_layout: int, budget: int) -> TaskSpec:
    """The maze with walls between its pillars, as a task."""
    options = {"side": side, "layouts": LAYOUTS, "first_layout": first_layout, "extra_walls": side // 2 + 1}
    options |= {"last_action": True, "step_scale": float(length), "max_episode_steps": length}
    return TaskSpec(
        environment="tlbench/HiddenGoalMaze-v1",
        options={**options, "wall_reward": 0.0},
        discount=0.9,
        random_return=0.0,
        expert_return=1.0,
        threshold=1.0,
        wall_limit=1.0,
        target=Schedule(budget=budget, points=2, episodes=1),
    )


def rewards_of(policy: Policy, task: TaskSpec) -> Any:
    """Rewards of one lifetime per lane on the task, ``[length, LANES]``, in goals."""
    envs = open_lanes(task, LANES, "disabled")
    obs, _ = envs.reset(seed=0)
    state, first, rows = None, np.ones(LANES, np.bool_), []
    for _ in range(int(task.options["max_episode_steps"])):
        actions, state = policy.act(obs, state, first)
        obs, rewards, *_ = envs.step(actions)
        rows.append(rewards / GOAL_REWARD)
        first = np.zeros(LANES, np.bool_)
    envs.close()
    return np.array(rows)


def run(name: str, seed: int, steps: int, side: int, length: int) -> tuple[list[float], list[float]]:
    """Mean returns after each tenth of the training, and mean rewards per step in each tenth of a lifetime."""
    held_out = spec(side, length, HELD_OUT, 1)
    found = learners()[name]
    config: Any = found.Config(n_steps=length, reward_scale=GOAL_REWARD)
    agent: Any = None
    across = []
    for tenth in range(TENTHS):
        task = HarnessTask(spec(side, length, 0, steps // TENTHS), "target", 1000 * seed + tenth)
        agent = agent or found.build(task.interface, config, seed, "cpu")
        agent.train(task)
        rewards = rewards_of(agent.policy.frozen(), held_out)
        across.append(float(rewards.sum(axis=0).mean()))
    return across, [float(part.mean()) for part in np.array_split(rewards, TENTHS)]


def main() -> None:
    """Train, evaluate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--learners", default="plastic,plastic-homogeneous,nonplastic-rnn,lstm")
    parser.add_argument("--seeds", type=int, default=3, help="seeds per learner")
    parser.add_argument("--steps", type=int, default=800_000, help="environment steps per run")
    parser.add_argument("--side", type=int, default=9, help="cells of the maze's side")
    parser.add_argument("--length", type=int, default=100, help="steps of a lifetime")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.learners.split(","):
        for seed in range(arguments.seeds):
            began = time.process_time()
            across, within = run(name, seed, arguments.steps, arguments.side, arguments.length)
            print(f"{name}, seed {seed}, {time.process_time() - began:.0f} s")
            print("  across:", " ".join(f"{value:6.2f}" for value in across), " goals per lifetime")
            print("  within:", " ".join(f"{value:6.3f}" for value in within), " goals per step", flush=True)


if __name__ == "__main__":
    main()
