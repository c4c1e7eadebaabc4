"""Where the time of one run goes: environments, acting, updates, evaluation, the rest.

Runs an expert and a run of a transfer task in this process, one torch thread, under cProfile, whose own cost makes
everything that is Python look dearer: read the shares, not the seconds.

    python benchmarks/where_time_goes.py --tasks cartpole-self,cartpole-to-inverted-pendulum --method finetune-vpg
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cProfile
import pstats
import tempfile
from pathlib import Path

import torch

from tlbench.execution.executors import warm
from tlbench.execution.plan import make_plan
from tlbench.execution.selection import MethodChoice
from tlbench.execution.store import Store
from tlbench.execution.work import Job, work
from tlbench.protocol.discovery import find_suite

PARTS = {
    "training: environment steps": [("task.py", "step_wait")],
    "training: acting": [("policies.py", "sample"), ("policies.py", "forward")],
    "training: updates": [("reinforce.py", "train"), ("ppo.py", "train")],
    "evaluation: environment steps": [("evaluation.py", "_roll_out", "batched.py", "step")],
    "evaluation: acting": [("evaluation.py", "act")],
    "knowledge: autoencoder": [("spam.py", "compress")],
}


def cumulative(stats: pstats.Stats, file: str, function: str) -> float:
    """Cumulative seconds of a function, by the end of its file's name."""
    entries = stats.stats.items()  # type: ignore[attr-defined]
    return float(sum(value[3] for (path, _, name), value in entries if path.endswith(file) and name == function))


def called_from(stats: pstats.Stats, caller: tuple[str, str], callee: tuple[str, str]) -> float:
    """Cumulative seconds of a function when called by another."""
    total = 0.0
    for (path, _, name), value in stats.stats.items():  # type: ignore[attr-defined]
        if path.endswith(callee[0]) and name == callee[1]:
            callers = value[4].items()
            total += sum(v[3] for (p, _, n), v in callers if p.endswith(caller[0]) and n == caller[1])
    return total


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--suite", default="classic")
    parser.add_argument("--tasks", default="cartpole-self,cartpole-to-inverted-pendulum")
    parser.add_argument("--method", default="spam")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    assert warm is not None
    suite = find_suite(arguments.suite)
    for transfer in arguments.tasks.split(","):
        plan = make_plan(suite, MethodChoice(arguments.method), (transfer,), (arguments.seed,))
        with tempfile.TemporaryDirectory() as folder:
            store = Store(Path(folder), suite)
            store.open()
            profile = cProfile.Profile()
            profile.enable()
            for node in plan.nodes():
                work(Job(node, plan.choice, store, "cpu", {}))
            profile.disable()
        stats = pstats.Stats(profile)
        whole = cumulative(stats, "work.py", "work")
        print(
            f"\n{arguments.method} on {transfer}: expert, knowledge, control and run, {whole:.2f} s under the profiler"
        )
        seen = 0.0
        for part, functions in PARTS.items():
            seconds = sum(
                called_from(stats, (f[0], f[1]), (f[2], f[3])) if len(f) == 4 else cumulative(stats, f[0], f[1])
                for f in functions
            )
            seen += seconds
            print(f"  {part:32} {100 * seconds / whole:5.1f} %")
        print(f"  {'everything else':32} {100 * (whole - seen) / whole:5.1f} %")


if __name__ == "__main__":
    main()
