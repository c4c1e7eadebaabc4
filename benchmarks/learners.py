"""Steps per second of VPG and PPO, beside the bound (only stepping the environment) and SB3's stock A2C.

    python benchmarks/learners.py [--steps 200000] [--repeats 3]

All in one run with one thread, in seconds of processor time (so that other jobs on the machine matter little);
figures are medians. Trust their ratios: absolute figures drift with the machine. A2C is used as its documentation
shows: eight environments in a ``DummyVecEnv``, its own defaults, Gymnasium's environments, a tenth of the steps.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import statistics
import time
import warnings
from collections.abc import Callable

import gymnasium
import torch
from gymnasium.vector import AutoresetMode
from stable_baselines3 import A2C
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

import tlbench.tasks.environments  # noqa: F401  (registers them)
from tlbench.baselines.learners.ppo import PPO
from tlbench.baselines.learners.vpg import VPG
from tlbench.protocol.errors import BudgetExhausted
from tlbench.protocol.interface import Interface, Learner, Policy
from tlbench.protocol.vector import VectorEnvAdapter

LANES = 16
ENVIRONMENTS = ("CartPole-v1", "InvertedPendulum-v5")


def open_envs(name: str, seed: int = 0) -> VectorEnvAdapter:
    """The environment's lanes, as the harness opens them."""
    venv = gymnasium.make_vec(
        f"tlbench/{name}", LANES, vectorization_mode="vector_entry_point", autoreset_mode=AutoresetMode.SAME_STEP
    )
    envs = VectorEnvAdapter(venv)
    envs.seed_lanes([seed + i for i in range(LANES)])
    return envs


class Counted(VectorEnvAdapter):
    """Ends after a number of steps and clocks the processor time spent inside the environment."""

    def __init__(self, envs: VectorEnvAdapter, steps: int) -> None:
        super().__init__(envs._venv)
        self._seed = envs._seed
        self.left = steps
        self.inside = 0.0

    def step_wait(self) -> VecEnvStepReturn:
        """Step, or raise at the end."""
        if self.left < self.num_envs:
            raise BudgetExhausted
        self.left -= self.num_envs
        began = time.process_time()
        result = super().step_wait()
        self.inside += time.process_time() - began
        return result


class Task:
    """Just enough of a task to train on."""

    unit = "env_steps"
    spent = 0

    def __init__(self, name: str, steps: int) -> None:
        self.budget = steps
        self.opened = Counted(open_envs(name), steps)
        self.interface = Interface(self.opened.observation_space, self.opened.action_space, 0.99)

    def publish(self, policy: Policy) -> None:
        """Nothing is evaluated here."""

    def envs(self, n: int) -> VecEnv:
        """The counted lanes."""
        assert n == LANES
        return self.opened


def bound(name: str, steps: int) -> float:
    """Processor seconds that only stepping takes, with actions drawn beforehand."""
    envs = open_envs(name)
    space = envs._venv.action_space
    space.seed(0)
    actions = [space.sample() for _ in range(64)]
    envs.reset()
    began = time.process_time()
    for i in range(steps // LANES):
        envs.step(actions[i % 64])
    return time.process_time() - began


def train(learner: Learner, name: str, steps: int) -> tuple[float, float]:
    """Processor seconds that training takes in all, and those of them inside the environment."""
    task = Task(name, steps)
    agent = learner.build(task.interface, learner.Config(), 1000, "cpu")
    began = time.process_time()
    agent.train(task)  # type: ignore[arg-type]  # has no samples or episodes
    return time.process_time() - began, task.opened.inside


def stock(name: str, steps: int) -> float:
    """Processor seconds that stock A2C takes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = A2C("MlpPolicy", make_vec_env(name, 8, seed=0), seed=0, device="cpu")
        began = time.process_time()
        model.learn(steps)
    return time.process_time() - began


def median(measure: Callable[[], float], repeats: int) -> float:
    """The median of several measurements."""
    return statistics.median(measure() for _ in range(repeats))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200_000, help="environment steps per measurement")
    parser.add_argument("--repeats", type=int, default=3, help="measurements per figure")
    arguments = parser.parse_args()
    steps, repeats = arguments.steps, arguments.repeats
    torch.set_num_threads(1)
    print(f"{'':22}{'':8}{'steps/s':>10}{'x A2C':>8}{'of bound':>10}{'own s per 200k':>16}{'own / env':>11}")
    for name in ENVIRONMENTS:
        only_stepping = steps / median(lambda name=name: bound(name, steps), repeats)  # type: ignore[misc]
        a2c = steps // 10 / median(lambda name=name: stock(name, steps // 10), repeats)  # type: ignore[misc]
        print(f"{name:22}{'bound':8}{only_stepping:10,.0f}{only_stepping / a2c:8.1f}")
        for learner in (VPG(), PPO()):
            runs = [train(learner, name, steps) for _ in range(repeats)]
            rate = steps / statistics.median(total for total, _ in runs)
            own = statistics.median(total - inside for total, inside in runs) * 200_000 / steps
            ratio = statistics.median((total - inside) / inside for total, inside in runs)
            share = rate / only_stepping
            print(f"{name:22}{learner.id:8}{rate:10,.0f}{rate / a2c:8.1f}{share:10.0%}{own:16.2f}{ratio:11.1f}")
        print(f"{name:22}{'A2C':8}{a2c:10,.0f}{1:8.1f}{a2c / only_stepping:10.0%}")


if __name__ == "__main__":
    main()
