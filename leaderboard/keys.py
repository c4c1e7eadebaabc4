"""Recomputes the keys of records from what they state: a record's key is the hash of what it depends on.

The formulas are those of ``tlbench.execution.plan``; a test holds both against each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tlbench.leaderboard.submission import identity
from tlbench.protocol.records import CONTROL_PREFIX, Record
from tlbench.protocol.specs import SuiteSpec, digest_of

PROTOCOL = 1


def key_of(record: Record, suite: SuiteSpec) -> str | None:
    """The key that a record must have, or ``None`` where it can't be recomputed.

    Where a method abstained, the record shows the control's settings, not those in its key.
    """
    if record.kind == "expert":
        return digest_of(
            {
                "node": "expert",
                "protocol": PROTOCOL,
                "source": suite.tasks[record.target].identity("source"),
                "learner": identity(record.learner),
                "seed": record.seed,
            }
        )
    if record.abstained:
        return None
    content: dict[str, Any] = {
        "node": "run",
        "protocol": PROTOCOL,
        "target": suite.tasks[record.target].identity("target"),
        "learner": identity(record.learner),
        "knowledge": record.knowledge_key,
        "seed": record.seed,
    }
    assert record.method is not None
    if record.knowledge_key is not None or not record.method.id.startswith(CONTROL_PREFIX):
        content["method"] = identity(record.method)
    return digest_of(content)


def knowledge_key_of(record: Record, suite: SuiteSpec, others: Mapping[str, Record]) -> str | None:
    """The key of the knowledge behind a run, or ``None`` where it can't be recomputed.

    Args:
        record: The run.
        suite: Its suite.
        others: All records by key. Knowledge depends on the learner's default configuration, which an expert shows, or
            a control on which the suite has no settings.
    """
    if record.knowledge_key is None:
        return None
    learner = None
    if record.learner is not None:
        shown = others[record.experts[0].key if record.experts else record.control_key or ""]
        if shown.learner is None or shown.learner.id != record.learner.id:  # experts of another learner
            shown = others[record.control_key or ""]
        if shown.kind != "expert" and (shown.key == record.key or _overridden(shown, suite)):
            return None
        learner = identity(shown.learner)
    return digest_of(
        {
            "node": "knowledge",
            "protocol": PROTOCOL,
            "experts": [used.key for used in record.experts],
            "sources": [suite.tasks[task].identity("source") for task in record.sources],
            "method": identity(record.method),
            "learner": learner,
            "seed": record.expert_seed,
        }
    )


def _overridden(record: Record, suite: SuiteSpec) -> bool:
    """Whether the suite's own learner settings are in a run's configuration."""
    name = record.learner.id if record.learner else ""
    return any(suite.transfers[transfer].learner.get(name) for transfer in record.transfers)


def config_hash_of(record: Record, suite: SuiteSpec) -> str | None:
    """The configuration hash of a run, or ``None`` where the suite's own learner settings are in the record."""
    if record.abstained or _overridden(record, suite):
        return None
    return digest_of({"method": identity(record.method), "learner": identity(record.learner)})
