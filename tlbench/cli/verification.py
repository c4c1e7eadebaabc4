"""Runs chosen runs of a submission again, from scratch in a temporary store, and says what came of it."""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tlbench.cli import api
from tlbench.execution.plan import Plan, RunNode, make_plan
from tlbench.execution.runner import missing_nodes
from tlbench.execution.selection import LEARNER_PREFIX, MethodChoice, learner_identity
from tlbench.execution.store import Store
from tlbench.leaderboard.record_checks import label
from tlbench.leaderboard.submission import Submission, identity
from tlbench.leaderboard.verification import Kind, Verification, sealed, worst
from tlbench.leaderboard.verification_runs import Chosen, choose
from tlbench.leaderboard.verification_verdict import fingerprint, judge
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.records import Configured, Record
from tlbench.protocol.specs import SuiteSpec, digest_of


@dataclass(frozen=True)
class Rerun:
    """A verification that has been checked and planned, but not run.

    Attributes:
        submission: The submission.
        suite: Its suite.
        chosen: The runs.
        nodes: The run of the plan that each of them is again.
        plans: All that must be run, one plan per configuration of the method.
        code: SHA-256 of the method's file; None: it is installed.
        fresh: Whether the seeds are outside the suite's.
        draw: What the choice follows from.
        jobs: Processes.
        device: Torch device.
    """

    submission: Submission
    suite: SuiteSpec
    chosen: tuple[Chosen, ...]
    nodes: tuple[RunNode, ...]
    plans: tuple[Plan, ...]
    code: str | None
    fresh: bool
    draw: int
    jobs: int
    device: str


def prepare(
    submission: Submission,
    suite: SuiteSpec,
    *,
    runs: int,
    draw: int,
    method_file: str | None = None,
    fresh: bool = False,
    jobs: int | None = None,
    device: str = "cpu",
) -> Rerun:
    """Choose the runs and plan them; the plan's keys must be the submission's.

    Args:
        submission: A validated submission.
        suite: Its suite.
        runs: How many.
        draw: What the choice follows from.
        method_file: ``path/to/file.py[:Class]``; none: the installed method of the submission's id.
        fresh: Seeds outside the suite's.
        jobs: Processes; all usable cores by default.
        device: Torch device.

    Raises:
        TlbenchError: If there are not as many runs, the device or the method is not here, or the method is not the
            submission's in version, file, learner or configuration.
    """
    api.check_device(device)
    if jobs is not None and jobs < 1:
        raise TlbenchError(f"--jobs must be at least 1, not {jobs}")
    chosen = choose(submission, suite, runs, draw, fresh=fresh)
    planned: dict[str, list[Plan]] = {}
    nodes = []
    code = None
    for choice in chosen:
        method = _choice(suite, submission, choice, method_file)
        code = method.code
        recorded, _ = _node(suite, method, choice, choice.record.seed)
        if recorded.key != choice.record.key:
            raise TlbenchError(f"{label(choice.record)} can't be run again: {_difference(choice.record, method)}")
        node, plan = _node(suite, method, choice, choice.seed)
        nodes.append(node)
        planned.setdefault(digest_of(method.identity()), []).append(plan)
    plans = tuple(_joined(found) for found in planned.values())
    return Rerun(
        submission, suite, tuple(chosen), tuple(nodes), plans, code, fresh, draw, jobs or api.usable_cores(), device
    )


def rerun(prepared: Rerun, *, progress: bool = True) -> list[Record]:
    """Run what was planned, experts and knowledge included; nothing of earlier evaluations is used.

    Returns:
        The record of each chosen run, in order.

    Raises:
        TlbenchError: If a run failed.
    """
    with tempfile.TemporaryDirectory(prefix="tlbench-verify-") as folder:
        store = Store(Path(folder), prepared.suite)
        store.open()
        for plan in prepared.plans:
            todo = missing_nodes(plan, store)
            request = api.Request(prepared.suite, plan, store, todo, prepared.jobs, prepared.device)
            outcome = api.run(request, progress=progress).outcome
            if outcome.failed:
                name, error = next(iter(outcome.failed.items()))
                raise TlbenchError(f"nothing can be said, a run failed: {name}: {error}")
        found = [store.find_record(node.name, node.key) for node in prepared.nodes]
    return [record for record in found if record is not None]


def conclude(prepared: Rerun, records: Sequence[Record], *, kind: Kind, by: str) -> Verification:
    """The document: re-runs held against the submission.

    Raises:
        TlbenchError: If ``by`` is no single line of at most 200 characters.
    """
    from tlbench import __version__

    runs, test = judge(prepared.suite, prepared.submission, prepared.chosen, records)
    return sealed(
        submission=prepared.submission.id,
        outcome=worst(run.verdict for run in runs),
        kind=kind,
        by=by,
        date=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        tlbench=__version__,
        environment=fingerprint(records[0].provenance),
        method_file=prepared.code,
        seeds="fresh" if prepared.fresh else "recorded",
        draw=prepared.draw,
        runs=runs,
        test=test,
    )


def check_maintainer(submission: Submission, method_file: str | None) -> None:
    """Hold the claim ``verified`` against its condition: from the method's file, where the method came from one.

    Raises:
        TlbenchError: If the file is missing.
    """
    if method_file is None and any(c.method.get("code") for c in submission.metadata.configurations):
        raise TlbenchError("--maintainer verifies from the method's file: name it with --method-file")


def _choice(suite: SuiteSpec, submission: Submission, chosen: Chosen, method_file: str | None) -> MethodChoice:
    """The method here under the configuration of a run."""
    wanted = chosen.record.method
    assert wanted is not None
    if method_file is None and wanted.code is not None:
        raise TlbenchError(f"{wanted.id} was run from a file: name it with --method-file")
    if method_file is not None and not method_file.partition(":")[0].endswith(".py"):
        raise TlbenchError(f"--method-file takes path/to/file.py[:Class], not {method_file!r}")
    learner = _learner_of(suite, submission, chosen)
    settings = {} if learner is None else {f"{LEARNER_PREFIX}{key}": value for key, value in learner.config.items()}
    choice = MethodChoice(method_file or wanted.id, {**wanted.config, **settings})
    entry = choice.entry()
    if entry.id != wanted.id:
        raise TlbenchError(f"{method_file} has the method {entry.id}; the submission is of {wanted.id}")
    if entry.code != wanted.code:
        if wanted.code is None:
            raise TlbenchError(f"{wanted.id} was not run from a file, but installed: leave --method-file out")
        raise TlbenchError(
            f"{method_file} is not the file that {wanted.id} was run from: its SHA-256 is "
            f"{(entry.code or 'none')[:12]}, the submission's {wanted.code[:12]}"
        )
    if entry.cls.version != wanted.version:
        raise TlbenchError(f"{wanted.id} is version {entry.cls.version} here, {wanted.version} in the submission")
    return choice.pinned()


def _learner_of(suite: SuiteSpec, submission: Submission, chosen: Chosen) -> Configured | None:
    """The learner as it was configured; a run that abstained shows its control's, so another one is asked."""
    record, frozen = chosen.record, suite.transfers[chosen.transfer].learner
    alike = (
        r
        for r in submission.runs()
        if r.config_hash == record.config_hash and not r.abstained
        if all(suite.transfers[name].learner == frozen for name in r.transfers)
    )
    return (next(alike, record) if record.abstained else record).learner


def _node(suite: SuiteSpec, method: MethodChoice, choice: Chosen, seed: int) -> tuple[RunNode, Plan]:
    """The run that is a chosen one again, with its own seed or another, and the plan of what it needs."""
    plan = make_plan(suite, method, (choice.transfer,), (seed,))
    record = choice.record
    shift = seed - record.seed if suite.transfers[choice.transfer].expert_seeds is None else 0
    expert_seed = None if record.expert_seed is None else record.expert_seed + shift
    found = next((n for n in plan.runs if (n.target, n.expert_seed) == (record.target, expert_seed)), None)
    if found is None:
        raise TlbenchError(f"{label(record)} is not in the plan that is made here: tlbench's version differs")
    knowledge = (found.knowledge,) if found.knowledge else ()
    experts = found.knowledge.experts if found.knowledge else ()
    return found, replace(plan, runs=(found,), controls=(), knowledge=knowledge, experts=experts, complete=False)


def _joined(plans: Sequence[Plan]) -> Plan:
    """One plan for runs whose knowledge is made by one configuration of the method."""
    return replace(
        plans[0],
        experts=tuple({node.key: node for plan in plans for node in plan.experts}.values()),
        knowledge=tuple({node.key: node for plan in plans for node in plan.knowledge}.values()),
        runs=tuple({node.key: node for plan in plans for node in plan.runs}.values()),
    )


def _difference(record: Record, method: MethodChoice) -> str:
    """Why a key differs, as far as can be told."""
    learner, stated = method.learner(), identity(record.learner)
    if learner is not None and stated is not None and not record.abstained:
        if learner.version != stated["version"]:
            return f"{learner.id} is version {learner.version} here, {stated['version']} in the submission"
        if learner_identity(learner, method.learner_settings()) != stated:
            return f"the configuration or file of {learner.id} is not the submission's"
    if method.identity() != identity(record.method):
        return f"the configuration of {method.entry().id} is not the submission's"
    return "its key differs, so tlbench, an expert's learner or the suite is not the submission's"
