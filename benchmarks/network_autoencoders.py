"""The document's figure 3 from a folder of results: performance losses per layer, and returns of decoded networks.

    tlbench evaluate --method neuroevolution-latent --suite classic
    python benchmarks/network_autoencoders.py runs [--suite classic]

Per source and layer, means over the knowledge of all seeds: the autoencoder's performance loss on training, validation
and test networks; the size of the test networks' own outputs, in the same unit; and the mean return of the test
networks with the layer decoded over their return as they are.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Any

from tlbench.execution.store import Store
from tlbench.protocol.discovery import find_suite

METHODS = ("neuroevolution-latent", "cerl-latent")


def knowledge(store: Store) -> dict[tuple[str, tuple[str, ...]], dict[str, Mapping[str, Any]]]:
    """Diagnostics by method and sources, then by the key of the knowledge."""
    found: dict[tuple[str, tuple[str, ...]], dict[str, Mapping[str, Any]]] = {}
    for record in store.records():
        name = record.method.id if record.method else ""
        if name in METHODS and record.knowledge_key and "autoencoders" in record.diagnostics:
            group = found.setdefault((name, record.sources), {})
            group[record.knowledge_key] = record.diagnostics
    return found


def rows(nodes: list[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """A row per layer."""
    found = []
    for layer in (*nodes[0]["autoencoders"], "all"):
        cells = ""
        if layer != "all":
            facts = [node["autoencoders"][layer] for node in nodes]
            cells = f"{facts[0]['entries']:8}{facts[0]['code']:6}"
            for column in ("train_loss", "validation_loss", "test_loss", "output_norm"):
                cells += f"{mean(fact[column] for fact in facts):12.3f}"
        returns = [(n["test_returns"][layer], n["test_returns"]["none"]) for n in nodes]
        known = [(decoded, given) for decoded, given in returns if decoded is not None and given is not None]
        ratio = f"{mean(d for d, _ in known) / mean(g for _, g in known):14.2f}" if known else f"{'-':>14}"
        found.append((layer, f"{cells:62}{ratio}"))
    return found


def main() -> None:
    """Print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the folder of results")
    parser.add_argument("--suite", default="classic")
    arguments = parser.parse_args()
    found = knowledge(Store(arguments.folder, find_suite(arguments.suite)))
    if not found:
        parser.exit(1, f"{arguments.folder} has no runs of {' or '.join(METHODS)} on {arguments.suite}\n")
    header = f"{'entries':>8}{'code':>6}{'train':>12}{'validation':>12}{'test':>12}{'outputs':>12}"
    for (name, sources), nodes in sorted(found.items()):
        counts = next(iter(nodes.values()))["networks"]
        networks = ", ".join(f"{count} {part}" for part, count in counts.items())
        print(f"{name} from {', '.join(sources)}: {len(nodes)} sets of networks ({networks} in the first)")
        print(f"{'layer':10}{header}{'return ratio':>14}")
        for layer, cells in rows(list(nodes.values())):
            print(f"{layer:10}{cells}")


if __name__ == "__main__":
    main()
