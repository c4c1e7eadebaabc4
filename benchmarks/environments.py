"""Throughput of the vectorised environments against Gymnasium's, as ratios measured in one run.

    python benchmarks/environments.py --seconds 0.5

Actions are random and drawn beforehand, resets are included; MuJoCo's environments are stepped on two threads as well.
The ways take turns, and each way's fastest turn counts, so that other work on the machine disturbs the ratios little.
"""

import argparse
import time
from collections.abc import Iterator

import gymnasium
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from rich.console import Console
from rich.table import Table

import tlbench.tasks.environments  # noqa: F401
from tlbench.tasks.environments.batched_mujoco import BatchedMujocoEnv
from tlbench.tasks.environments.mujoco_dynamics import no_deprecations

LANES = (1, 16, 64, 512)
SYNC_LANES = 16
THREADS, THREADED_LANES = 2, 64
TURNS = 3
ACTION_BATCHES = 64


def single_steps(env_id: str) -> Iterator[int]:
    """Step `gymnasium.make(env_id)`; yield the steps taken each time."""
    env = gymnasium.make(env_id, disable_env_checker=True)
    actions = [env.action_space.sample() for _ in range(ACTION_BATCHES)]
    env.reset(seed=0)
    while True:
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        yield ACTION_BATCHES


def vector_steps(env: gymnasium.vector.VectorEnv) -> Iterator[int]:
    """Step a vector environment; yield the steps taken each time, over all lanes."""
    actions = [env.action_space.sample() for _ in range(ACTION_BATCHES)]
    env.reset(seed=0)
    while True:
        for batch in actions:
            env.step(batch)
            yield env.num_envs


def sync_steps(env_id: str) -> Iterator[int]:
    """Step Gymnasium's SyncVectorEnv; yield the steps taken each time, over all lanes."""
    makers = [lambda: gymnasium.make(env_id, disable_env_checker=True)] * SYNC_LANES
    return vector_steps(SyncVectorEnv(makers, autoreset_mode=AutoresetMode.SAME_STEP))


def batched_steps(env_id: str, lanes: int) -> Iterator[int]:
    """Step the vectorised environment; yield the steps taken each time, over all lanes."""
    return vector_steps(gymnasium.make_vec(env_id, num_envs=lanes, vectorization_mode="vector_entry_point"))


def threaded_steps(env_id: str) -> Iterator[int]:
    """Step the vectorised environment, physics on several threads; yield the steps taken, none if it isn't MuJoCo's."""
    usual, BatchedMujocoEnv.threads = BatchedMujocoEnv.threads, THREADS
    env = gymnasium.make_vec(env_id, num_envs=THREADED_LANES, vectorization_mode="vector_entry_point")
    BatchedMujocoEnv.threads = usual
    if isinstance(env.unwrapped, BatchedMujocoEnv):
        yield from vector_steps(env)


def steps_per_second(steps: Iterator[int], seconds: float) -> float:
    """The rate of steps over about this time."""
    count, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        count += next(steps)
    return count / elapsed


def rates(env_id: str, seconds: float) -> dict[str, float]:
    """Environment steps per second of every way to step one environment."""
    running = {"make": single_steps(env_id), "sync": sync_steps(env_id)}
    running |= {str(lanes): batched_steps(env_id, lanes) for lanes in LANES}
    threaded = threaded_steps(env_id)
    if next(threaded, None) is not None:
        running["threads"] = threaded
    for steps in running.values():
        next(steps)
    fastest = dict.fromkeys(running, 0.0)
    for _ in range(TURNS):
        for name, steps in running.items():
            fastest[name] = max(fastest[name], steps_per_second(steps, seconds / TURNS))
    return fastest


def main() -> None:
    """Measure every environment of the package and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.5, help="time per environment and way (default: 0.5)")
    parser.add_argument("--ids", nargs="*", help="environments (default: all of the package)")
    arguments = parser.parse_args()
    registered = {spec.id for spec in gymnasium.registry.values() if spec.namespace == "tlbench"}
    ids = arguments.ids or sorted(registered - {"tlbench/Atari-v1"})  # atari.py measures that one

    columns = ["gymnasium.make", f"SyncVectorEnv({SYNC_LANES})", *(f"lanes: {lanes}" for lanes in LANES)]
    columns.append(f"{THREADED_LANES}, {THREADS} threads")
    steps = Table("thousand steps/s", *columns)
    ratios = Table(f"times SyncVectorEnv({SYNC_LANES})", *columns)
    for env_id in ids:
        with no_deprecations():
            measured = rates(env_id, arguments.seconds)
        steps.add_row(env_id, *(f"{rate / 1e3:,.1f}" for rate in measured.values()))
        ratios.add_row(env_id, *(f"{rate / measured['sync']:.2f}" for rate in measured.values()))
    console = Console(width=120)
    console.print(steps)
    console.print(ratios)


if __name__ == "__main__":
    main()
