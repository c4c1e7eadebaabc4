"""Opens Atari environments, and remembers which."""

from __future__ import annotations

from typing import Any

import gymnasium

import tlbench.tasks.environments  # noqa: F401

ID = "tlbench/Atari-v1"
NOOP, FIRE, UP, RIGHT, LEFT, DOWN = range(6)  # of Q*bert

opened: list[Any] = []


def make(lanes: int, autoreset: str = "same_step", **options: Any) -> Any:
    opened.append(
        gymnasium.make_vec(
            ID, num_envs=lanes, vectorization_mode="vector_entry_point", autoreset_mode=autoreset, **options
        )
    )
    return opened[-1]


def single(**options: Any) -> Any:
    opened.append(gymnasium.make(ID, disable_env_checker=True, **options))
    return opened[-1]


def ale_of(envs: Any, lane: int = 0) -> Any:
    return envs._games[lane]._ale
