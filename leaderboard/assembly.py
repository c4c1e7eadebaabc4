"""Builds a submission from the records of an evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import ValidationError

from tlbench.leaderboard import strictjson
from tlbench.leaderboard.submission import (
    Counts,
    Metadata,
    Submission,
    configurations,
    identity,
    in_order,
    records_digest,
)
from tlbench.leaderboard.validation import source_class, validate
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.records import Record, own_controls
from tlbench.protocol.specs import SuiteSpec, first_error


def assemble(
    suite: SuiteSpec,
    records: Iterable[Record],
    experts: Iterable[Record],
    *,
    method: str,
    about: dict[str, Any],
    configs: Sequence[str] = (),
) -> Submission:
    """Pick a method's runs with their controls and experts, and validate them.

    Args:
        suite: The suite.
        records: All runs of an evaluation's folder.
        experts: All records of experts' training.
        method: The method's id.
        about: ``name``, ``contact`` and what else of the metadata does not follow from the records.
        configs: Starts of the configuration hashes wanted, where there are several.

    Raises:
        TlbenchError: If there is nothing to choose from or too much, or the submission would be refused.
    """
    if not suite.submittable:
        raise TlbenchError("these are quick records: a picture, not a result; run `tlbench evaluate` without --quick")
    by_key = {r.key: r for r in records}
    runs = _choose(by_key.values(), method, configs, about.get("ruleset", "fixed"))
    controls = [by_key[k] for k in {r.control_key or "" for r in runs} - {r.key for r in runs} if k in by_key]
    used = {e.key for run in runs for e in run.experts}
    chosen = in_order([*runs, *controls, *(e for e in experts if e.key in used)])
    first = runs[0]
    assert first.method is not None
    try:
        metadata = Metadata(
            suite=suite.id,
            digest=suite.digest,
            method=method,
            version=first.method.version,
            learner=first.learner.id if first.learner else None,
            source_class=source_class(suite, [r for r in runs if set(r.sources) <= set(suite.tasks)]),
            seeds=suite.seeds,
            configurations=configurations(runs),
            records=Counts(method=len(runs), control=len(controls), expert=len(chosen) - len(runs) - len(controls)),
            records_digest=records_digest(chosen),
            **about,
        )
    except ValidationError as error:
        raise TlbenchError(f"this can't be submitted: {strictjson.plain(first_error(error))}") from None
    submission = Submission(metadata, chosen)
    validate(submission, {suite.id: suite})
    return submission


def _choose(records: Iterable[Record], method: str, configs: Sequence[str], ruleset: str) -> list[Record]:
    runs = [r for r in records if r.kind == "run" and r.method is not None and r.method.id == method]
    if not runs:
        present = sorted({r.method.id for r in records if r.method is not None})
        raise TlbenchError(f"there are no runs of {method!r} here; there are: {', '.join(present) or 'none'}")
    hashes = sorted({r.config_hash for r in runs})
    for start in configs:
        if sum(h.startswith(start) for h in hashes) != 1:
            raise TlbenchError(
                f"--config {start} fits no or several configurations; there are: {_listed(runs, hashes)}"
            )
    wanted = [h for h in hashes if not configs or h.startswith(tuple(configs))]
    if ruleset == "fixed" and len(wanted) > 1:
        raise TlbenchError(
            f"{method} was run under several configurations: choose one with --config (the start of its hash), or "
            f"--ruleset tuned if each transfer task has one: {_listed(runs, wanted)}"
        )
    skipped = own_controls(runs)
    chosen = [r for r in runs if r.config_hash in wanted and r.key not in skipped]
    if not chosen:
        raise TlbenchError(f"of {method!r} there are only the controls of its runs here: its own runs are missing")
    return chosen


def _listed(runs: Sequence[Record], hashes: Sequence[str]) -> str:
    """The configurations in one line: each by its hash, its runs, and the settings that tell them apart."""
    found = {h: [r for r in runs if r.config_hash == h] for h in hashes}
    settings = {h: _settings(records[0]) for h, records in found.items()}
    apart = [
        k
        for k in sorted({k for s in settings.values() for k in s})
        if len({str(s.get(k)) for s in settings.values()}) > 1
    ]

    def one(config_hash: str) -> str:
        own = settings[config_hash]
        told = "".join(f", {k}={own[k]}" for k in apart if k in own)
        return f"{config_hash[:8]} ({len(found[config_hash])} runs{told})"

    return "; ".join(one(h) for h in hashes)[:1000]


def _settings(record: Record) -> dict[str, Any]:
    method, learner = identity(record.method) or {"version": "", "config": {}}, identity(record.learner)
    settings = {"version": method["version"], **method["config"]}
    return settings | {f"learner.{k}": v for k, v in (learner["config"] if learner else {}).items()}
