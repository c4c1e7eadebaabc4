"""Whether a method can run on a suite's tasks under its settings, asked before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tlbench.execution.selection import MethodChoice, sources_of
from tlbench.protocol.alignment import unlike_source
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.specs import SuiteSpec
from tlbench.protocol.task import HarnessTask
from tlbench.protocol.vector import NoDiscretisationError


def unsupported(suite: SuiteSpec, choice: MethodChoice, transfers: Sequence[str]) -> str | None:
    """Why a method can't run on these transfer tasks, or ``None`` if it can.

    Raises:
        TlbenchError: If a task can't be opened, or its pairs show another source, whatever the method.
    """
    learner, method, name = choice.learner(), choice.method(), choice.entry().id
    choice.learner_settings()  # none for a method without a learner
    if learner is None and method.uses_source and method.experts:
        return f'{name} wants experts but has no learner: experts = 0, or learners = ("vpg",)'
    for transfer in transfers:
        spec = suite.transfers[transfer]
        _check_pairs(suite, transfer)
        roles = [(task, "target") for task in spec.targets]
        roles += [(task, "source") for task in sources_of(method, spec) if method.uses_source]
        units = learner.units if learner else method.units
        for task, role in roles:
            if suite.tasks[task].unit not in units:
                can = " or ".join(units)
                return f"{transfer}: the budget of {task} is in {suite.tasks[task].unit}, {name} learns from {can}"
            interface = interface_of(suite, task, role, bool(learner and learner.discrete_only))
            if isinstance(interface, str):
                return f"{transfer}: {task}: {interface}"
            reason = learner.unsupported(interface) if learner else None
            if reason is not None and learner:
                return f"{transfer}: {learner.id} can't learn {task}: {reason}"
            reason = method.unsupported(interface) if role == "target" else None
            if reason is not None:
                return f"{transfer}: {name} can't run on {task}: {reason}"
    return None


def _check_pairs(suite: SuiteSpec, transfer: str) -> None:
    spec = suite.transfers[transfer]
    for name in spec.targets:
        target = suite.tasks[name]
        reason = unlike_source(target, suite.tasks[spec.sources[0]]) if target.pairs is not None else None
        if reason is not None:
            raise TlbenchError(f"{suite.id}: {transfer}: {name}: {reason}")


def interface_of(suite: SuiteSpec, task: str, role: Any, discrete: bool) -> Any:
    """The interface of a task, or why there is none for a learner of discrete actions.

    Raises:
        TlbenchError: If the task's environment can't be opened, which is the suite's fault.
    """
    try:
        return HarnessTask(suite.tasks[task], role, 0, discrete=discrete).interface
    except NoDiscretisationError as error:
        return str(error)
    except TlbenchError as error:
        raise TlbenchError(f"{suite.id}: task {task}: {error}") from error


def cannot_open(suite: SuiteSpec) -> str | None:
    """Why a task of the suite can't be opened on this machine, or ``None``: an extra that isn't installed, say."""
    for name, task in suite.tasks.items():
        try:
            interface_of(suite, name, "source" if task.target is None else "target", discrete=False)
        except TlbenchError as error:
            return str(error)
    return None


def check_support(suite: SuiteSpec, choice: MethodChoice, transfers: Sequence[str]) -> None:
    """Refuse a method that can't run on these transfer tasks.

    Raises:
        TlbenchError: With the first reason, or if a task can't be opened.
    """
    reason = unsupported(suite, choice, transfers)
    if reason is not None:
        raise TlbenchError(f"{choice.entry().id} does not support {suite.id}: {reason}")


def check_settings(suite: SuiteSpec, choice: MethodChoice, transfers: Sequence[str]) -> None:
    """Refuse a setting that would change nothing, because every transfer task sets it itself.

    Raises:
        TlbenchError: If there is one.
    """
    learner = choice.entry().learner or ""
    for key in choice.learner_settings():
        if all(key in suite.transfers[name].learner.get(learner, {}) for name in transfers):
            names = ", ".join(transfers)
            raise TlbenchError(
                f"--set learner.{key} would change nothing: the suite sets {key} itself on {names}; "
                "leave it out, or change the suite in a copy of its file"
            )
