"""What a user asks for: a method with its settings, seeds and transfer tasks, checked against the suite."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from tlbench.protocol.discovery import MethodEntry, find_method, learner_code, learners
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.interface import Learner, Method
from tlbench.protocol.records import CONTROL_PREFIX
from tlbench.protocol.sealing import sealed
from tlbench.protocol.specs import SuiteSpec, TransferSpec, digest_of, first_error

LEARNER_PREFIX = "learner."


@dataclass(frozen=True)
class MethodChoice:
    """A method as it is to be run: reference, settings of its own and of its learner on the target.

    Attributes:
        reference: What the user typed: an id, an alias or a file.
        settings: ``--set`` values, dotted ``learner.`` keys included.
        code: SHA-256 of the method's file as it was planned, if it came from one.
    """

    reference: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    code: str | None = field(default=None, kw_only=True)

    def pinned(self) -> MethodChoice:
        """The same choice, bound to the method's file as it is now, wherever workers run."""
        code = self.entry().code
        if code is None:
            return self
        path, colon, name = self.reference.partition(":")
        return replace(self, code=code, reference=f"{Path(path).resolve()}{colon}{name}")

    def entry(self) -> MethodEntry:
        """The method found under the reference.

        Raises:
            TlbenchError: If there is none, or its file is no longer the one that was planned.
        """
        entry = find_method(self.reference)
        if self.code is not None and entry.code != self.code:
            raise TlbenchError(f"{self.reference} was changed during the evaluation: run the same command again")
        return entry

    def method(self) -> Method:
        """The configured method.

        Raises:
            TlbenchError: If a setting is unknown or invalid, or it builds an environment of the benchmark's.
        """
        entry = self.entry()
        own = {key: value for key, value in self.settings.items() if not key.startswith(LEARNER_PREFIX)}
        config = configured(entry.cls.Config, {**entry.preset, **own}, entry.id)
        with sealed():
            return entry.cls(config)

    def learner(self) -> Learner | None:
        """The learner on the target."""
        name = self.entry().learner
        return None if name is None else find_learner(name)

    def learner_settings(self) -> dict[str, Any]:
        """The ``learner.`` settings, without the prefix.

        Raises:
            TlbenchError: If there are some and the method has no learner.
        """
        dotted = {key: value for key, value in self.settings.items() if key.startswith(LEARNER_PREFIX)}
        if dotted and self.entry().learner is None:
            raise TlbenchError(f"{self.entry().id} has no learner: --set {next(iter(dotted))} means nothing to it")
        return {key.removeprefix(LEARNER_PREFIX): value for key, value in dotted.items()}

    def identity(self) -> dict[str, Any]:
        """What the method is: id, version, configuration, and the hash of its file if it came from one."""
        entry, method = self.entry(), self.method()
        identity = {"id": entry.id, "version": method.version, "config": method.config.model_dump(mode="json")}
        return {**identity, "code": entry.code} if entry.code else identity

    def config_hash(self) -> str:
        """Hash of all settings that are the method's own (a transfer task's are not)."""
        learner = self.learner()
        identity = learner_identity(learner, self.learner_settings()) if learner else None
        return digest_of({"method": self.identity(), "learner": identity})


def control_choice(learner: str) -> MethodChoice:
    """The control of a learner: the same learner from scratch, under its default configuration."""
    return MethodChoice(f"{CONTROL_PREFIX}{learner}")


def find_learner(name: str) -> Learner:
    """The learner of that id.

    Raises:
        TlbenchError: If there is none.
    """
    try:
        return learners()[name]
    except KeyError:
        raise TlbenchError(f"unknown learner {name!r}; known: {', '.join(learners())}") from None


def learner_identity(learner: Learner, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a learner is: id, version and full configuration."""
    config = configured(learner.Config, settings, learner.id)
    identity = {"id": learner.id, "version": learner.version, "config": config.model_dump(mode="json")}
    code = learner_code(learner.id)
    return {**identity, "code": code} if code else identity


def configured(cls: type[BaseModel], settings: Mapping[str, Any], owner: str) -> BaseModel:
    """Build a configuration.

    Raises:
        TlbenchError: If a setting is unknown or invalid; the message names those that exist.
    """
    try:
        return cls.model_validate(dict(settings))
    except ValidationError as error:
        known = ", ".join(cls.model_fields) or "none"
        raise TlbenchError(f"settings of {owner}: {first_error(error)} (it has: {known})") from None


def parse_settings(pairs: Sequence[str]) -> dict[str, Any]:
    """Parse ``key=value`` pairs; values are JSON where they parse as JSON, else text.

    Raises:
        TlbenchError: If a pair has no ``=`` or a key is given twice.
    """
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, separator, text = pair.partition("=")
        if not separator or not key:
            raise TlbenchError(f"--set takes key=value, not {pair!r}")
        if key in settings:
            raise TlbenchError(f"--set {key} is given twice")
        try:
            settings[key] = json.loads(text)
        except ValueError:
            settings[key] = text
    return settings


def parse_seeds(text: str | None, suite: SuiteSpec) -> tuple[int, ...]:
    """Parse ``0,3,5-7`` (``None``: all).

    Raises:
        TlbenchError: If the text is no list of the suite's seeds.
    """
    if text is None:
        return tuple(range(suite.seeds))
    seeds: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        last = last if dash else first
        if not first.isdecimal() or not last.isdecimal() or int(last) < int(first):
            raise TlbenchError(f"--seeds takes numbers and ranges such as 0,3,5-7, not {text!r}")
        if int(last) >= suite.seeds:
            raise TlbenchError(f"{suite.id} has seeds 0 to {suite.seeds - 1}; --seeds names {last}")
        seeds.update(range(int(first), int(last) + 1))
    return tuple(sorted(seeds))


def parse_transfers(text: str | None, suite: SuiteSpec) -> tuple[str, ...]:
    """Parse a comma-separated list of transfer tasks (``None``: all), in the suite's order.

    Raises:
        TlbenchError: If one is unknown.
    """
    if text is None:
        return tuple(suite.transfers)
    names = [part.strip() for part in text.split(",") if part.strip()]
    for name in names:
        if name not in suite.transfers:
            raise TlbenchError(f"{suite.id} has no transfer task {name!r}; it has: {', '.join(suite.transfers)}")
    if not names:
        raise TlbenchError("--tasks names no transfer task")
    return tuple(name for name in suite.transfers if name in names)


def sources_of(method: Method, spec: TransferSpec) -> tuple[str, ...]:
    """The sources of a transfer task that a method takes: all, or the first alone."""
    return spec.sources[:1] if getattr(method.learn_source, "first_source_only", False) else spec.sources
