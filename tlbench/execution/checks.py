"""What ``tlbench check`` looks for, and what it may find."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from tlbench.protocol.errors import DivergedError, ProtocolViolationError, TlbenchError


class Check(StrEnum):
    """What is checked, in the order in which it is reported."""

    LOADS = "it can be loaded"
    SETTINGS = "its settings are valid"
    SUPPORTS = "it supports a transfer task"
    RUNS = "its runs end well"
    PUBLISHES = "it publishes a policy before the first metered call"
    BUDGET = "it stops when the budget ends"
    ENVIRONMENT = "it builds no environment of its own"
    ACTIONS = "its actions are finite and lie in the action space"
    ACTING = "its policy acts alike when asked again: acting doesn't learn"
    COPIES = "frozen copies of its policy don't change when training goes on"
    ROLES = "frozen roles stay frozen, bit for bit"
    KNOWLEDGE = "its knowledge is finite and survives the store"
    DIAGNOSTICS = "its diagnostics are JSON"
    DETERMINISTIC = "the same seed gives the same knowledge and the same record"
    POINTS = "evaluating more often doesn't change what is learned"


_SIGNS = {
    "publish": Check.PUBLISHES,
    "is no policy": Check.PUBLISHES,
    "environment of its own": Check.ENVIRONMENT,
    "diagnostics": Check.DIAGNOSTICS,
    "knowledge that": Check.KNOWLEDGE,
    "action": Check.ACTIONS,
    "budget": Check.BUDGET,
}


@dataclass(frozen=True)
class Problem:
    """Something that is wrong."""

    check: Check
    message: str


@dataclass
class Sight:
    """What was seen of one node.

    Attributes:
        problems: What is wrong.
        remarks: What a reader should know where nothing is wrong.
        finished: Whether the node was done.
        prints: Digests of the outcome by name: equal outcomes have equal prints.
    """

    problems: list[Problem] = field(default_factory=list)
    remarks: dict[Check, str] = field(default_factory=dict)
    finished: bool = False
    prints: dict[str, str] = field(default_factory=dict)

    def add(self, check: Check, message: str) -> None:
        """Note a problem once."""
        problem = Problem(check, message)
        if problem not in self.problems:
            self.problems.append(problem)


def problem_of(error: BaseException, file: str | None = None) -> Problem:
    """What an exception means: the check it belongs to, and one line with the place in the method's file.

    Args:
        error: The exception.
        file: The method's file.
    """
    text = str(error).strip().partition("\n")[0]
    if isinstance(error, DivergedError):
        return Problem(Check.ACTIONS, text)
    if not isinstance(error, TlbenchError):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    frames = [f for f in traceback.extract_tb((error.__cause__ or error).__traceback__) if f.filename == file]
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    check = Check.RUNS
    if isinstance(error, ProtocolViolationError) or "ProtocolViolationError" in text:
        check = next((check for sign, check in _SIGNS.items() if sign in text), Check.RUNS)
    return Problem(check, text + place)
