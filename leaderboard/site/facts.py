"""How a submission was run, from its records: experience, time, devices, versions, diagnostics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tlbench.leaderboard.submission import Submission
from tlbench.protocol.records import Record

MIXED = "mixed units"
_MOST = 40


@dataclass(frozen=True)
class Facts:
    """How a submission was run. Everything but numbers is a stranger's text.

    Attributes:
        runs: Number of the method's own runs.
        unit: Unit of experience.
        source: Experience on sources per run, experts' training and extraction, mean over runs.
        target: Experience on the target per run, mean over runs.
        wall_seconds: Time of all of its runs.
        devices: Devices.
        places: Systems and machines.
        packages: Versions of packages.
        commits: Commits of tlbench, marked where files had been changed.
        experts: Mean return of the experts used, by source.
        diagnostics: Mean of each number that the method reported, by transfer task.
        abstained: Runs in which the method abstained.
        diverged: Runs that diverged.
    """

    runs: int
    unit: str
    source: float
    target: float
    wall_seconds: float
    devices: tuple[str, ...]
    places: tuple[str, ...]
    packages: tuple[str, ...]
    commits: tuple[str, ...]
    experts: Mapping[str, float]
    diagnostics: Mapping[str, Mapping[str, float]]
    abstained: int
    diverged: int


def facts_of(submission: Submission) -> Facts:
    """The facts of a validated submission."""
    runs = submission.runs()
    stated = [run.provenance for run in runs]
    units = {run.steps.unit for run in runs}
    experts: dict[str, list[float]] = {}
    for run in runs:
        for expert in run.experts:
            experts.setdefault(expert.task, []).append(expert.mean_return)
    commits = {
        f"{str(p['git_commit'])[:12]}{' (changed)' if p.get('git_dirty') else ''}"
        for p in stated
        if p.get("git_commit")
    }
    pythons = {f"python {p['python']}" for p in stated if p.get("python")}
    return Facts(
        runs=len(runs),
        unit=units.pop().replace("_", " ") if len(units) == 1 else MIXED,
        source=_mean([run.steps.source + run.steps.extraction for run in runs]),
        target=_mean([run.steps.target for run in runs]),
        wall_seconds=float(sum(p.get("wall_seconds") or 0 for p in stated)),
        devices=_first({str(p["device"]) for p in stated if p.get("device")}),
        places=_first({", ".join(str(p[k]) for k in ("system", "machine") if p.get(k)) for p in stated} - {""}),
        packages=_first({f"{k} {v}" for p in stated for k, v in _mapping(p.get("packages")).items()} | pythons),
        commits=_first(commits),
        experts={task: _mean(returns) for task, returns in sorted(experts.items())},
        diagnostics=_diagnostics(runs),
        abstained=sum(run.abstained for run in runs),
        diverged=sum(run.diverged for run in runs),
    )


def _diagnostics(runs: Sequence[Record]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, list[float]]] = {}
    for run in runs:
        for name, value in run.diagnostics.items():
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                for transfer in run.transfers:
                    found.setdefault(name, {}).setdefault(transfer, []).append(float(value))
    return {name: {t: _mean(v) for t, v in found[name].items()} for name in sorted(found)[:_MOST]}


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _first(values: set[str]) -> tuple[str, ...]:
    return tuple(sorted(values)[:_MOST])
