"""Learned dynamics: virtual steps per second against the arithmetic bound, and what an evaluation spends on physics.

    python benchmarks/model_based.py [--environments 1000] [--seconds 2] [--part 25]

The sizes are half-cheetah's: 17 components of an observation, 6 of an action; models of two hidden layers of 256. The
bound is the same matrix products alone, timed in the same run: batched as the models do them, and nothing else. Between
the two lie normalisation, activations, rewards, ends of episodes and the conversions that SB3's interface asks for.

The share of physics is that of model-based-multitask on one source and one target of half-cheetah-velocity, all budgets
and updates divided by ``--part``: processor time inside the steps of real environments, with what they observe and pay,
in training and in evaluation, over all processor time. One thread.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from tlbench.baselines.model_based.config import MultitaskConfig
from tlbench.baselines.model_based.dynamics import DynamicsEnsemble
from tlbench.baselines.model_based.virtual_env import Scales, VirtualEnv
from tlbench.execution.selection import MethodChoice
from tlbench.protocol.discovery import import_environments, learners
from tlbench.protocol.interface import Context, Method
from tlbench.protocol.specs import Schedule, TaskSpec
from tlbench.protocol.task import HarnessTask
from tlbench.tasks.environments.half_cheetah import HalfCheetahVelocityVectorEnv

OBSERVATIONS, ACTIONS, HIDDEN, HORIZON = 17, 6, (256, 256), 200
SOURCE_BUDGET, TARGET_BUDGET = 100_000, 300_000


def rate(work: Callable[[], Any], units: int, seconds: float) -> float:
    """Units per second of processor time; the best of five parts."""
    work()
    best = 0.0
    for _ in range(5):
        began, done = time.process_time(), 0
        while time.process_time() - began < seconds / 5:
            work()
            done += 1
        best = max(best, done * units / (time.process_time() - began))
    return best


def products(members: int, environments: int) -> Callable[[], Any]:
    """The matrix products of one step of all environments."""
    sizes = (OBSERVATIONS + ACTIONS, *HIDDEN, OBSERVATIONS)
    each = environments // members
    pairs = [(torch.randn(members, each, i), torch.randn(members, i, o)) for i, o in pairwise(sizes)]
    return lambda: [torch.bmm(x, weight) for x, weight in pairs]


def velocity_task(velocity: float, budget: int) -> TaskSpec:
    """Half-cheetah at a given speed, evaluated for as large a share of its steps as in the suite: 7 %."""
    schedule = Schedule(budget=budget, points=2, episodes=max(1, round(0.035 * budget / HORIZON)))
    return TaskSpec(
        environment="tlbench/HalfCheetahVelocity-v1", options={"velocity": velocity}, discount=0.99,
        random_return=-200.0, expert_return=0.0, threshold=-50.0, source=schedule, target=schedule, wall_limit=600.0,
    )  # fmt: skip


def virtual_env(members: int, environments: int) -> VirtualEnv:
    """The learned half-cheetah, as training meets it; its models are untrained."""
    interface = HarnessTask(velocity_task(1.0, 1000), "source", 0, budget=1000).interface
    models = DynamicsEnsemble(OBSERVATIONS, ACTIONS, HIDDEN, members, torch.Generator().manual_seed(0))
    starts = 0.1 * torch.randn(100, OBSERVATIONS)
    rng = np.random.default_rng(0)
    return VirtualEnv(models, Scales(models, interface), interface, starts, HORIZON, environments, rng)


def speed(environments: int, seconds: float) -> None:
    """Measure and print steps per second."""
    flops = 2 * sum(i * o for i, o in ((OBSERVATIONS + ACTIONS, 256), (256, 256), (256, OBSERVATIONS)))
    print(f"{environments} environments, 2 x 256, thousand steps/s of processor time; {flops / 1e3:.0f} kflop per step")
    print(f"{'models':>8}{'products':>10}{'Gflop/s':>9}{'ensemble':>10}{'of bound':>9}{'VecEnv':>9}{'of bound':>9}")
    for members in (1, 5):
        env = virtual_env(members, environments)
        lanes = environments // members
        obs, unit = torch.randn(members, lanes, OBSERVATIONS), 2 * torch.rand(members, lanes, ACTIONS) - 1
        actions = unit.view(environments, ACTIONS).numpy()
        env.reset()
        bound = rate(products(members, environments), environments, seconds)
        alone = rate(lambda env=env, obs=obs, unit=unit: env.models.step(obs, unit), environments, seconds)  # type: ignore[misc]
        whole = rate(lambda env=env, actions=actions: env.step(actions), environments, seconds)  # type: ignore[misc]
        print(f"{members:8}{bound / 1e3:10.0f}{bound * flops / 1e9:9.1f}{alone / 1e3:10.0f}{alone / bound:9.0%}"
              f"{whole / 1e3:9.0f}{whole / bound:9.0%}", flush=True)  # fmt: skip


def physics(part: int) -> None:
    """Measure and print the share of physics in a short run: this part of a source and a target, collected at once."""
    inside, real = 0.0, HalfCheetahVelocityVectorEnv.step

    def timed(self: Any, actions: Any) -> Any:
        nonlocal inside
        began = time.process_time()
        out = real(self, actions)
        inside += time.process_time() - began
        return out

    HalfCheetahVelocityVectorEnv.step = timed  # type: ignore[method-assign]
    learner = learners()["trpo"]
    whole_settings = MultitaskConfig()

    def method(stages: int) -> Method:
        rounds = whole_settings.iterations * stages
        settings = {
            "warm_up_updates": whole_settings.warm_up_updates // part,
            "policy_updates": rounds * whole_settings.policy_updates // part,
            "model_updates": rounds * whole_settings.model_updates // part,
            **dict.fromkeys(("iterations", "source_stages", "target_stages"), 1),
        }
        return MethodChoice("model-based-multitask", settings).method()

    context = Context(0, "cpu", learner, learner.Config(), 0)
    source_budget, target_budget = SOURCE_BUDGET // part, TARGET_BUDGET // part
    source = HarnessTask(velocity_task(1.0, source_budget), "source", 0, budget=source_budget)
    target = HarnessTask(velocity_task(0.5, target_budget), "target", 0)
    began = time.process_time()
    knowledge = method(whole_settings.source_stages).learn_source([source], [], context)
    method(whole_settings.target_stages).learn_target(target, knowledge, context)
    target.finish()
    whole = time.process_time() - began
    HalfCheetahVelocityVectorEnv.step = real  # type: ignore[method-assign]
    policy, models = context.diagnostics["policy_updates"], context.diagnostics["model_updates"]
    print(f"{source_budget:,} and {target_budget:,} real steps, {policy} policy and {models} model updates"
          f" on the target: {whole:.1f} s of processor time, of which physics {inside / whole:.0%}")  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environments", type=int, default=1000, help="virtual environments; a multiple of 5")
    parser.add_argument("--seconds", type=float, default=2.0, help="processor time per figure")
    parser.add_argument("--part", type=int, default=25, help="of a source's and a target's whole budgets")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    import_environments()
    speed(arguments.environments, arguments.seconds)
    physics(arguments.part)


if __name__ == "__main__":
    main()
