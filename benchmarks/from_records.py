"""Sums and means over a folder of results: seconds by kind of node and task, and SPAM's ratios by transfer task.

python benchmarks/from_records.py runs
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from statistics import mean

from tlbench.execution.store import find_stores

RATIOS = ("zero_ratio", "sparsity_ratio", "sparsity_ratio_tolerant")


def main() -> None:
    """Print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", type=Path)
    for store in find_stores(parser.parse_args().runs):
        seconds: dict[str, list[float]] = defaultdict(list)
        ratios: dict[str, list[float]] = defaultdict(list)
        for record in (*store.records(), *store.expert_records()):
            seconds[f"{record.kind} on {record.target}"].append(float(record.provenance["wall_seconds"]))
            found = {name: record.diagnostics.get(name) for name in RATIOS}
            if record.method and all(value is not None for value in found.values()):
                for name, value in found.items():
                    ratios[f"{record.method.id} on {record.transfers[0]}: {name}"].append(float(str(value)))
        for path in (store.folder / "knowledge").glob("*.json"):
            seconds["knowledge"].append(float(json.loads(path.read_text())["provenance"]["wall_seconds"]))
        print(f"{store.suite.id}\n{'nodes':40} {'number':>7} {'seconds in all':>15} {'each':>8}")
        for name, values in sorted(seconds.items()):
            print(f"{name:40} {len(values):7} {sum(values):15.1f} {mean(values):8.2f}")
        for name, values in sorted(ratios.items()):
            print(f"{name:80} {mean(values):6.3f} (n = {len(values)})")


if __name__ == "__main__":
    main()
