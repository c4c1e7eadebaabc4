"""Configurations of methods: their labels, their settings, and what tells those of one method apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tlbench.protocol.records import Record

LEARNER = "learner."
"""Start of the name of a learner's setting, as for ``tlbench evaluate --set``."""


def method_labels(records: Iterable[Record]) -> dict[tuple[str, str], str]:
    """Label of each (method id, configuration hash)."""
    pairs = sorted({(r.method.id, r.config_hash) for r in records if r.method is not None})
    ids = [name for name, _ in pairs]
    return {pair: pair[0] if ids.count(pair[0]) == 1 else f"{pair[0]}#{pair[1][:8]}" for pair in pairs}


def settings_of(record: Record) -> dict[str, Any]:
    """Every setting of a run by the name that ``--set`` has for it."""
    method = {} if record.method is None else record.method.config
    learner: Mapping[str, Any] = {} if record.learner is None else record.learner.config
    return {**method, **{LEARNER + name: value for name, value in learner.items()}}


def configuration_notes(records: Sequence[Record]) -> list[str]:
    """What each of several configurations of one method has that others of that method have not, a line each.

    A setting that a suite makes on some of its transfer tasks has several values in one configuration; they are told
    only where they differ from another's.
    """
    labels = method_labels(records)
    found: dict[str, dict[str, dict[str, set[str]]]] = {}
    for record in records:
        if record.method is not None:
            label = labels[record.method.id, record.config_hash]
            values = found.setdefault(record.method.id, {}).setdefault(label, {})
            for name, value in {"version": record.method.version, **settings_of(record)}.items():
                values.setdefault(name, set()).add(_text(value))
    return [
        f"{label}: {', '.join(told)}"
        for configurations in found.values()
        for label, values in sorted(configurations.items())
        if (
            told := [
                f"{name} = {' or '.join(sorted(texts))}"
                for name, texts in sorted(values.items())
                if any(other.get(name) != texts for other in configurations.values())
            ]
        )
    ]


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
