"""Agent steps per second of Atari games: `tlbench/Atari-v1` against Gymnasium's wrappers and ale-py's own lanes.

    python benchmarks/atari.py [--games breakout,qbert] [--seconds 2] [--sizes 84] [--lanes 8]

All play the same game by the same preprocessing (4 frames per step, the last two pooled, grey, 4 frames stacked), with
random actions drawn beforehand, resets included, on one thread. Rates are per second of processor time; the ways take
turns, and each way's fastest turn counts, so that other work on the machine disturbs the ratios little. The second
table is what it costs to open lanes and reset them with seeds, as every evaluation does: the first time, and again
after they were closed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from typing import Any

import ale_py
import cv2
import gymnasium
from ale_py.vector_env import AtariVectorEnv
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation
from rich.console import Console
from rich.table import Table

import tlbench.tasks.environments  # noqa: F401

TURNS = 3
ACTION_BATCHES = 64


def ours(game: str, size: int, lanes: int) -> Any:
    """The environment of this package."""
    return gymnasium.make_vec(
        "tlbench/Atari-v1", lanes, vectorization_mode="vector_entry_point", game=game, screen_size=size
    )


def wrapped(game: str, size: int, lanes: int) -> Any:
    """Gymnasium's wrappers over ale-py's single environment."""

    def single() -> Any:
        env = ale_py.AtariEnv(game=game, frameskip=1, repeat_action_probability=0.0)
        return FrameStackObservation(AtariPreprocessing(env, screen_size=size), 4, padding_type="zero")

    return SyncVectorEnv([single] * lanes, autoreset_mode=AutoresetMode.SAME_STEP)


def native(game: str, size: int, lanes: int) -> Any:
    """ale-py's vector environment, which has no modes, difficulties, levels or RAM, on one thread."""
    return AtariVectorEnv(
        game, lanes, num_threads=1, img_height=size, img_width=size, autoreset_mode=AutoresetMode.SAME_STEP,
        reward_clipping=False, use_fire_reset=False,
    )  # fmt: skip


WAYS: dict[str, Callable[[str, int, int], Any]] = {
    "tlbench/Atari-v1": ours,
    "SyncVectorEnv": wrapped,
    "AtariVectorEnv": native,
}


def steps(env: Any) -> Iterator[int]:
    """Step an environment; yield the steps taken each time, over all lanes."""
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(ACTION_BATCHES)]
    env.reset(seed=0)
    while True:
        for batch in actions:
            env.step(batch)
            yield env.num_envs


def rates(game: str, size: int, lanes: int, seconds: float) -> dict[str, float]:
    """Agent steps per second of every way."""
    running = {name: steps(make(game, size, lanes)) for name, make in WAYS.items()}
    for way in running.values():
        next(way)
    fastest = dict.fromkeys(running, 0.0)
    for _ in range(TURNS):
        for name, way in running.items():
            count, start = 0, time.process_time()
            while (elapsed := time.process_time() - start) < seconds / TURNS:
                count += next(way)
            fastest[name] = max(fastest[name], count / elapsed)
    return fastest


def opening(game: str, size: int, lanes: int) -> dict[str, list[float]]:
    """Seconds to open lanes and reset them with seeds, the first time and again."""
    taken: dict[str, list[float]] = {}
    for name, make in WAYS.items():
        taken[name] = []
        for _ in range(2):
            start = time.process_time()
            env = make(game, size, lanes)
            env.reset(seed=1)
            taken[name].append(time.process_time() - start)
            env.close()
    return taken


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--games", default="breakout,qbert", help="comma-separated (default: breakout,qbert)")
    parser.add_argument("--seconds", type=float, default=2.0, help="time per game, size and way (default: 2)")
    parser.add_argument("--sizes", default="84", help="sides of the picture, comma-separated (default: 84)")
    parser.add_argument("--lanes", type=int, default=8, help="lanes (default: 8)")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)  # for all ways
    games = arguments.games.split(",")
    table = Table("game", "picture", *(f"{name}, steps/s" for name in WAYS), *(f"times {name}" for name in [*WAYS][1:]))
    for game in games:
        for size in (int(text) for text in arguments.sizes.split(",")):
            measured = rates(game, size, arguments.lanes, arguments.seconds)
            first, *others = measured.values()
            table.add_row(
                game, str(size), *(f"{rate:,.0f}" for rate in measured.values()),
                *(f"{first / other:.2f}" for other in others),
            )  # fmt: skip
    costs = Table(f"open and reset {arguments.lanes} lanes of {games[0]}, s", "first", "again")
    for name, taken in opening(games[0], 84, arguments.lanes).items():
        costs.add_row(name, *(f"{seconds:.3f}" for seconds in taken))
    console = Console(width=120)
    console.print(table)
    console.print(costs)


if __name__ == "__main__":
    main()
