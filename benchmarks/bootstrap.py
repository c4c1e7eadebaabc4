"""How much faster the vectorised bootstrap is than rliable's loop: both on the same scores, in one run, as a ratio.

Four methods, 10 seeds, 8 tasks; interquartile mean, median, mean and optimality gap with 95 % intervals. rliable's time
is proportional to the number of repetitions, so it is measured on a share of them (all with ``--full``).

    python benchmarks/bootstrap.py [--repetitions 50000] [--full]
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable

import numpy as np

from tlbench.analysis.bootstrap import Bootstrap
from tlbench.analysis.statistics import Sample, aggregates

METHODS, SEEDS, TASKS = 4, 10, 8


def vectorised(scores: dict[str, np.ndarray], repetitions: int, joint: bool) -> None:
    """All intervals by tlbench: draws included."""
    bootstrap = Bootstrap(repetitions, joint=joint)
    for name, matrix in scores.items():
        samples = [
            Sample(matrix[:, task], bootstrap.weights(range(SEEDS), stratum=f"{name}/{task}")) for task in range(TASKS)
        ]
        aggregates(samples, bootstrap, SEEDS)


def loop(scores: dict[str, np.ndarray], repetitions: int, only_iqm: bool) -> None:
    """All intervals by rliable's own loop."""
    from rliable import library, metrics

    names = ["aggregate_iqm"] if only_iqm else [f"aggregate_{n}" for n in ("iqm", "median", "mean", "optimality_gap")]
    functions = [getattr(metrics, name) for name in names]
    library.get_interval_estimates(scores, lambda x: np.array([f(x) for f in functions]), reps=repetitions)


def seconds(function: Callable[[], None], repeats: int) -> float:
    """Median wall time."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def main() -> None:
    """Prints the times and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=50_000)
    parser.add_argument("--full", action="store_true", help="run all of rliable's repetitions (half a minute or more)")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(0)
    scores = {f"method{i}": rng.normal(0.5, 0.3, (SEEDS, TASKS)) for i in range(METHODS)}
    share = 1 if arguments.full else 20
    repetitions = arguments.repetitions
    loop(scores, 2, only_iqm=True)  # imports
    slow = share * seconds(lambda: loop(scores, repetitions // share, only_iqm=False), 1)
    slow_iqm = share * seconds(lambda: loop(scores, repetitions // share, only_iqm=True), 1)
    joint = seconds(lambda: vectorised(scores, repetitions, joint=True), 5)
    independent = seconds(lambda: vectorised(scores, repetitions, joint=False), 5)
    print(f"{METHODS} methods x {SEEDS} seeds x {TASKS} tasks, {repetitions} repetitions")
    print(f"rliable, four aggregates          {slow:8.2f} s")
    print(f"rliable, interquartile mean only  {slow_iqm:8.2f} s")
    for name, fast in (("joint seeds", joint), ("independent seeds (rliable's scheme)", independent)):
        print(f"tlbench, four aggregates, {name}: {fast:.3f} s")
        print(
            f"    {slow / fast:.0f} times faster; {slow_iqm / fast:.0f} times than rliable's interquartile mean alone"
        )


if __name__ == "__main__":
    main()
