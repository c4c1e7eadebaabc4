"""A submission's results as they are kept between builds, and their files: checksummed, nothing pickled."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from tlbench.analysis.bootstrap import Bootstrap, Interval
from tlbench.analysis.results import GainSummary, SuiteResult, Summary, TaskResult
from tlbench.analysis.statistics import Aggregates
from tlbench.leaderboard.controls import ReferenceControls
from tlbench.leaderboard.entries import Entry
from tlbench.leaderboard.ranking import RANK_REPETITIONS, Standing, analyse
from tlbench.leaderboard.site.drawn import drawn_curves
from tlbench.leaderboard.site.facts import Facts, facts_of
from tlbench.leaderboard.submission import Submission
from tlbench.protocol.specs import SuiteSpec

_INTERVAL = {"estimate", "low", "high"}
_DIGITS = 64


@dataclass(frozen=True, eq=False)
class Analysed:
    """A submission's results.

    Attributes:
        standing: What it is ranked by; its curves are left out.
        facts: How it was run.
        digest: SHA-256 of all of it.
        more: Its transfer tasks and curves as JSON, read only where a page is made of them.
    """

    standing: Standing
    facts: Facts
    digest: str
    more: bytes

    @cached_property
    def details(self) -> Mapping[str, Any]:
        """``tasks``: a result per transfer task; ``curves``: what is drawn, by transfer task."""
        content = _loads(self.more)
        tasks = [TaskResult(**{**task, "notes": tuple(task["notes"])}) for task in content["tasks"]]
        return {"tasks": tasks, "curves": content["curves"]}


def analyse_fully(
    suite: SuiteSpec,
    entry: Entry,
    submission: Submission,
    reference: ReferenceControls | None,
    bootstrap: Bootstrap,
    bands: Bootstrap,
) -> bytes:
    """Compute a submission's results, as the content of a file.

    Args:
        suite: Its suite.
        entry: Its entry.
        submission: The submission.
        reference: The leaderboard's controls of its learner.
        bootstrap: Source of resamples.
        bands: Source of resamples for bands of curves.
    """
    standing = analyse(suite, entry, submission, reference, bootstrap)
    summary, result = standing.summary, replace(standing.result, profile=None)
    head = {
        "result": dataclasses.asdict(result),
        "bootstrap": [summary.repetitions, summary.seed, summary.confidence],
        "own_controls": standing.own_controls,
        "flags": standing.flags,
        "facts": dataclasses.asdict(facts_of(submission)),
    }
    more = {
        "tasks": [dataclasses.asdict(task) for task in summary.tasks],
        "curves": drawn_curves(standing.curves, bands),
    }
    parts = [json.dumps(head).encode(), json.dumps(more).encode(), standing.scores.astype("<f8").tobytes()]
    content = b"\n".join(parts)
    return hashlib.sha256(content).hexdigest().encode() + b"\n" + content


def parse(data: bytes | None, entry: Entry) -> Analysed | None:
    """The results of an entry from a file's content; none where it is missing or damaged."""
    if data is None:
        return None
    digest, content = data[:_DIGITS].decode("ascii", "replace"), data[_DIGITS + 1 :]
    if hashlib.sha256(content).hexdigest() != digest:
        return None
    first, more, scores = content.split(b"\n", 2)
    head = _loads(first)
    repetitions, seed, confidence = head["bootstrap"]
    facts: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in head["facts"].items()}
    summary = Summary((), (_result(head["result"]),), repetitions, seed, confidence)
    replicates = np.frombuffer(scores, dtype="<f8").astype(np.float64)
    if replicates.shape != (RANK_REPETITIONS,):
        return None
    standing = Standing(entry, summary, (), replicates, head["own_controls"], tuple(head["flags"]))
    return Analysed(standing, Facts(**facts), digest, more)


def _result(content: dict[str, Any]) -> SuiteResult:
    content = {k: tuple(v) if isinstance(v, list) else v for k, v in content.items()}
    gain, pooled, control = (content[name] for name in ("gain", "pooled", "control_pooled"))
    content["gain"] = None if gain is None else GainSummary(**gain)
    content["pooled"] = None if pooled is None else Aggregates(**pooled)
    content["control_pooled"] = None if control is None else Aggregates(**control)
    return SuiteResult(**content)


def _loads(text: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text, object_hook=_interval)
    return found


def _interval(content: dict[str, Any]) -> Any:
    return Interval(**content) if content.keys() == _INTERVAL else content
