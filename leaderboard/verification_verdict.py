"""From runs and their re-runs to verdicts: identical, or else what the environment and the permutation test say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tlbench.analysis import metrics
from tlbench.analysis.curves import FloatArray, normalise
from tlbench.analysis.load import mean_returns
from tlbench.analysis.rerun_test import Group, RerunTest, rerun_distance, rerun_test
from tlbench.leaderboard.submission import Submission
from tlbench.leaderboard.verification import CheckedRun, PermutationTest, Verdict
from tlbench.leaderboard.verification_runs import Chosen
from tlbench.protocol.records import Record
from tlbench.protocol.specs import SuiteSpec

OUTCOME = ("curve", "training", "steps", "gradient_steps", "experts", "abstained", "diverged")
"""What identical runs have in common; diagnostics are the method's own and may hold times."""

FINGERPRINT = ("python", "system", "machine", "cpu_capability", "packages", "git_commit", "git_dirty", "device")
_DETERMINISTIC_DEVICE = "cpu"


def identical(a: Record, b: Record) -> bool:
    """Whether two runs ended in the same curves, number for number."""
    return all(getattr(a, name) == getattr(b, name) for name in OUTCOME)


def same_environment(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two provenances have equal fingerprints, so that equal runs must be identical.

    A changed checkout or a device other than the processor promises nothing, and what is not stated is not equal.
    """
    stated = all(name in a and name in b and a[name] == b[name] for name in FINGERPRINT)
    return stated and a["git_dirty"] is not True and a["device"] == _DETERMINISTIC_DEVICE


def fingerprint(provenance: Mapping[str, Any]) -> dict[str, str]:
    """The fingerprint in a provenance as flat text."""
    found: dict[str, str] = {}
    for name in FINGERPRINT:
        value = provenance.get(name)
        if isinstance(value, Mapping):
            found |= {str(key): str(item) for key, item in value.items()}
        elif value is not None:
            found[name] = str(value).lower() if isinstance(value, bool) else str(value)
    return found


def judge(
    suite: SuiteSpec, submission: Submission, chosen: Sequence[Chosen], reruns: Sequence[Record]
) -> tuple[list[CheckedRun], PermutationTest | None]:
    """Hold re-runs against a submission.

    Args:
        suite: The submission's suite.
        submission: The submission.
        chosen: The runs that were chosen.
        reruns: The re-run of each.

    Returns:
        The runs with their verdicts, and the test of those that are not identical, if one could be made.
    """
    verdicts: dict[int, Verdict] = {
        i: "identical"
        for i, (choice, rerun) in enumerate(zip(chosen, reruns, strict=True))
        if choice.seed == choice.record.seed and identical(choice.record, rerun)
    }
    open_ = [i for i in range(len(chosen)) if i not in verdicts]
    groups = _groups(suite, submission, [(i, chosen[i], reruns[i]) for i in open_])
    test = rerun_test([group for group, _ in groups]) if groups else None
    distances = {i: rerun_distance(group, row) for group, members in groups for row, i in enumerate(members)}
    for i in distances:
        recorded = chosen[i].seed == chosen[i].record.seed
        equal = recorded and same_environment(chosen[i].record.provenance, reruns[i].provenance)
        verdicts[i] = "different" if equal or test is None else _verdict(test)
    checked = [_checked(suite, chosen[i], reruns[i], verdicts[i], distances.get(i)) for i in range(len(chosen))]
    stated = PermutationTest(**vars(test)) if test is not None else None
    return checked, stated


def _verdict(test: RerunTest) -> Verdict:
    if not test.conclusive:
        return "undecided"
    return "different" if test.rejected else "consistent"


def _groups(
    suite: SuiteSpec, submission: Submission, runs: Sequence[tuple[int, Chosen, Record]]
) -> list[tuple[Group, list[int]]]:
    """Re-runs by transfer task, target and configuration, each with the submission's runs of other seeds.

    A recorded run of a seed that was run again is left out, since it and its re-run are not independent; where fewer
    would be left than were run again, all stay, which can only hide a difference.
    """
    members: dict[tuple[str, tuple[str, str]], list[tuple[int, Chosen, Record]]] = {}
    for run in runs:
        members.setdefault((run[1].transfer, _kind(run[1].record)), []).append(run)
    found = []
    for (transfer, kind), group in members.items():
        crossed = suite.transfers[transfer].expert_seeds is not None
        seeds = {rerun.seed for _, _, rerun in group}
        experts = {rerun.expert_seed for _, _, rerun in group} if crossed else set()
        recorded = [r for r in submission.runs() if transfer in r.transfers and _kind(r) == kind]
        others = [r for r in recorded if r.seed not in seeds and r.expert_seed not in experts]
        compared = others if len(others) >= len(group) else recorded
        reruns = np.stack([_curve(suite, rerun) for _, _, rerun in group])
        found.append((Group(reruns, np.stack([_curve(suite, r) for r in compared])), [i for i, _, _ in group]))
    return found


def _kind(record: Record) -> tuple[str, str]:
    """Target and configuration."""
    return record.target, record.config_hash


def _checked(suite: SuiteSpec, choice: Chosen, rerun: Record, verdict: Verdict, distance: float | None) -> CheckedRun:
    recorded = choice.seed == choice.record.seed
    return CheckedRun(
        key=rerun.key,
        transfer=choice.transfer,
        target=rerun.target,
        seed=rerun.seed,
        expert_seed=rerun.expert_seed,
        verdict=verdict,
        same_environment=same_environment(choice.record.provenance, rerun.provenance) if recorded else None,
        recorded=_auc(suite, choice.record) if recorded else None,
        found=_auc(suite, rerun),
        statistic=distance,
    )


def _curve(suite: SuiteSpec, record: Record) -> FloatArray:
    task = suite.tasks[record.target]
    return mean_returns(record, task.schedule("target").points, task.random_return)


def _auc(suite: SuiteSpec, record: Record) -> float:
    task = suite.tasks[record.target]
    g = normalise(_curve(suite, record), task.random_return, task.expert_return)
    return float(metrics.auc(g, task.schedule("target").target_fractions()))
