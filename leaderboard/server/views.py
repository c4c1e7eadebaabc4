"""The JSON that clients get."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from pydantic import BaseModel

from tlbench.leaderboard.board import Board
from tlbench.leaderboard.entries import Entry, lines
from tlbench.leaderboard.server.intake import Taken
from tlbench.leaderboard.verification import Badge, badge
from tlbench.protocol.specs import SuiteSpec

API = "/api/v1"


class Problem(BaseModel):
    """Why a request was not done, in one line."""

    error: str


class HealthView(BaseModel):
    """Whether the server works."""

    status: str
    submissions: int
    site: str


class SuiteView(BaseModel):
    """A suite that is known."""

    id: str
    title: str
    digest: str
    seeds: int
    takes_submissions: bool


class SubmissionView(BaseModel):
    """A submission. Its scores are in the ranking."""

    id: str
    suite: str
    digest: str
    method: str
    version: str
    learner: str | None
    name: str
    contact: str
    url: str | None
    paper: str | None
    ruleset: str
    external_knowledge: str | None
    source_class: str
    seeds: int
    accepted: str
    reference: bool
    active: bool
    badge: Badge
    page: str
    bundle: str
    bundle_sha256: str


class TakenView(BaseModel):
    """What became of a submission; the same whenever it is sent again."""

    id: str
    suite: str
    method: str
    version: str
    name: str
    accepted: str
    snapshot: str
    url: str


class VerificationView(BaseModel):
    """What became of a verification; the same whenever it is sent again."""

    submission: str
    digest: str
    kind: str
    outcome: str
    url: str


def submission_url(entry_id: str) -> str:
    """Where a submission is described for programs."""
    return f"{API}/submissions/{entry_id}"


def page_url(entry: Entry) -> str:
    """A submission's page; a new one's appears with the next site."""
    return f"/{quote(entry.metadata.suite)}/submissions/{entry.short_id}.html"


def taken_view(taken: Taken) -> TakenView:
    """The answer to a submission."""
    data = taken.entry.metadata
    return TakenView(
        id=taken.entry.id,
        suite=data.suite,
        method=data.method,
        version=data.version,
        name=data.name,
        accepted=taken.entry.acceptance.accepted,
        snapshot=taken.snapshot,
        url=page_url(taken.entry),
    )


def suite_view(suite: SuiteSpec) -> SuiteView:
    """A suite."""
    return SuiteView(
        id=suite.id, title=suite.title, digest=suite.digest, seeds=suite.seeds, takes_submissions=suite.submittable
    )


def submission_views(board: Board, entries: Iterable[Entry], wanted: Iterable[Entry]) -> list[SubmissionView]:
    """Submissions; all entries are needed to tell which are active."""
    active = {line.active.id for line in lines(entries)}
    shared = ("suite", "digest", "method", "version", "learner", "name", "contact", "url", "paper", "ruleset")
    more = (*shared, "external_knowledge", "source_class", "seeds")
    return [
        SubmissionView(
            id=entry.id,
            accepted=entry.acceptance.accepted,
            reference=entry.reference,
            active=entry.id in active,
            badge=badge(board.verifications(entry)),
            page=page_url(entry),
            bundle=f"{submission_url(entry.id)}/bundle",
            bundle_sha256=entry.acceptance.bundle_sha256,
            **{name: getattr(entry.metadata, name) for name in more},
        )
        for entry in wanted
    ]
