"""How each method was run, from its records: versions, configuration, experience, time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tlbench.analysis.configurations import method_labels
from tlbench.protocol.records import Record, own_controls


@dataclass(frozen=True)
class MethodFacts:
    """How a method was run.

    Attributes:
        label: The method.
        version: Its version.
        learner: Its learner with version; empty if it has none.
        config: Its settings.
        learner_config: Its learner's settings, those of the first record where they differ by task.
        runs: Number of runs.
        seeds: Its run seeds.
        ruleset: ``fixed`` or ``tuned``.
        source: Experience on sources per run, experts' training over all ancestors and extraction, with its unit.
        target: Experience on the target per run, with its unit.
        expert: Mean return of the experts used, by source.
        wall: Seconds of all runs.
        places: Devices and systems.
        packages: Versions of packages.
        commits: Git commits; marked where files had been changed.
    """

    label: str
    version: str
    learner: str
    config: Mapping[str, Any]
    learner_config: Mapping[str, Any]
    runs: int
    seeds: tuple[int, ...]
    ruleset: str
    source: str
    target: str
    expert: Mapping[str, float]
    wall: float
    places: tuple[str, ...]
    packages: tuple[str, ...]
    commits: tuple[str, ...]

    @property
    def seed_text(self) -> str:
        """The seeds, a run of them as a range."""
        first, last = self.seeds[0], self.seeds[-1]
        whole = list(self.seeds) == list(range(first, last + 1)) and last > first
        return f"{first} to {last}" if whole else ", ".join(map(str, self.seeds))


def method_facts(records: Sequence[Record], labels: Sequence[str]) -> list[MethodFacts]:
    """Facts on each of the methods.

    Args:
        records: Runs; a method's own controls are left out.
        labels: The methods wanted, in order; those without records are left out.
    """
    names, skipped = method_labels(records), own_controls(records)
    grouped: dict[str, list[Record]] = {label: [] for label in labels}
    for record in records:
        if record.method is not None and record.key not in skipped:
            name = names[record.method.id, record.config_hash]
            grouped.get(name, grouped.get(record.method.id, [])).append(record)
    return [_facts(label, found) for label, found in grouped.items() if found]


def _facts(label: str, records: list[Record]) -> MethodFacts:
    first = records[0]
    experts: dict[str, list[float]] = {}
    for record in records:
        for expert in record.experts:
            experts.setdefault(expert.task, []).append(expert.mean_return)
    stated = [record.provenance for record in records]
    packages = {f"{k} {v}" for p in stated for k, v in dict(p.get("packages") or {}).items()}
    pythons = {f"python {p['python']}" for p in stated if p.get("python")}
    places = {", ".join(str(p[k]) for k in ("device", "system", "machine") if p.get(k)) for p in stated}
    commits = {
        f"{str(p['git_commit'])[:12]}{' (changed)' if p.get('git_dirty') else ''}"
        for p in stated
        if p.get("git_commit")
    }
    learner, method = first.learner, first.method
    return MethodFacts(
        label=label,
        version="" if method is None else method.version,
        learner="" if learner is None else f"{learner.id} {learner.version}",
        config={} if method is None else dict(method.config),
        learner_config={} if learner is None else dict(learner.config),
        runs=len(records),
        seeds=tuple(sorted({record.seed for record in records})),
        ruleset=first.ruleset,
        source=_amount([(r.steps.source + r.steps.extraction, r.steps.unit) for r in records]),
        target=_amount([(r.steps.target, r.steps.unit) for r in records]),
        expert={task: sum(returns) / len(returns) for task, returns in sorted(experts.items())},
        wall=float(sum(float(p.get("wall_seconds") or 0) for p in stated)),
        places=tuple(sorted(places - {""})),
        packages=tuple(sorted(packages | pythons)),
        commits=tuple(sorted(commits)),
    )


def _amount(counts: Sequence[tuple[int, str]]) -> str:
    parts = []
    for unit in sorted({unit for _, unit in counts}):
        values = [count for count, other in counts if other == unit]
        low, high = min(values), max(values)
        parts.append((f"{low:,}" if low == high else f"{low:,} to {high:,}") + " " + unit.replace("_", " "))
    return "; ".join(parts)
