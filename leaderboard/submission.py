"""A submission: a method's records on one suite with its controls' and experts', and who stands behind them."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from tlbench.leaderboard import archive, strictjson, table
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.records import Configured, Record, own_controls
from tlbench.protocol.specs import canonical_json, digest_of, first_error

Ruleset = Literal["fixed", "tuned"]
SourceClass = Literal["standard", "multi-expert"]


def _line(text: str) -> str:
    if text != text.strip() or not text:
        raise ValueError("must not be empty, or begin or end with a space")
    if any(unicodedata.category(c)[0] == "C" or unicodedata.category(c) in ("Zl", "Zp") for c in text):
        raise ValueError("must be one line without control or invisible characters")
    return text


def _link(text: str) -> str:
    if not text.startswith(("https://", "http://")) or any(c in text for c in " <>\"'`\\"):
        raise ValueError("must be a link that begins with https:// or http://")
    return text


Line = Annotated[str, Field(max_length=200), AfterValidator(_line)]
Link = Annotated[str, Field(max_length=500), AfterValidator(_line), AfterValidator(_link)]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$", max_length=80)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Part(BaseModel):
    """Base of all parts of ``submission.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


class Configuration(Part):
    """One configuration that the method was run under."""

    config_hash: Digest
    method: dict[str, Any]
    learners: list[dict[str, Any]] = Field(description="The learner's configurations on the targets; none: no learner.")


class Counts(Part):
    """How many records of each role there are."""

    method: int = Field(ge=0)
    control: int = Field(ge=0)
    expert: int = Field(ge=0)


class Metadata(Part):
    """``submission.json``. What follows from the records is stated too, and held against them; there are no scores."""

    schema_version: Literal[1] = 1
    suite: Line
    digest: Digest
    method: Identifier
    version: Identifier
    learner: Identifier | None
    name: Line = Field(description="The method's name as it is shown.")
    contact: Line = Field(description="Who answers for it; published.")
    url: Link | None = None
    paper: Line | None = None
    ruleset: Ruleset = "fixed"
    external_knowledge: Line | None = Field(default=None, description="What was used beyond the sources, in words.")
    source_class: SourceClass
    seeds: int = Field(ge=1)
    configurations: list[Configuration] = Field(min_length=1)
    records: Counts
    records_digest: Digest


@dataclass(frozen=True)
class Submission:
    """A submission in memory.

    Attributes:
        metadata: ``submission.json``.
        records: All records, in the bundle's order.
    """

    metadata: Metadata
    records: tuple[Record, ...]

    @cached_property
    def id(self) -> str:
        """SHA-256 of the content; the same records and metadata have the same id, however they are packed."""
        return digest_of({"submission": self.metadata.model_dump(mode="json")})

    @property
    def hashes(self) -> set[str]:
        """Configuration hashes of the method's runs."""
        return {c.config_hash for c in self.metadata.configurations}

    def runs(self) -> list[Record]:
        """The method's own runs."""
        return [r for r in self.records if self._is_run(r)]

    def controls(self) -> list[Record]:
        """The controls' runs that are not the method's own."""
        return [r for r in self.records if r.kind == "run" and not self._is_run(r)]

    def experts(self) -> list[Record]:
        """The experts' training."""
        return [r for r in self.records if r.kind == "expert"]

    @cached_property
    def _own(self) -> set[str]:
        return own_controls(self.records)

    def _is_run(self, record: Record) -> bool:
        ours = record.method is not None and record.method.id == self.metadata.method
        return record.kind == "run" and ours and record.config_hash in self.hashes and record.key not in self._own

    def to_bytes(self) -> bytes:
        """The bundle.

        Raises:
            TlbenchError: If it would be larger than what a leaderboard takes.
        """
        text = self.metadata_text().encode()
        members = {archive.METADATA: text, archive.TABLE: table.write_table(self.records)}
        for name, content in members.items():
            if len(content) > archive.MAX_MEMBER[name]:
                raise TlbenchError(f"the bundle's {name} would be too large: {len(content):,} bytes")
        data = archive.pack(members)
        if len(data) > archive.MAX_BUNDLE:
            raise TlbenchError(f"the bundle would be too large: {len(data):,} bytes")
        return data

    def metadata_text(self) -> str:
        """``submission.json`` as it is sent."""
        import json

        return json.dumps(self.metadata.model_dump(mode="json"), indent=1, sort_keys=True, allow_nan=False) + "\n"


def read(data: bytes, *, trusted: bool = False) -> Submission:
    """A submission from a bundle's bytes: hard limits, strict types, checksums. It is not yet validated.

    Args:
        data: The bundle.
        trusted: It is known, byte for byte, to be one that was read and accepted before: checksums of records, most of
            the time that reading takes, are left out.

    Raises:
        TlbenchError: If the bundle is damaged, unsafe, or was changed.
    """
    members = archive.unpack(data)
    metadata = parse_metadata(members[archive.METADATA])
    records = table.read_table(members[archive.TABLE], verify=not trusted)
    if not trusted and records_digest(records) != metadata.records_digest:
        raise TlbenchError("the records were changed after they were bundled: their digest is wrong")
    return Submission(metadata, in_order(records))


def read_metadata(data: bytes) -> Metadata:
    """Only the metadata of a bundle, quickly."""
    return parse_metadata(archive.unpack(data)[archive.METADATA])


def parse_metadata(text: bytes) -> Metadata:
    """Parse ``submission.json``.

    Raises:
        TlbenchError: If it is not valid.
    """
    content = strictjson.load(text, archive.METADATA, archive.MAX_MEMBER[archive.METADATA])
    try:
        return Metadata.model_validate(content)
    except ValidationError as error:
        raise TlbenchError(f"{archive.METADATA} is not valid: {strictjson.plain(first_error(error))}") from None


def in_order(records: Iterable[Record]) -> tuple[Record, ...]:
    """Records in a bundle's order: runs before experts, then by key."""
    return tuple(sorted(records, key=lambda r: (r.kind == "expert", r.key, canonical_json(r.seed))))


def records_digest(records: Iterable[Record]) -> str:
    """SHA-256 over all records, provenance included, in any order."""
    texts = (canonical_json(record.model_dump(mode="json")) for record in records)
    return digest_of(sorted(hashlib.sha256(text.encode()).hexdigest() for text in texts))


def configurations(runs: Sequence[Record]) -> list[Configuration]:
    """The configurations of a method's runs."""
    found: dict[str, tuple[dict[str, Any], dict[str, dict[str, Any]]]] = {}
    for run in runs:
        _, learners = found.setdefault(run.config_hash, (identity(run.method) or {}, {}))
        learner = identity(run.learner)
        if learner is not None:
            learners[canonical_json(learner)] = learner
    return [
        Configuration(config_hash=key, method=method, learners=[learners[text] for text in sorted(learners)])
        for key, (method, learners) in sorted(found.items())
    ]


def identity(configured: Configured | None) -> dict[str, Any] | None:
    """What a method or learner is, as keys are made of it."""
    if configured is None:
        return None
    dump = configured.model_dump(mode="json")
    return dump if dump["code"] else {key: value for key, value in dump.items() if key != "code"}
