"""How long evaluations take on N cores: a simulation over the dependency graph of the real plan's nodes.

Experts come before knowledge, knowledge before runs; whichever ready node the runner would take first goes to a free
core. Durations are those of a folder of results where it has the node, else the median of its like there, else what
the environment's speed on this machine suggests (marked as estimated).

python benchmarks/makespan.py --from runs
python benchmarks/makespan.py --suite classic --methods spam,finetune-vpg
python benchmarks/makespan.py --suite atari-full.toml --methods finetune-dqn --rates TRAINING,EVALUATION,LENGTH

With --rates, nodes that the folder doesn't know take their budget at TRAINING and their evaluation's games of LENGTH
steps at EVALUATION environment steps per second, such as benchmarks/atari_dqn.py measures.
"""

from __future__ import annotations

import argparse
import heapq
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tlbench.execution.estimate import KNOWLEDGE_SECONDS, Estimator
from tlbench.execution.plan import ExpertNode, KnowledgeNode, Node, make_plan, needs
from tlbench.execution.runner import stage
from tlbench.execution.selection import MethodChoice
from tlbench.execution.store import Store, find_stores
from tlbench.protocol.discovery import find_suite, import_environments, methods
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.specs import SuiteSpec

WORKERS = tuple(2**i for i in range(10))


def all_nodes(suite: SuiteSpec, names: Sequence[str]) -> dict[str, Node]:
    """The nodes of full evaluations of several methods, shared ones once, by key."""
    found: dict[str, Node] = {}
    for name in names:
        plan = make_plan(suite, MethodChoice(name), tuple(suite.transfers), tuple(range(suite.seeds)))
        found |= {node.key: node for node in plan.nodes()}
    return found


def supported(suite: SuiteSpec) -> list[str]:
    """The installed methods that run on a suite."""
    names = []
    for name in methods():
        try:
            make_plan(suite, MethodChoice(name), tuple(suite.transfers), (0,))
        except TlbenchError:
            continue
        names.append(name)
    return names


def measured(store: Store) -> dict[str, float]:
    """Wall seconds of each node in a folder of results, by key."""
    seconds = {r.key: float(r.provenance["wall_seconds"]) for r in (*store.records(), *store.expert_records())}
    for path in (store.folder / "knowledge").glob("*.json"):
        seconds[path.stem] = float(json.loads(path.read_text(encoding="utf-8"))["provenance"]["wall_seconds"])
    return seconds


def makespan(nodes: Mapping[str, Node], seconds: Mapping[str, float], workers: int) -> float:
    """Wall seconds of list scheduling in the runner's order: earlier stage first, then the dearest."""
    waiting = {key: {k for k in needs(node) if k in nodes} for key, node in nodes.items()}
    followers: dict[str, list[str]] = {key: [] for key in nodes}
    for key, before in waiting.items():
        for k in before:
            followers[k].append(key)

    def entry(key: str) -> tuple[int, float, str]:
        return stage(nodes[key]), -seconds[key], key

    ready = [entry(key) for key in nodes if not waiting[key]]
    heapq.heapify(ready)
    running: list[tuple[float, str]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < workers:
            key = heapq.heappop(ready)[2]
            heapq.heappush(running, (now + seconds[key], key))
        now, ended = heapq.heappop(running)
        for key in followers[ended]:
            waiting[key].discard(ended)
            if not waiting[key]:
                heapq.heappush(ready, entry(key))
    return now


def critical_path(nodes: Mapping[str, Node], seconds: Mapping[str, float]) -> list[str]:
    """Keys of the dearest chain of nodes that must follow each other."""
    best: dict[str, tuple[float, list[str]]] = {}
    for key, node in sorted(nodes.items(), key=lambda item: stage(item[1])):
        before = max((best[k] for k in needs(node) if k in nodes), default=(0.0, []))
        best[key] = (before[0] + seconds[key], [*before[1], key])
    return max(best.values())[1]


@dataclass(frozen=True)
class Rates:
    """Environment steps per second of training and of evaluation, and steps of an evaluation's game."""

    training: float
    evaluation: float
    length: float

    def node(self, suite: SuiteSpec, node: Node) -> float:
        """Seconds of a node; knowledge takes what the estimator assumes of it."""
        if isinstance(node, KnowledgeNode):
            return KNOWLEDGE_SECONDS
        expert = isinstance(node, ExpertNode)
        schedule = suite.tasks[node.task if expert else node.target].schedule("source" if expert else "target")
        games = schedule.points * schedule.episodes
        return schedule.budget / self.training + games * self.length / self.evaluation


def rates(text: str) -> Rates:
    """Rates from the command line."""
    try:
        training, evaluation, length = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError("wants three numbers: TRAINING,EVALUATION,LENGTH") from None
    if not min(training, evaluation, length) > 0:
        raise argparse.ArgumentTypeError("wants positive numbers")
    return Rates(training, evaluation, length)


def report(suite: SuiteSpec, names: Sequence[str], store: Store | None, speed: Rates | None) -> None:
    """Print the table of one suite."""
    nodes = all_nodes(suite, names)
    found = measured(store) if store else {}
    guess = partial(speed.node, suite) if speed else Estimator(suite, store).node
    seconds = {key: found[key] if key in found else guess(node) for key, node in nodes.items()}
    total = sum(seconds.values())
    known = sum(key in found for key in nodes)
    kinds = {
        "experts": [k for k, n in nodes.items() if isinstance(n, ExpertNode)],
        "knowledge": [k for k, n in nodes.items() if isinstance(n, KnowledgeNode)],
        "runs": [k for k, n in nodes.items() if not isinstance(n, ExpertNode | KnowledgeNode)],
    }
    print(f"{suite.id}: {', '.join(names)}")
    print(f"{len(nodes)} nodes, {known} measured, {len(nodes) - known} estimated")
    for kind, keys in kinds.items():
        spent = sum(seconds[key] for key in keys)
        print(f"  {kind:10} {len(keys):6}  {spent / 3600:10.3f} core-hours")
    print(f"  {'all':10} {len(nodes):6}  {total / 3600:10.3f} core-hours")
    path = critical_path(nodes, seconds)
    longest = sum(seconds[key] for key in path)
    print(f"critical path: {longest:.1f} s: {', then '.join(nodes[key].label for key in path)}")
    print(f"{'cores':>6} {'makespan s':>11} {'speed-up':>9} {'efficiency':>11} {'paid core-hours':>16}")
    for workers in WORKERS:
        wall = makespan(nodes, seconds, workers)
        assert wall >= max(longest, total / workers) * (1 - 1e-9)
        print(
            f"{workers:6} {wall:11.1f} {total / wall:9.1f} {total / wall / workers:11.2f} {workers * wall / 3600:16.3f}"
        )


def main() -> None:
    """Print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--from", dest="runs", type=Path, help="folder of results to take durations from")
    parser.add_argument("--suite", help="suite to plan; by default those of the folder")
    parser.add_argument("--rates", type=rates, help="environment steps/s of training and evaluation, steps of a game")
    parser.add_argument("--methods", help="comma-separated; by default all that support the suite")
    arguments = parser.parse_args()
    if arguments.runs is None and arguments.suite is None:
        parser.error("name --from, --suite or both")
    import_environments()
    stores = {store.suite.id: store for store in find_stores(arguments.runs)} if arguments.runs else {}
    suites = [find_suite(arguments.suite)] if arguments.suite else [store.suite for store in stores.values()]
    for suite in suites:
        names = arguments.methods.split(",") if arguments.methods else supported(suite)
        report(suite, names, stores.get(suite.id), arguments.rates)


if __name__ == "__main__":
    main()
