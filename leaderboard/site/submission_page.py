"""A submission's page and the data that the browser draws from."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tlbench.analysis.page.build import minus
from tlbench.analysis.page.definitions import NOTES, TASKS
from tlbench.analysis.results import Summary, TaskResult
from tlbench.analysis.tables import cells
from tlbench.leaderboard import citation
from tlbench.leaderboard.entries import Entry, Line
from tlbench.leaderboard.ranking import Row, Track
from tlbench.leaderboard.site.analysed import Analysed
from tlbench.leaderboard.site.pages import render
from tlbench.leaderboard.site.rows import COLUMNS, Shown
from tlbench.leaderboard.site.text import script_json
from tlbench.leaderboard.verification import Verification, badge
from tlbench.protocol.specs import SuiteSpec

MEASURES = ("score", "transfer_gain", "self_gain", "jumpstart", "speed_up")
"""What the comparison draws intervals of."""


@dataclass(frozen=True, eq=False)
class Subject:
    """What a submission's page is made from.

    Attributes:
        suite: Its suite.
        entry: Its entry.
        line: The submissions of its method and version.
        analysed: Its results.
        verifications: What came out when it was run again.
        snapshot: Digest of the first state of the board that shows these results.
        bundle: Size of its bundle in bytes.
    """

    suite: SuiteSpec
    entry: Entry
    line: Line
    analysed: Analysed
    verifications: Sequence[Verification]
    snapshot: str
    bundle: int

    @property
    def inputs(self) -> list[Any]:
        """What its page depends on, besides the code."""
        others = [e.id for e in (*self.line.earlier, self.line.active)]
        verified = [v.digest for v in self.verifications]
        return [
            self.suite.digest,
            self.entry.acceptance.accepted,
            self.analysed.digest,
            others,
            verified,
            self.snapshot,
        ]

    @property
    def shown(self) -> Shown:
        """Its row."""
        earlier = len(self.line.earlier) if self.line.active.id == self.entry.id else 0
        return Shown(Row(self.analysed.standing, None, earlier), self.analysed.facts, badge(self.verifications))


def page(subject: Subject) -> str:
    """The page as HTML."""
    entry, result = subject.entry, subject.analysed.standing.result
    tasks: list[TaskResult] = subject.analysed.details["tasks"]
    header, rows = cells(Summary(tuple(tasks), (), 0, 0, 0.95), "tasks")
    wanted = [(i, name) for i, name in enumerate(header) if name != "method"]
    cite = (entry, result, subject.snapshot)
    configurations = [
        {
            "hash": c.config_hash,
            "method": json.dumps(c.method, indent=2, sort_keys=True, ensure_ascii=True),
            "learners": [json.dumps(x, indent=2, sort_keys=True, ensure_ascii=True) for x in c.learners],
        }
        for c in entry.metadata.configurations
    ]
    return render(
        "submission.html.j2",
        root="../../",
        suite=subject.suite,
        entry=entry,
        metadata=entry.metadata,
        track=Track.of(entry.metadata),
        shown=subject.shown,
        facts=subject.analysed.facts,
        own_controls=subject.analysed.standing.own_controls,
        result=result,
        definitions=COLUMNS,
        task_definitions={name: TASKS[name] for _, name in wanted},
        note_definitions=NOTES,
        header=[name for _, name in wanted],
        rows=[[minus(row[i]) for i, _ in wanted] for row in rows],
        task_names=[task.task for task in tasks],
        task_notes=[(task.task, note) for task in tasks for note in task.notes],
        active=subject.line.active,
        others=[e for e in (*subject.line.earlier, subject.line.active) if e.id != entry.id],
        verifications=subject.verifications,
        snapshot=subject.snapshot,
        bundle=subject.bundle,
        citations={
            "One line": citation.score_line(*cite),
            "BibTeX": citation.submission_bibtex(*cite).rstrip(),
            "APA": citation.submission_apa(*cite),
        },
        configurations=configurations,
    )


def data(subject: Subject) -> str:
    """The data as a script: a page from a disk can load that, and nothing else."""
    metadata, result = subject.entry.metadata, subject.analysed.standing.result
    values = dict(vars(result)) | (vars(result.gain) if result.gain else {})
    details = subject.analysed.details
    content = {
        "name": metadata.name,
        "method": f"{metadata.method} {metadata.version}",
        "learner": metadata.learner or "none",
        "scratch": subject.entry.is_control,
        "values": {name: _triple(values.get(name)) for name in MEASURES},
        "negative": result.gain.negative_transfer if result.gain else None,
        "tasks": [_task(task, details["curves"]) for task in details["tasks"]],
    }
    return f'tlbench.receive("{subject.entry.short_id}",{script_json(content)});\n'


def _task(task: TaskResult, curves: Mapping[str, Any]) -> dict[str, Any]:
    about = {"name": task.task, "relation": task.relation, "scored": task.scored}
    values = {name: _triple(getattr(task, name)) for name in ("score", "transfer_gain")}
    drawn: dict[str, Any] = curves[task.task]
    return about | values | drawn


def _triple(value: Any) -> list[Any] | None:
    return None if value is None else list(dataclasses.astuple(value))
