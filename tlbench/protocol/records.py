"""Records: the stored outcome of one run, as strict JSON with a checksum."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.specs import digest_of, first_error

IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,79}")
"""What the id of a method or a learner, and their versions, match: they name files and rows."""
CONTROL_ARM = {"arm": "control"}
"""What the diagnostics of a method's run without knowledge say, where it is the control of its runs with it."""
CONTROL_PREFIX = "scratch-"
"""With a learner's id, the id of its control: learning from scratch. No other method may be called so."""


class Part(BaseModel):
    """Base of all parts of a record."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Configured(Part):
    """A method or learner as it was run."""

    id: str
    version: str
    config: Mapping[str, Any]
    code: str | None = Field(default=None, description="SHA-256 of the file it was loaded from, if not installed.")


class ExpertUsed(Part):
    """An expert behind a run."""

    key: str
    task: str
    mean_return: float


class Steps(Part):
    """Counted units of experience."""

    unit: Literal["env_steps", "samples", "episodes"]
    source: int = Field(ge=0, description="Experts' training, or a method's own on the sources.")
    extraction: int = Field(ge=0, description="Spent on the sources beside experts.")
    target: int = Field(ge=0)


class Point(Part):
    """One evaluation point."""

    fraction: float
    count: int
    returns: tuple[float, ...]
    lengths: tuple[int, ...]


class Training(Part):
    """Training episodes in 100 equal bins of the budget."""

    returns: tuple[float | None, ...]
    episodes: tuple[int, ...]


class Record(Part):
    """The outcome of one run: one (transfer task, target instance, method, seed).

    A run without knowledge serves every transfer task with the same target and schedule; ``transfers`` names them all.
    """

    schema_version: Literal[1] = 1
    kind: Literal["run", "expert"]
    key: str
    suite: str
    digest: str
    submittable: bool
    transfers: tuple[str, ...]
    sources: tuple[str, ...]
    target: str
    method: Configured | None
    learner: Configured | None
    config_hash: str = Field(description="Hash of method, version and all settings that are the method's own.")
    ruleset: Literal["fixed", "tuned"] = "fixed"
    seed: int
    expert_seed: int | None
    knowledge_key: str | None
    control_key: str | None
    experts: tuple[ExpertUsed, ...]
    steps: Steps
    gradient_steps: int | None
    curve: tuple[Point, ...]
    training: Training
    diagnostics: Mapping[str, Any]
    abstained: bool = False
    diverged: bool = False
    provenance: Mapping[str, Any]


def own_controls(records: Sequence[Record]) -> set[str]:
    """Keys of the runs without knowledge of methods that work with it: they are their own runs' control.

    Records say so, also where no run with knowledge is there (yet); earlier ones are told by the runs beside them.

    Args:
        records: Runs of any methods; those of one method and configuration are judged together.
    """
    ids = {r.key: (r.method.id, r.config_hash) for r in records if r.method is not None}
    carrying = {ids[r.key] for r in records if r.knowledge_key is not None and r.key in ids}
    (name, arm), *_ = CONTROL_ARM.items()
    without = [r for r in records if r.knowledge_key is None and r.key in ids]
    return {r.key for r in without if ids[r.key] in carrying or r.diagnostics.get(name) == arm}


def to_json(record: Record) -> str:
    """A record as JSON text; equal records give equal text.

    The checksum covers everything but the provenance, so that equal outcomes have equal checksums on any machine.
    """
    content = record.model_dump(mode="json")
    return json.dumps({**content, "checksum": checksum(content)}, indent=1, sort_keys=True, allow_nan=False) + "\n"


def checksum(content: Mapping[str, Any]) -> str:
    """SHA-256 of a record's content without its provenance."""
    return digest_of({k: v for k, v in content.items() if k not in ("provenance", "checksum")})


def from_json(text: str, origin: str) -> Record:
    """Parse and check a record.

    Args:
        text: The JSON text.
        origin: Where it comes from, for messages.

    Raises:
        TlbenchError: If it is truncated, not JSON, not a record of this schema, or its checksum is wrong.
    """
    try:
        content = json.loads(text, parse_constant=_refuse_constant)
        stated = content.pop("checksum", None) if isinstance(content, dict) else None
        record = Record.model_validate(content)
    except ValidationError as error:
        raise TlbenchError(f"{origin} is not a valid record: {first_error(error)}") from None
    except (ValueError, RecursionError) as error:
        raise TlbenchError(f"{origin} is damaged or truncated: {error}") from None
    if stated != checksum(record.model_dump(mode="json")):
        raise TlbenchError(f"{origin} was changed after it was written: its checksum is wrong")
    return record


def read_record(path: Path) -> Record:
    """Read and check a record file.

    Raises:
        TlbenchError: If it can't be read or :func:`from_json` refuses it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TlbenchError(f"{path} can't be read: {error}") from None
    return from_json(text, str(path))


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not allowed")
