"""One DQN run end to end, beside a stock Stable-Baselines3 script with the same network, batch and updates per step.

* stock: ``DQN("MlpPolicy")`` on one environment with an ``EvalCallback``, as SB3's guide shows, with the learner's
  network, minibatch, learning rate, exploration, replay and target updates, and as many updates per environment step.
* tlbench: the learner ``dqn`` on a task of the suite, with the harness's metering and evaluation, as in a worker.

Both make the task's evaluations: as many points, as many episodes. Printed are processor seconds (one thread), so that
other jobs on the machine matter little, environment steps and updates per second of them, and the ratio. Quote the
ratio.

    python benchmarks/dqn.py [--steps 75000] [--task cartpole]
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
import warnings
from typing import Any

import gymnasium
import stable_baselines3
import torch
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.env_util import make_vec_env

from tlbench.baselines.learners.dqn import DQN
from tlbench.baselines.learners.dqn_settings import VECTORS
from tlbench.baselines.learners.networks import TORCH_ACTIVATIONS
from tlbench.protocol.discovery import find_suite, import_environments
from tlbench.protocol.specs import Schedule, TaskSpec
from tlbench.protocol.task import HarnessTask


def ours(task: TaskSpec, seed: int) -> tuple[float, int]:
    """Processor seconds and updates of a run as tlbench does it."""
    began = time.process_time()
    target = HarnessTask(task, "target", seed, discrete=True)
    agent = DQN().build(target.interface, DQN.Config(), seed, "cpu")
    agent.train(target)
    target.finish()
    return time.process_time() - began, agent.gradient_steps


def stock(task: TaskSpec, schedule: Schedule, seed: int) -> tuple[float, int]:
    """Processor seconds and updates of a stock script with the same settings."""
    settings: Any = VECTORS

    def make() -> gymnasium.Env[Any, Any]:
        return gymnasium.make(task.environment.removeprefix("tlbench/"))

    began = time.process_time()
    evaluation = EvalCallback(
        make_vec_env(make, n_envs=1, seed=seed + 1),
        n_eval_episodes=schedule.episodes,
        eval_freq=max(1, schedule.budget // (schedule.points - 1)),
        verbose=0,
    )
    model = stable_baselines3.DQN(
        "MlpPolicy",
        make_vec_env(make, n_envs=1, seed=seed),
        learning_rate=settings.learning_rate,
        buffer_size=settings.buffer_size,
        learning_starts=settings.learning_starts,
        batch_size=settings.batch_size,
        train_freq=settings.train_freq * settings.n_envs,
        gradient_steps=settings.gradient_steps,
        target_update_interval=settings.target_update_interval,
        exploration_fraction=settings.exploration_fraction,
        exploration_final_eps=settings.exploration_final,
        max_grad_norm=settings.max_grad_norm,
        gamma=task.discount,
        policy_kwargs={
            "net_arch": list(settings.hidden_sizes),
            "activation_fn": TORCH_ACTIVATIONS[settings.activation],
        },
        seed=seed,
        device="cpu",
    )
    model.learn(schedule.budget, callback=evaluation)
    return time.process_time() - began, model._n_updates


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--task", default="cartpole", help="a task of classic with discrete actions and no options")
    parser.add_argument("--steps", type=int, default=0, help="environment steps, evaluation in proportion (0: all)")
    parser.add_argument("--seed", type=int, default=1000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    import_environments()
    task = find_suite("classic").tasks[arguments.task]
    schedule = task.schedule("target")
    if arguments.steps:
        points = max(2, round((schedule.points - 1) * arguments.steps / schedule.budget) + 1)
        schedule = schedule.model_copy(update={"budget": arguments.steps, "points": points})
        task = task.model_copy(update={"target": schedule})
    ours(task.model_copy(update={"target": schedule.model_copy(update={"budget": 2_000, "points": 2})}), 0)  # warm up
    print(f"{arguments.task}: {schedule.budget:,} steps, {schedule.points} points of {schedule.episodes} episodes")
    print(f"{'':10}{'seconds':>10}{'steps/s':>12}{'updates/s':>12}")
    seconds = {}
    for name, (spent, updates) in (
        ("tlbench", ours(task, arguments.seed)),
        ("stock", stock(task, schedule, arguments.seed)),
    ):
        seconds[name] = spent
        print(f"{name:10}{spent:10.1f}{schedule.budget / spent:12,.0f}{updates / spent:12,.0f}", flush=True)
    print(f"stock / tlbench: {seconds['stock'] / seconds['tlbench']:.1f}")


if __name__ == "__main__":
    main()
