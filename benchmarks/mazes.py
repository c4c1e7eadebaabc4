"""Throughput of the vectorised mazes against a loop over single mazes, as ratios measured in one run.

    python benchmarks/mazes.py --seconds 0.5

Actions are random and drawn beforehand, resets are included. The ways take turns, and each way's fastest turn counts.
"""

import argparse
import time
from collections.abc import Callable, Iterator

import gymnasium
from rich.console import Console
from rich.table import Table

import tlbench.tasks.environments  # noqa: F401

MAZES = {
    "SimpleMaze, 8 x 8": ("tlbench/SimpleMaze-v1", {}),
    "MetaLabyrinth, 8 x 8": ("tlbench/MetaLabyrinth-v1", {"tile_size": 1}),
    "MetaLabyrinth, 48 x 48": ("tlbench/MetaLabyrinth-v1", {"tile_size": 6}),
}
LANES = (1, 16, 128, 512)
LOOP_LANES = 16
TURNS = 3
BATCHES = 32


def loop(env_id: str, options: dict[str, object]) -> Iterator[int]:
    """Step single mazes one after the other; yield the steps taken each time."""
    envs = [gymnasium.make(env_id, disable_env_checker=True, **options) for _ in range(LOOP_LANES)]
    actions = [int(envs[0].action_space.sample()) for _ in range(BATCHES)]
    for seed, env in enumerate(envs):
        env.reset(seed=seed)
    while True:
        for action in actions:
            for env in envs:
                _, _, terminated, truncated, _ = env.step(action)
                if terminated or truncated:
                    env.reset()
            yield LOOP_LANES


def lanes(env_id: str, options: dict[str, object], count: int) -> Iterator[int]:
    """Step a vectorised maze; yield the steps taken each time, over all lanes."""
    env = gymnasium.make_vec(env_id, num_envs=count, vectorization_mode="vector_entry_point", **options)
    actions = [env.action_space.sample() for _ in range(BATCHES)]
    env.reset(seed=0)
    while True:
        for batch in actions:
            env.step(batch)
            yield count


def steps_per_second(steps: Iterator[int], seconds: float, clock: Callable[[], float] = time.perf_counter) -> float:
    """The rate of steps over about this time."""
    count, start = 0, clock()
    while (elapsed := clock() - start) < seconds:
        count += next(steps)
    return count / elapsed


def main() -> None:
    """Measure both mazes and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.5, help="time per maze and way (default: 0.5)")
    seconds = parser.parse_args().seconds
    table = Table("thousand steps/s", "loop", *(f"lanes: {n}" for n in LANES), f"times the loop ({LANES[-1]})")
    for name, (env_id, options) in MAZES.items():
        running = {"loop": loop(env_id, options)} | {str(n): lanes(env_id, options, n) for n in LANES}
        fastest = dict.fromkeys(running, 0.0)
        for steps in running.values():
            next(steps)
        for _ in range(TURNS):
            for way, steps in running.items():
                fastest[way] = max(fastest[way], steps_per_second(steps, seconds / TURNS))
        ratio = fastest[str(LANES[-1])] / fastest["loop"]
        table.add_row(name, *(f"{rate / 1e3:,.1f}" for rate in fastest.values()), f"{ratio:,.0f}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
