"""Settings of a learner on the tasks of a suite: normalised area under the curve, final return, steps to threshold.

    python benchmarks/sweep.py --learner dqn --suite classic --tasks cartpole,acrobot learning_rate=0.0005,0.001 tau=1

trains from scratch on each task's target schedule with every combination of the values given (JSON; strings bare) and
prints one line per run, then one per combination. Seeds count from 1000, which no run of an evaluation uses: settings
chosen here are chosen on other seeds than they are judged on.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import itertools
import json
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from tlbench.analysis.curves import normalise
from tlbench.analysis.metrics import auc, time_to_threshold
from tlbench.protocol.discovery import find_suite, import_environments, learners
from tlbench.protocol.errors import DivergedError
from tlbench.protocol.interface import Learner
from tlbench.protocol.specs import TaskSpec
from tlbench.protocol.task import HarnessTask, agent_seed


def value_of(text: str) -> Any:
    """A setting's value: JSON, or a bare string."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def combinations(settings: list[str]) -> list[dict[str, Any]]:
    """Every combination of ``KEY=VALUE,VALUE`` texts; lists are written with semicolons between their entries."""
    choices = []
    for setting in settings:
        key, _, values = setting.partition("=")
        choices.append([(key, value_of(value.replace(";", ","))) for value in values.split(",")])
    return [dict(chosen) for chosen in itertools.product(*choices)]


def run(learner: Learner, spec: TaskSpec, seed: int, settings: Mapping[str, Any]) -> tuple[float, float, int | None]:
    """Area under the curve (0 if it diverges), mean return of the last five points, steps to threshold of one run."""
    task = HarnessTask(spec, "target", seed, discrete=learner.discrete_only)
    agent = learner.build(task.interface, learner.Config(**settings), agent_seed(spec, "target", seed), "cpu")
    try:
        agent.train(task)
    except DivergedError:
        return 0.0, float("nan"), None
    points = [(count, float(np.mean(outcome.returns))) for count, outcome in task.finish() if outcome is not None]
    counts, returns = np.array(points).T
    area = float(auc(normalise(returns, spec.random_return, spec.expert_return), counts))
    times, reached = time_to_threshold(returns[None], counts, spec.threshold)
    return area, float(returns[-5:].mean()), int(times[0]) if reached[0] else None


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--learner", required=True)
    parser.add_argument("--suite", default="classic")
    parser.add_argument("--tasks", help="all by default; separated by commas")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE,VALUE")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    import_environments()
    suite = find_suite(arguments.suite)
    names = arguments.tasks.split(",") if arguments.tasks else list(suite.tasks)
    learner = learners()[arguments.learner]
    totals = []
    for settings in combinations(arguments.settings):
        areas = []
        for name, seed in itertools.product(names, range(1000, 1000 + arguments.seeds)):
            began = time.process_time()
            area, final, steps = run(learner, suite.tasks[name], seed, settings)
            areas.append(area)
            spent = time.process_time() - began
            print(
                f"{settings} {name} {seed}: area {area:.3f} final {final:.1f} reached {steps} {spent:.0f} s", flush=True
            )
        totals.append((float(np.mean(areas)), settings))
    print()
    for area, settings in sorted(totals, key=lambda total: total[0], reverse=True):
        print(f"mean area {area:.3f} {settings}")


if __name__ == "__main__":
    main()
