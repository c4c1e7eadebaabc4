"""Plastic networks: how fast a step is in several formulations, and how soon binary patterns are remembered.

    python benchmarks/plastic.py speed [--repeats 5]
    python benchmarks/plastic.py patterns [--seeds 5] [--cap 100000] [--learners plastic,nonplastic-rnn,lstm]

``speed``: milliseconds of processor time per step, forward and backward through a whole lifetime, one thread; each
way's fastest repeat counts. *Connection by connection* is a Python loop, timed at 4 neurons and one lifetime alone;
*einsum* and *multiplied out* keep the trace as one array ``[B, pre, post]`` and update it at every step.

``patterns``: lifetimes until the mean error on 500 held-out lifetimes of binary patterns (50 bits, 2 patterns, half
erased) is below 0.01 at two evaluations in a row, per seed; ``> cap`` where it never is.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from tlbench.baselines.learners.plastic.layer import CHUNK, PlasticLayer
from tlbench.baselines.learners.plastic.supervised import MemoryPolicy
from tlbench.protocol.discovery import learners
from tlbench.protocol.interface import Interface
from tlbench.tasks.lifetimes.binary_patterns import BinaryPatterns

SIZES = ((51, 16, 11), (145, 16, 19), (100, 16, 100), (100, 16, 200))
"""Neurons, lifetimes at a time and steps: binary patterns, images, and two lengths of the maze."""
GOAL, EVERY, HELD_OUT = 0.01, 1_600, 500


def connection_by_connection(layer: PlasticLayer, inputs: torch.Tensor) -> torch.Tensor:
    """A Python loop over connections, one lifetime after the other."""
    (steps, batch, n), w, alpha, eta = inputs.shape, layer.weight, layer.plasticity, layer.rate
    total = torch.zeros(())
    for lifetime in range(batch):
        x = [torch.zeros(())] * n
        trace = [[torch.zeros(())] * n for _ in range(n)]
        for step in range(steps):
            y = []
            for j in range(n):
                drive = inputs[step, lifetime, j]
                for i in range(n):
                    drive = drive + (w[i, j] + alpha[i, j] * trace[i][j]) * x[i]
                y.append(torch.tanh(drive))
            for i in range(n):
                for j in range(n):
                    trace[i][j] = (1 - eta) * trace[i][j] + eta * x[i] * y[j]
            x = y
            total = total + sum(value.square() for value in y)
    return total


def einsum(layer: PlasticLayer, inputs: torch.Tensor) -> torch.Tensor:
    """The definition: effective weights and traces as einsums, every step."""
    _, batch, n = inputs.shape
    x, trace, total = inputs.new_zeros(batch, n), inputs.new_zeros(batch, n, n), torch.zeros(())
    for step in inputs:
        y = torch.tanh(step + torch.einsum("bi,bij->bj", x, layer.weight + layer.plasticity * trace))
        trace = (1 - layer.rate) * trace + layer.rate * torch.einsum("bi,bj->bij", x, y)
        x, total = y, total + y.square().sum()
    return total


def multiplied_out(layer: PlasticLayer, inputs: torch.Tensor) -> torch.Tensor:
    """Fused operations on the trace as one array."""
    _, batch, n = inputs.shape
    x, trace, total = inputs.new_zeros(batch, n), inputs.new_zeros(batch, n, n), torch.zeros(())
    for step in inputs:
        through = torch.bmm(x.unsqueeze(1), layer.plasticity * trace).squeeze(1)
        y = torch.tanh(torch.addmm(step + through, x, layer.weight))
        trace = torch.lerp(trace, x.unsqueeze(2) * y.unsqueeze(1), layer.rate)
        x, total = y, total + y.square().sum()
    return total


def in_factors(layer: PlasticLayer, inputs: torch.Tensor) -> torch.Tensor:
    """What tlbench does; see ``traces.py``."""
    _, batch, n = inputs.shape
    x, traces, total = inputs.new_zeros(batch, n), layer.start(batch), torch.zeros(())
    for step in inputs:
        y = torch.tanh(step + layer.drive(x, traces))
        x, traces, total = y, layer.update(x, y, traces), total + y.square().sum()
    return total


Way = Callable[[PlasticLayer, torch.Tensor], torch.Tensor]


def milliseconds(way: Way, layer: PlasticLayer, inputs: torch.Tensor, repeats: int) -> float:
    """Processor milliseconds per step, forward and backward."""
    times = []
    for _ in range(repeats):
        began = time.process_time()
        way(layer, inputs).backward()  # type: ignore[no-untyped-call]
        times.append(time.process_time() - began)
    return 1000 * min(times) / len(inputs)


def speed(repeats: int) -> None:
    """Measure and print the ways."""
    inputs, layer = torch.randn(11, 1, 4), PlasticLayer(4, 4)
    slow, fast = (milliseconds(way, layer, inputs, repeats) for way in (connection_by_connection, in_factors))
    print(f"4 neurons, 1 lifetime, 11 steps: connection by connection {slow:.2f} ms per step, in factors {fast:.3f}")
    chunks = (4, CHUNK, 64)
    print(f"{'neurons':>8}{'lifetimes':>10}{'steps':>6}{'einsum':>9}{'mult. out':>10}", end="")
    print("".join(f"{f'factors, {chunk}':>13}" for chunk in chunks), f"{'one alpha':>10}{'x einsum':>9}   ms per step")
    for neurons, batch, steps in SIZES:
        inputs = torch.randn(steps, batch, neurons)
        found = [milliseconds(way, PlasticLayer(neurons, neurons), inputs, repeats) for way in (einsum, multiplied_out)]
        for chunk in chunks:
            found.append(milliseconds(in_factors, PlasticLayer(neurons, neurons, chunk=chunk), inputs, repeats))
        shared = milliseconds(in_factors, PlasticLayer(neurons, neurons, shared=True), inputs, repeats)
        print(f"{neurons:8}{batch:10}{steps:6}{found[0]:9.3f}{found[1]:10.3f}", end="")
        print("".join(f"{ms:13.3f}" for ms in found[2:]), f"{shared:10.3f}{found[0] / found[3]:9.1f}")


def error_of(policy: MemoryPolicy, lifetimes: BinaryPatterns, held_out: Any) -> float:
    """Mean error on held-out lifetimes."""
    state, outputs, first = None, [], np.ones(HELD_OUT, np.bool_)
    for x in held_out["inputs"]:
        y, state = policy.act(x, state, first)
        outputs.append(y)
        first = np.zeros(HELD_OUT, np.bool_)
    return 1 - float(lifetimes.score(np.stack(outputs), held_out).mean())


def lifetimes_to_goal(name: str, seed: int, cap: int, settings: dict[str, Any]) -> tuple[int | None, float]:
    """Lifetimes until the goal is reached twice in a row (``None`` if never), and the last error."""
    lifetimes, learner = BinaryPatterns(), learners()[name]
    interface = Interface(lifetimes.observation_space, lifetimes.action_space, 1.0)
    config: Any = learner.Config(**settings)
    agent: Any = learner.build(interface, config, seed, "cpu")
    rng, held_out = np.random.default_rng(seed), lifetimes.draw(HELD_OUT, np.random.default_rng([seed, 1]))
    before = error = 1.0
    for spent in range(config.lifetimes, cap + 1, config.lifetimes):
        agent.learn(lifetimes.draw(config.lifetimes, rng))
        if spent % EVERY == 0:
            before, error = error, error_of(agent.policy, lifetimes, held_out)
            if max(before, error) < GOAL:
                return spent, error
    return None, error


def patterns(names: list[str], seeds: int, cap: int, settings: dict[str, Any]) -> None:
    """Measure and print lifetimes to the goal."""
    print(f"lifetimes until error < {GOAL}, cap {cap:,}, {seeds} seeds, settings {settings or 'default'}")
    for name in names:
        began, found = time.process_time(), [lifetimes_to_goal(name, seed, cap, settings) for seed in range(seeds)]
        shown = ", ".join(f"> {cap:,}" if spent is None else f"{spent:,}" for spent, _ in found)
        seconds = (time.process_time() - began) / seeds
        print(
            f"{name:20}{shown}   last error {np.mean([error for _, error in found]):.3f}, {seconds:.0f} s per seed",
            flush=True,
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "patterns"))
    parser.add_argument("--repeats", type=int, default=5, help="measurements per figure (speed)")
    parser.add_argument("--seeds", type=int, default=5, help="seeds per learner (patterns)")
    parser.add_argument("--cap", type=int, default=100_000, help="most lifetimes (patterns)")
    parser.add_argument("--learners", default="plastic,plastic-homogeneous,nonplastic-rnn,lstm", help="(patterns)")
    parser.add_argument(
        "--neurons", type=int, help="neurons of the non-plastic networks; matched by default (patterns)"
    )
    parser.add_argument("--learning-rate", type=float, help="instead of the default (patterns)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.what == "speed":
        speed(arguments.repeats)
    else:
        given = {"pattern_neurons": arguments.neurons, "learning_rate": arguments.learning_rate}
        settings = {name: value for name, value in given.items() if value is not None}
        patterns(arguments.learners.split(","), arguments.seeds, arguments.cap, settings)


if __name__ == "__main__":
    main()
