"""Suites as data: tasks, transfer tasks and schedules, parsed strictly from TOML and frozen by a digest."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tlbench.protocol.errors import TlbenchError

Relation = Literal["self", "in-domain", "close", "far", "visual-inversion", "task-family"]
Scalar = bool | int | float | str
Name = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=80)]

EXTRACTION_ALLOWANCE = 0.25
"""Share of the source budget that a method may spend on the sources besides its experts' training."""


def canonical_json(value: Any) -> str:
    """JSON with sorted keys, no spaces and no NaN: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest_of(value: Any) -> str:
    """SHA-256 of the canonical JSON of ``value``, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


class Spec(BaseModel):
    """Base of all specifications: immutable, unknown keys and NaN refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Schedule(Spec):
    """How long learning may take and when it is evaluated."""

    budget: int = Field(gt=0, description="Units of experience.")
    points: int = Field(ge=2, le=1001, description="Evaluation points.")
    episodes: int = Field(ge=1, le=1000, description="Evaluation episodes per point, one lane each.")

    def target_fractions(self) -> list[float]:
        """Nominal fractions of a target's points: 0, then equal steps, up to 1."""
        return [i / (self.points - 1) for i in range(self.points)]

    def source_fractions(self) -> list[float]:
        """Nominal fractions of a source's points: equal steps, the last at 1, none at 0."""
        return [(i + 1) / self.points for i in range(self.points)]

    def scaled(self, factor: float) -> Schedule:
        """The same schedule with a budget scaled by ``factor``."""
        return self.model_copy(update={"budget": max(1, round(self.budget * factor))})


class ObservationMap(Spec):
    """A signed permutation (or selection) of a 1-D observation that both arms of a transfer task get."""

    indices: tuple[int, ...] = Field(min_length=1)
    signs: tuple[Literal[-1, 1], ...] = ()

    @model_validator(mode="after")
    def _lengths(self) -> Self:
        if self.signs and len(self.signs) != len(self.indices):
            raise ValueError("signs must be as many as indices")
        return self


class Reference(Spec):
    """How a task's reference returns, threshold and budget were obtained."""

    learner: str = Field(description="The reference learner that reaches the threshold from scratch.")
    median_steps: int = Field(gt=0, description="Its median time to threshold, in units.")
    share_reached: float = Field(ge=0, le=1, description="Share of its seeds that reached it within 5 budgets.")
    runs: int = Field(gt=0, description="Its seeds.")
    command: str = Field(description="The command that measured it.")


class Offline(Spec):
    """Offline data that a suite owns: transitions of a uniform policy."""

    transitions: int = Field(gt=0)
    lanes: int = Field(default=16, gt=0, description="Lanes that collect them; part of the data's identity.")
    options: Mapping[str, Scalar] = Field(
        default_factory=dict, description="Options of the environment while they are collected, on top of the task's."
    )


class TaskSpec(Spec):
    """An environment with its evaluation settings."""

    environment: str = Field(description="Gymnasium id; module:Name-v0 imports the module first.")
    options: Mapping[str, Scalar] = Field(default_factory=dict, description="Keyword arguments of the environment.")
    observation_map: ObservationMap | None = None
    discrete_actions: tuple[tuple[float, ...], ...] | None = Field(
        default=None, description="Actions that a learner with discrete actions only may choose from."
    )
    context: Mapping[str, float] = Field(default_factory=dict, description="Parameters of a task family.")
    unit: Literal["env_steps", "samples", "episodes"] = "env_steps"
    offline: Offline | None = Field(default=None, description="The data of a task whose unit is samples.")
    evaluator: Literal["return", "alignment"] = Field(
        default="return", description="What is scored: returns, or the alignment of embeddings in [0, 1]."
    )
    pairs: str | None = Field(default=None, description="module:Class of observation pairs, for embeddings.")
    within_lifetime: bool = Field(
        default=False, description="Whether the last policy's rewards are recorded over the course of an episode."
    )
    discount: float = Field(gt=0, le=1)
    random_return: float = Field(description="Mean return of a uniform policy over 1,000 episodes.")
    expert_return: float = Field(description="Mean return of the best reference learner at 5 times the budget.")
    threshold: float = Field(description="Mean return at which the task counts as solved.")
    max_return: float | None = Field(default=None, description="The highest possible return, if there is one.")
    source: Schedule | None = Field(default=None, description="Schedule when the task is a source.")
    target: Schedule | None = Field(default=None, description="Schedule when the task is a target.")
    wall_limit: float = Field(gt=0, description="Seconds after which one run on this task is ended.")
    reference: Reference | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.expert_return <= self.random_return:
            raise ValueError("expert_return must be above random_return")
        if (self.unit == "samples") != (self.offline is not None):
            raise ValueError("offline data goes with the unit samples, and only with it")
        if self.evaluator == "alignment" and self.pairs is None:
            raise ValueError("the evaluator alignment needs pairs")
        if self.within_lifetime and (self.unit, self.evaluator) != ("env_steps", "return"):
            raise ValueError("within_lifetime is for tasks in env_steps that are scored by returns")
        return self

    def identity(self, role: Literal["source", "target"]) -> dict[str, Any]:
        """What a run on this task depends on; equal identities share experts and controls."""
        fields = {"environment", "options", "observation_map", "discrete_actions", "context"}
        fields |= {"unit", "offline", "discount", "evaluator", "pairs", "within_lifetime"}
        dump = self.model_dump(mode="json", include=fields, exclude_defaults=True)
        return {**dump, "schedule": self.schedule(role).model_dump()}

    def schedule(self, role: Literal["source", "target"]) -> Schedule:
        """The schedule in that role.

        Raises:
            TlbenchError: If the task has none.
        """
        schedule = self.source if role == "source" else self.target
        if schedule is None:
            raise TlbenchError(f"{self.environment} has no schedule as a {role}: add [tasks.NAME.{role}] to the suite")
        return schedule


class TransferSpec(Spec):
    """A transfer task: source(s) -> target, with a relation and fixed budgets."""

    sources: tuple[str, ...] = Field(min_length=1)
    targets: tuple[str, ...] = Field(min_length=1, description="The target, or the held-out instances of a family.")
    relation: Relation
    scored: bool = True
    similarity: Mapping[str, Scalar] = Field(
        default_factory=dict, description="How alike source and target are, in what respects; for readers."
    )
    expert_seeds: tuple[int, ...] | None = Field(
        default=None, description="Crossed expert seeds; without them an expert's seed is the run's."
    )
    learner: Mapping[str, Mapping[str, Scalar | None]] = Field(
        default_factory=dict, description="Settings of a learner on the target, for both arms (a study)."
    )


class SuiteSpec(Spec):
    """A versioned set of transfer tasks with schedule and seeds."""

    schema_version: Literal[1]
    name: Name
    version: int = Field(ge=1)
    title: str
    description: str
    seeds: int = Field(ge=1, le=1000, description="Run seeds 0 .. seeds - 1.")
    smoothing_window: int = Field(ge=1, description="Points in the window of time to threshold and crossover.")
    quick: tuple[str, ...] = Field(min_length=1, description="Transfer tasks of the quick form.")
    submittable: bool = True
    tasks: Mapping[Name, TaskSpec]
    transfers: Mapping[Name, TransferSpec] = Field(min_length=1)

    @model_validator(mode="after")
    def _references(self) -> Self:
        for name, transfer in self.transfers.items():
            for role, tasks in (("source", transfer.sources), ("target", transfer.targets)):
                for task in tasks:
                    if task not in self.tasks:
                        raise ValueError(f"transfer task {name} names an unknown task: {task}")
                    if getattr(self.tasks[task], role) is None:
                        raise ValueError(f"transfer task {name}: task {task} has no {role} schedule")
        for task_name, spec in self.tasks.items():
            if spec.target is not None and self.smoothing_window > spec.target.points:
                raise ValueError(f"smoothing_window is larger than the number of points of {task_name}'s target")
        for name in self.quick:
            if name not in self.transfers:
                raise ValueError(f"quick names an unknown transfer task: {name}")
        return self

    @property
    def id(self) -> str:
        """Name and version, such as ``classic-v1``."""
        return f"{self.name}-v{self.version}" + ("" if self.submittable else "-quick")

    @property
    def digest(self) -> str:
        """SHA-256 of the suite's content; records of different digests are never compared.

        Fields at their defaults are left out, so that a later version of tlbench with more optional fields gives the
        same digest.
        """
        return digest_of(self.model_dump(mode="json", exclude_defaults=True))

    def quick_form(self) -> SuiteSpec:
        """Two seeds, the few transfer tasks named by ``quick``, a tenth of the budgets; not submittable."""

        def shrink(schedule: Schedule | None) -> Schedule | None:
            if schedule is None:
                return None
            small = {"points": min(schedule.points, 11), "episodes": min(schedule.episodes, 5)}
            return schedule.scaled(0.1).model_copy(update=small)

        transfers = {name: self.transfers[name] for name in self.quick}
        used = {task for t in transfers.values() for task in (*t.sources, *t.targets)}
        tasks = {
            name: task.model_copy(update={"source": shrink(task.source), "target": shrink(task.target)})
            for name, task in self.tasks.items()
            if name in used
        }
        update = {"tasks": tasks, "transfers": transfers, "seeds": min(2, self.seeds), "submittable": False}
        return self.model_copy(update=update)


def parse_suite(text: str, origin: str) -> SuiteSpec:
    """Parse a suite's TOML.

    Args:
        text: The TOML text.
        origin: Where it comes from, for messages.

    Raises:
        TlbenchError: If the text is no TOML or no valid suite; the message names the first wrong field.
    """
    try:
        content = json.dumps(tomllib.loads(text))  # from JSON, pydantic's strict mode takes lists for tuples
        return SuiteSpec.model_validate_json(content, strict=True)
    except tomllib.TOMLDecodeError as error:
        raise TlbenchError(f"{origin} is not valid TOML: {error}") from None
    except ValidationError as error:
        raise TlbenchError(f"{origin} is not a valid suite: {first_error(error)}") from None
    except TypeError as error:  # a date or a time
        raise TlbenchError(f"{origin} is not a valid suite: {error}") from None


def load_suite(path: Path) -> SuiteSpec:
    """Read a suite from a TOML file.

    Raises:
        TlbenchError: If the file can't be read or is not a valid suite.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TlbenchError(f"can't read the suite {path}: {error}") from None
    return parse_suite(text, str(path))


def first_error(error: ValidationError) -> str:
    """The first problem of a pydantic error in one line: where, and what."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]
