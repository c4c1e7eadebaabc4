"""Whether learning from scratch gets off random play on the targets of a suite: what a suite must show to be published.

    python benchmarks/learnable.py runs

prints, for every control in a folder of results, the mean return at the end of the budget (the points at
fractions above 0.9, mean over seeds, standard error over seeds) and by how many standard errors it is above random.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from tlbench.analysis.metrics import ASYMPTOTE
from tlbench.execution.store import Store, find_stores
from tlbench.protocol.records import Record


def final(record: Record) -> float:
    """Mean return of the last points of a run."""
    return float(np.mean([np.mean(point.returns) for point in record.curve if point.fraction > ASYMPTOTE]))


def table(store: Store) -> Table:
    """One row per target and learner."""
    shown = Table(
        "target", "without knowledge", "seeds", "random", "final", "s.e.", "above random / s.e.", title=store.suite.id
    )
    found: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for record in store.records():
        if record.method is not None and record.control_key == record.key:
            found[record.target, record.method.id][record.key] = final(record)
    for (target, method), finals in sorted(found.items()):
        values, random = np.array(list(finals.values())), store.suite.tasks[target].random_return
        error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.inf
        above = (values.mean() - random) / max(error, 1e-12)
        row = (f"{random:.4g}", f"{values.mean():.4g}", f"{error:.2g}", f"{above:.1f}")
        shown.add_row(target, method, str(len(values)), *row)
    return shown


def main() -> None:
    """Read and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, help="folder of results")
    for store in find_stores(parser.parse_args().runs):
        Console(width=120).print(table(store))


if __name__ == "__main__":
    main()
