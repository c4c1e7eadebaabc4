"""Decides whether a submission is taken: complete, within budget, of a known suite, untampered, consistent.

Every refusal is a :class:`TlbenchError` of one line. What the metadata says of the records is recomputed; scores are
not part of a submission.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from tlbench.leaderboard import keys
from tlbench.leaderboard.record_checks import check_record, label
from tlbench.leaderboard.submission import (
    Counts,
    Metadata,
    SourceClass,
    Submission,
    configurations,
    records_digest,
)
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.records import CONTROL_PREFIX, Record
from tlbench.protocol.specs import EXTRACTION_ALLOWANCE, SuiteSpec

EXPERT_SEED_STRIDE = 1000

Cell = tuple[str, str, int, int | None]
"""(transfer task, target instance, seed, crossed expert seed or none)."""


def validate(submission: Submission, suites: Mapping[str, SuiteSpec]) -> SuiteSpec:
    """Check a submission; nothing is written.

    Args:
        submission: As read from a bundle, or just built.
        suites: The suites that are known, by id.

    Returns:
        Its suite.

    Raises:
        TlbenchError: If it is refused; one line says why.
    """
    suite = _suite_of(submission, suites)
    runs, experts = submission.runs(), {r.key: r for r in submission.experts()}
    _check_unique(submission.records)
    for record in submission.records:
        check_record(record, suite)
    by_key = {r.key: r for r in submission.records if r.kind == "run"}
    _check_one_method(submission.metadata, runs)
    _check_complete(suite, runs)
    _check_controls(runs, by_key)
    _check_controls(submission.controls(), by_key)
    for run in (*runs, *submission.controls()):
        _check_experts(run, experts)
    _check_nothing_else(submission, runs)
    _check_ruleset(submission.metadata, suite, runs)
    _check_keys(submission.records, suite)
    _check_metadata(submission, suite, runs)
    return suite


def source_class(suite: SuiteSpec, runs: Iterable[Record]) -> SourceClass:
    """``multi-expert`` where any run's source steps exceed 1.25 times the budget of its sources."""
    for run in runs:
        budget = sum(suite.tasks[name].schedule("source").budget for name in run.sources)
        if run.steps.source + run.steps.extraction > (1 + EXTRACTION_ALLOWANCE) * budget:
            return "multi-expert"
    return "standard"


def cells_of(record: Record, suite: SuiteSpec) -> list[Cell]:
    """The cells that a run fills."""
    return [
        (name, record.target, record.seed, record.expert_seed if suite.transfers[name].expert_seeds else None)
        for name in record.transfers
    ]


def _suite_of(submission: Submission, suites: Mapping[str, SuiteSpec]) -> SuiteSpec:
    metadata, records = submission.metadata, submission.records
    if metadata.suite.endswith("-quick") or any(not r.submittable for r in records):
        raise TlbenchError("these are quick records: a picture, not a result; run `tlbench evaluate` without --quick")
    suite = suites.get(metadata.suite)
    if suite is None:
        known = ", ".join(suites) or "none"
        raise TlbenchError(f"the suite {metadata.suite!a} is not known here; known: {known}")
    if not suite.submittable:
        raise TlbenchError(f"the suite {suite.id} takes no submissions")
    if metadata.digest != suite.digest:
        raise TlbenchError(
            f"made with another {suite.id}: its digest is {metadata.digest[:12]}, here it is {suite.digest[:12]}"
        )
    foreign = next((r for r in records if r.digest != suite.digest or r.suite != suite.id), None)
    if foreign is not None:
        raise TlbenchError(f"{label(foreign)!a} was made on another suite or digest than {suite.id}'s")
    return suite


def _check_unique(records: Sequence[Record]) -> None:
    key, count = Counter(r.key for r in records).most_common(1)[0] if records else ("", 0)
    if count > 1:
        twice = next(r for r in records if r.key == key)
        raise TlbenchError(f"{label(twice)!a} is there {count} times: records are duplicated")


def _check_one_method(metadata: Metadata, runs: Sequence[Record]) -> None:
    if not runs:
        raise TlbenchError(f"there are no runs of {metadata.method} in the records")
    kinds = {
        (r.method.id, r.method.version, r.method.code, r.learner.id if r.learner else None)
        for r in runs
        if r.method is not None
    }
    if len(kinds) > 1:
        raise TlbenchError(f"the runs of {metadata.method} are of several versions, files or learners: send one")


def _check_complete(suite: SuiteSpec, runs: Sequence[Record]) -> None:
    filled = Counter(cell for run in runs for cell in cells_of(run, suite))
    twice = next((cell for cell, count in filled.items() if count > 1), None)
    if twice is not None:
        raise TlbenchError(f"{_cell_label(twice)} was run {filled[twice]} times: runs are duplicated")
    with_knowledge = any(run.knowledge_key is not None for run in runs)
    expected = [
        (name, target, seed, expert)
        for name, spec in suite.transfers.items()
        for target in spec.targets
        for seed in range(suite.seeds)
        for expert in ((spec.expert_seeds or (None,)) if with_knowledge else (None,))
    ]
    missing = [cell for cell in expected if cell not in filled]
    if missing:
        raise TlbenchError(
            f"incomplete: {len(missing)} of {len(expected)} runs of {suite.id} are missing, the first is "
            f"{_cell_label(missing[0])}; `tlbench evaluate` runs what is missing"
        )
    if len(filled) > len(expected):
        extra = next(cell for cell in filled if cell not in set(expected))
        raise TlbenchError(f"{_cell_label(extra)} is not part of {suite.id}")


def _cell_label(cell: Cell) -> str:
    transfer, target, seed, expert = cell
    return f"{transfer} ({target}), seed {seed}" + ("" if expert is None else f", expert seed {expert}")


def _check_controls(runs: Iterable[Record], by_key: Mapping[str, Record]) -> None:
    for run in runs:
        control = by_key.get(run.control_key or "")
        if control is None:
            raise TlbenchError(f"the control of {label(run)!a} is missing")
        if control.key == run.key:
            continue  # its own control: learning from scratch, or a method without one
        if not (_from_scratch(control, run) or _without_knowledge(control, run)):
            raise TlbenchError(
                f"the control of {label(run)!a} is not its learner from scratch, nor the method without knowledge"
            )
        fits = (control.target, control.seed) == (run.target, run.seed) and set(run.transfers) <= set(control.transfers)
        if not fits or control.knowledge_key is not None or control.control_key != control.key:
            raise TlbenchError(f"the control of {label(run)!a} is of another target, seed or transfer task")


def _from_scratch(control: Record, run: Record) -> bool:
    """Whether the control is the run's learner from scratch."""
    ours, other = run.learner, control.learner
    if ours is None or other is None or control.method is None:
        return False
    same = (other.id, other.version, other.code) == (ours.id, ours.version, ours.code)
    return same and control.method.id == f"{CONTROL_PREFIX}{ours.id}"


def _without_knowledge(control: Record, run: Record) -> bool:
    """Whether the control is the run's method itself, as it was configured, without knowledge."""
    same = (control.method, control.learner, control.config_hash) == (run.method, run.learner, run.config_hash)
    return same and control.knowledge_key is None


def _check_experts(run: Record, experts: Mapping[str, Record]) -> None:
    found = []
    for used in run.experts:
        expert = experts.get(used.key)
        if expert is None:
            raise TlbenchError(
                f"an expert of {label(run)!a} is missing: {used.task[:80]!a}; a submission holds all experts' records "
                "(bring back experts/*.json, or evaluate again with another --out)"
            )
        if expert.target != used.task or used.task not in run.sources:
            raise TlbenchError(f"an expert of {label(run)!a} was trained on another task than it says")
        if expert.diagnostics.get("mean_return") != used.mean_return:
            raise TlbenchError(f"an expert of {label(run)!a} reached another return than it says")
        several = len(run.experts) > len(run.sources)  # of the class multi-expert: may be of another learner
        if run.learner is None or expert.learner is None or (expert.learner.id != run.learner.id and not several):
            raise TlbenchError(f"an expert of {label(run)!a} is of another learner")
        number, rest = divmod(expert.seed - (run.expert_seed or 0), EXPERT_SEED_STRIDE)
        if rest or not 0 <= number < len(run.experts):
            raise TlbenchError(f"an expert of {label(run)!a} has a seed that is not the run's")
        found.append(expert)
    if found and (
        sorted(set(run.sources)) != sorted({e.target for e in found}) or len({e.key for e in found}) < len(found)
    ):
        raise TlbenchError(f"{label(run)!a} has not one set of experts for each of its sources")
    if found and run.steps.source != sum(e.steps.source for e in found):
        raise TlbenchError(f"budget violated: {label(run)!a} states other source steps than its experts took")
    if run.knowledge_key is None and run.steps.source:
        raise TlbenchError(f"budget violated: {label(run)!a} took source steps without knowledge")


def _check_nothing_else(submission: Submission, runs: Sequence[Record]) -> None:
    controls = submission.controls()
    wanted = {run.control_key for run in runs} | {used.key for run in (*runs, *controls) for used in run.experts}
    extra = [r for r in (*controls, *submission.experts()) if r.key not in wanted]
    if extra:
        raise TlbenchError(f"{len(extra)} records belong to no run of the method, such as {label(extra[0])!a}")


def _check_ruleset(metadata: Metadata, suite: SuiteSpec, runs: Sequence[Record]) -> None:
    if metadata.ruleset == "fixed" and len({run.config_hash for run in runs}) > 1:
        raise TlbenchError(
            "the ruleset fixed takes one configuration for the whole suite, these are several: "
            "send one (--config), or use --ruleset tuned"
        )
    for name in suite.transfers:
        if len({run.config_hash for run in runs if name in run.transfers}) > 1:
            raise TlbenchError(f"the ruleset tuned takes one configuration per transfer task; {name} has several")


def _check_keys(records: Sequence[Record], suite: SuiteSpec) -> None:
    by_key = {record.key: record for record in records}
    for record in records:
        key = keys.key_of(record, suite)
        if key is not None and key != record.key:
            raise TlbenchError(f"{label(record)!a} was changed: its key does not follow from what it states")
        if record.kind == "expert":
            continue
        knowledge = keys.knowledge_key_of(record, suite, by_key)
        if knowledge is not None and knowledge != record.knowledge_key:
            raise TlbenchError(f"{label(record)!a} was changed: its knowledge key does not follow from its experts")
        config = keys.config_hash_of(record, suite)
        if config is not None and config != record.config_hash:
            raise TlbenchError(f"{label(record)!a} was changed: its configuration hash is not that of its settings")


def _check_metadata(submission: Submission, suite: SuiteSpec, runs: Sequence[Record]) -> None:
    stated, first = submission.metadata, runs[0]
    assert first.method is not None
    derived = {
        "version": first.method.version,
        "learner": first.learner.id if first.learner else None,
        "source_class": source_class(suite, runs),
        "seeds": suite.seeds,
        "configurations": configurations(runs),
        "records": counts(submission),
        "records_digest": records_digest(submission.records),
    }
    for name, value in derived.items():
        if getattr(stated, name) != value:
            raise TlbenchError(f"submission.json is wrong about its records: {name} does not follow from them")


def counts(submission: Submission) -> Counts:
    """How many records of each role a submission has."""
    runs, controls, experts = submission.runs(), submission.controls(), submission.experts()
    return Counts(method=len(runs), control=len(controls), expert=len(experts))
