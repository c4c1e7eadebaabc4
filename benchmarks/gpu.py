"""Throughput of the learner ``dqn`` on images where there is a GPU: updates, one run, several runs that share it.

* updates: minibatches of 32 from a replay memory on the device, with nothing else; also on the CPU, one thread.
* runs: whole runs on an Atari game, acting and evaluation included, each in a process of its own, as the workers of
  ``tlbench evaluate --device cuda --jobs N`` are. Environment steps per second of all of them.

    python benchmarks/gpu.py [--runs 1,4,8] [--steps 20000] [--small]
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import multiprocessing
import time
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.logger import Logger

from tlbench.baselines.learners.dqn import DQN
from tlbench.baselines.learners.dqn_settings import NATURE, SMALL_IMAGES, DQNConfig
from tlbench.protocol.discovery import import_environments
from tlbench.protocol.interface import Interface
from tlbench.protocol.specs import Schedule, TaskSpec
from tlbench.protocol.task import HarnessTask

SMALL_REPLAY = {"buffer_size": 20_000, "learning_starts": 400}


def updates_per_second(device: str, side: int, config: DQNConfig, seconds: float) -> float:
    """Updates per second from a full replay memory."""
    interface = Interface(spaces.Box(0, 255, (4, side, side), np.uint8), spaces.Discrete(6), 0.99)
    model = DQN().build(interface, config.model_copy(update={"buffer_size": 2_000}), 0, device).model
    model.set_logger(Logger(None, []))
    lanes, rng = model.n_envs, np.random.default_rng(0)
    obs = rng.integers(0, 256, (lanes, 4, side, side), dtype=np.uint8)
    for _ in range(2_000 // lanes):
        after = np.concatenate([obs[:, 1:], rng.integers(0, 256, (lanes, 1, side, side), dtype=np.uint8)], axis=1)
        actions, zeros = rng.integers(6, size=lanes), np.zeros(lanes)
        model.replay_buffer.add(obs, after, actions, zeros, zeros, [{}] * lanes)
        obs = after
    model.train(10, model.batch_size)
    _wait(device)
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        model.train(10, model.batch_size)
        _wait(device)
        count += 10
    return count / (time.perf_counter() - began)


def whole_run(device: str, side: int, settings: dict[str, Any], steps: int, seed: int, barrier: Any) -> None:
    """One run in a process of its own; the others start with it."""
    torch.set_num_threads(1)
    import_environments()
    spec = TaskSpec(
        environment="tlbench/Atari-v1",
        options={
            "game": "breakout",
            "screen_size": side,
            "max_episode_steps": 1_000,
            "terminal_on_life_loss": True,
            "fire_reset": True,
        },
        discount=0.99,
        random_return=0.0,
        expert_return=1.0,
        threshold=1.0,
        target=Schedule(budget=steps, points=3, episodes=10),
        wall_limit=1e6,
    )
    task = HarnessTask(spec, "target", seed)
    agent = DQN().build(task.interface, DQNConfig.model_validate(settings), seed, device)
    agent.policy.frozen().act(np.zeros((1, 4, side, side), np.uint8), None, np.ones(1, dtype=bool))  # opens the device
    barrier.wait()
    try:
        agent.train(task)
        task.finish()
    except BaseException:
        barrier.abort()  # else all would wait for this one
        raise
    barrier.wait()


def steps_per_second(device: str, side: int, config: DQNConfig, steps: int, runs: int) -> float:
    """Training steps per second of so many runs at once, evaluation's time included."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(runs + 1)
    settings = config.model_copy(update=SMALL_REPLAY).model_dump(mode="json")
    workers = [
        context.Process(target=whole_run, args=(device, side, settings, steps, seed, barrier)) for seed in range(runs)
    ]
    for worker in workers:
        worker.start()
    barrier.wait()
    began = time.perf_counter()
    barrier.wait()
    seconds = time.perf_counter() - began
    for worker in workers:
        worker.join()
    return runs * steps / seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", default="1,4,8", help="how many runs share the GPU, comma-separated")
    parser.add_argument("--steps", type=int, default=20_000, help="environment steps of each run")
    parser.add_argument("--seconds", type=float, default=5.0, help="time for counting updates")
    parser.add_argument("--small", action="store_true", help="the small network on 42 x 42")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("there is no GPU here (torch.cuda.is_available() is False): nothing to measure")
        return
    torch.set_num_threads(1)
    config, side = (SMALL_IMAGES, 42) if arguments.small else (NATURE, 84)
    print(f"{torch.cuda.get_device_name()}, {side} x {side}, {os.cpu_count()} CPU cores")
    for device in ("cpu", "cuda"):
        rate = updates_per_second(device, side, config, arguments.seconds)
        print(f"{device:5} updates/s {rate:10,.0f}", flush=True)
    for runs in (int(number) for number in arguments.runs.split(",")):
        rate = steps_per_second("cuda", side, config, arguments.steps, runs)
        print(f"{runs:5} runs at once, environment steps/s of all {rate:10,.0f}", flush=True)


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
