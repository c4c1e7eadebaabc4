"""The same runs as tlbench and as a stock Stable-Baselines3 script: same budgets, same evaluation schedule, one seed.

For each transfer task: an expert on the source and a run on the target, one core, one torch thread.

* stock: ``A2C("MlpPolicy")`` with 8 environments in a ``DummyVecEnv`` and an ``EvalCallback``, as SB3's guide shows.
* tlbench: the expert and a ``finetune-vpg`` run, as ``tlbench evaluate`` does them inside a worker.
* bound: only stepping tlbench's environments as often as those two did, training and evaluation.

Printed are seconds, the ratio stock / tlbench, and tlbench / bound. Quote the ratios: they were measured in one run.

    python benchmarks/against_stock_sb3.py
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import math
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import A2C
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv

from tlbench.execution.executors import warm
from tlbench.execution.plan import make_plan
from tlbench.execution.selection import MethodChoice
from tlbench.execution.store import Store
from tlbench.execution.work import Job, work
from tlbench.protocol.discovery import find_suite
from tlbench.protocol.records import Record
from tlbench.protocol.specs import Schedule, SuiteSpec, TaskSpec
from tlbench.protocol.vector import open_lanes

TRAINING_LANES = 16


def stock(task: TaskSpec, schedule: Schedule, seed: int) -> float:
    """Seconds of a stock SB3 run with this schedule."""

    def make() -> gymnasium.Env[Any, Any]:
        return gymnasium.make(task.environment, **dict(task.options))

    started = time.perf_counter()
    env = make_vec_env(make, n_envs=8, seed=seed, vec_env_cls=DummyVecEnv)
    evaluation = make_vec_env(make, n_envs=1, seed=seed + 1, vec_env_cls=DummyVecEnv)
    callback = EvalCallback(
        evaluation,
        n_eval_episodes=schedule.episodes,
        eval_freq=max(1, schedule.budget // (schedule.points * env.num_envs)),
        deterministic=True,
        verbose=0,
    )
    A2C("MlpPolicy", env, gamma=task.discount, seed=seed, device="cpu").learn(schedule.budget, callback=callback)
    return time.perf_counter() - started


def ours(suite: SuiteSpec, transfer: str, seed: int, folder: Path) -> tuple[float, list[Record]]:
    """Seconds of the expert and the run, and their records."""
    plan = make_plan(suite, MethodChoice("finetune-vpg"), (transfer,), (seed,))
    store = Store(folder, suite)
    store.open()
    started = time.perf_counter()
    for node in (*plan.experts, *plan.knowledge, *plan.runs):
        work(Job(node, plan.choice, store, "cpu", {}))
    seconds = time.perf_counter() - started
    return seconds, [store.load_expert(plan.experts[0].key)[1], *store.records()]


def stepping(task: TaskSpec, steps: int, lanes: int) -> float:
    """Seconds of ``steps`` environment steps over ``lanes`` lanes under random actions, resets included."""
    env = open_lanes(task, lanes, "same_step")
    env.reset(seed=0)
    rng, space = np.random.default_rng(0), env.single_action_space
    if isinstance(space, spaces.Discrete):
        actions = rng.integers(space.n, size=(64, lanes))
    else:
        assert isinstance(space, spaces.Box)
        actions = rng.uniform(space.low, space.high, size=(64, lanes, *space.shape)).astype(np.float32)
    calls = math.ceil(steps / lanes)
    started = time.perf_counter()
    for call in range(calls):
        env.step(actions[call % 64])
    seconds = time.perf_counter() - started
    env.close()
    return seconds * steps / (calls * lanes)


def bound(suite: SuiteSpec, record: Record) -> float:
    """Seconds that only stepping the environments as often as a run did would take."""
    task = suite.tasks[record.target]
    trained = record.steps.source + record.steps.target if record.kind == "expert" else record.steps.target
    evaluated = sum(sum(point.lengths) for point in record.curve)
    lanes = sum(len(point.lengths) for point in record.curve)
    return stepping(task, trained, TRAINING_LANES) + stepping(task, evaluated, lanes)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--suite", default="classic")
    parser.add_argument("--tasks", default="cartpole-self,cartpole-to-inverted-pendulum")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    assert warm is not None  # the imports that tlbench's workers find done
    suite = find_suite(arguments.suite)
    header = ("stock s", "tlbench s", "bound s", "stock/tlbench", "tlbench/bound")
    print(f"{'transfer task':44} " + " ".join(f"{name:>13}" for name in header))
    for transfer in arguments.tasks.split(","):
        spec = suite.transfers[transfer]
        with tempfile.TemporaryDirectory() as folder:
            seconds, records = ours(suite, transfer, arguments.seed, Path(folder))
        least = sum(bound(suite, record) for record in records)
        baseline = sum(
            stock(suite.tasks[name], schedule, arguments.seed)
            for name, schedule in (
                (spec.sources[0], suite.tasks[spec.sources[0]].schedule("source")),
                (spec.targets[0], suite.tasks[spec.targets[0]].schedule("target")),
            )
        )
        print(
            f"{transfer:44} {baseline:13.1f} {seconds:13.2f} {least:13.2f} "
            f"{baseline / seconds:13.1f} {seconds / least:13.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
