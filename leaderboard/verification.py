"""A verification: what came out when runs of a submission were run again, as a document that a board keeps."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from tlbench.analysis.rerun_test import ALPHA
from tlbench.leaderboard import strictjson
from tlbench.leaderboard.submission import Digest, Identifier, Line, Part
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.specs import digest_of, first_error

MAX_DOCUMENT = 2**20
"""Most bytes of a document."""

Badge = Literal["self-reported", "reproduced", "verified"]
Kind = Literal["reproduced", "verified"]
Verdict = Literal["identical", "consistent", "different", "undecided"]
"""``undecided``: not identical, and too few runs for the test to tell."""

Integer = Annotated[int, Field(ge=0, le=2**53)]
Share = Annotated[float, Field(ge=0, le=1)]
Facts = Annotated[dict[Identifier, Line], Field(min_length=1, max_length=64)]


class CheckedRun(Part):
    """One run that was run again.

    Attributes:
        key: Its key; the re-run's own, where the seed is fresh.
        transfer: The transfer task that it was compared on.
        target: The target instance.
        seed: Its seed.
        expert_seed: Seed of its experts, if it has any.
        verdict: What came of it. Runs that are not identical share the test's verdict.
        same_environment: Whether the submission's run was made in the environment of the re-run; None: a fresh seed.
        recorded: AUC that the submission's run of this key has; None: a fresh seed.
        found: AUC of the re-run.
        statistic: Its distance from the submission's runs (``tlbench.analysis.rerun_test``); None: identical.
    """

    key: Digest
    transfer: Line
    target: Line
    seed: Integer
    expert_seed: Integer | None
    verdict: Verdict
    same_environment: bool | None
    recorded: float | None
    found: float
    statistic: Annotated[float, Field(ge=0)] | None


class PermutationTest(Part):
    """The permutation test of all runs that are not identical (``tlbench.analysis.rerun_test``).

    Attributes:
        statistic: Distance between re-runs and the submission's runs.
        p_value: Share of arrangements with a statistic at least as large.
        least_p_value: The least that it could have been; above 0.05, the test can't tell.
        arrangements: How many there are, or were drawn.
        exact: Whether all of them were gone through.
    """

    statistic: float = Field(ge=0)
    p_value: Share
    least_p_value: Share
    arrangements: int = Field(ge=1, le=2**53)
    exact: bool


class Verification(Part):
    """What came out when runs of a submission were run again.

    Attributes:
        submission: The submission's id.
        outcome: The worst of the runs' verdicts.
        kind: ``reproduced`` (someone ran it again) or ``verified`` (the leaderboard's maintainer did, from the method's
            file).
        by: Who ran it; published.
        date: UTC.
        tlbench: Version of tlbench.
        environment: Fingerprint of the environment of the re-runs: versions, processor features, device.
        method_file: SHA-256 of the file that the method was loaded from; None: it was installed.
        seeds: ``recorded``: the submission's own; ``fresh``: outside the suite's.
        draw: The number that the choice of runs, or the fresh seeds, follow from.
        runs: The runs.
        test: The test of those that are not identical, if one was made.
        digest: SHA-256 of all the rest.
    """

    schema_version: Literal[1] = 1
    submission: Digest
    outcome: Verdict
    kind: Kind
    by: Line
    date: str = Field(pattern=r"^\d{4}-\d\d-\d\d$")
    tlbench: Line
    environment: Facts
    method_file: Digest | None
    seeds: Literal["recorded", "fresh"]
    draw: Integer
    runs: list[CheckedRun] = Field(min_length=1, max_length=1000)
    test: PermutationTest | None
    digest: Digest

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if len({run.key for run in self.runs}) < len(self.runs):
            raise ValueError("a run is there twice")
        if self.outcome != worst(run.verdict for run in self.runs):
            raise ValueError("the outcome does not follow from the runs")
        if any((run.recorded is None) != (self.seeds == "fresh") for run in self.runs):
            raise ValueError("seeds are recorded or fresh, and its runs are of the other kind")
        passed = self.test is not None and self.test.least_p_value <= ALPHA < self.test.p_value
        if not passed and any(run.verdict == "consistent" for run in self.runs):
            raise ValueError("runs are called consistent without a test that says so")
        if self.digest != digest_of(self.model_dump(mode="json", exclude={"digest"})):
            raise ValueError("it was changed after it was written: its digest is wrong")
        return self

    @property
    def good(self) -> bool:
        """Whether it earns a badge."""
        return self.outcome in ("identical", "consistent")

    def to_bytes(self) -> bytes:
        """The document; equal documents have equal bytes."""
        return (json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The outcome of several runs: different, else undecided, else consistent, else identical."""
    found = set(verdicts)
    order: tuple[Verdict, ...] = ("different", "undecided", "consistent")
    return next((verdict for verdict in order if verdict in found), "identical")


def check_by(text: str) -> None:
    """Hold a name against what a document takes, before the work is done.

    Raises:
        TlbenchError: If it is no single line of at most 200 characters.
    """
    try:
        TypeAdapter(Line).validate_python(text)
    except ValidationError as error:
        raise TlbenchError(f"who verified it (--by): {strictjson.plain(first_error(error))}") from None


def sealed(**content: Any) -> Verification:
    """A document of this content with its digest.

    Raises:
        TlbenchError: If the content is not valid.
    """
    try:
        draft = Verification.model_construct(**content)
        digest = digest_of(draft.model_dump(mode="json", exclude={"digest"}, warnings=False))
        return Verification.model_validate({**content, "digest": digest})
    except ValidationError as error:
        raise TlbenchError(f"the verification is not valid: {strictjson.plain(first_error(error))}") from None


def parse_verification(text: bytes, origin: str = "the verification") -> Verification:
    """Parse a document from anywhere.

    Args:
        text: Its bytes.
        origin: Where it comes from, for messages.

    Raises:
        TlbenchError: If it is too large, not a document of this schema, contradicts itself or was changed.
    """
    content = strictjson.load(text, origin, MAX_DOCUMENT)
    try:
        return Verification.model_validate(content)
    except ValidationError as error:
        raise TlbenchError(f"{origin} is not valid: {strictjson.plain(first_error(error))}") from None


def badge(verifications: Sequence[Verification]) -> Badge:
    """The badge that verifications of one submission earn; different or undecided outcomes earn none."""
    kinds = {v.kind for v in verifications if v.good}
    return "verified" if "verified" in kinds else "reproduced" if kinds else "self-reported"
