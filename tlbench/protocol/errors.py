"""The exceptions of the protocol, and which of them a user sees as one line."""

from __future__ import annotations

from typing import ClassVar


class TlbenchError(Exception):
    """A mistake that the user can mend: its text is one line that says what is wrong and what to do."""


class StorageError(TlbenchError):
    """Results can't be written: a full disk, a missing permission. Going on is pointless until that is mended."""


class ProtocolViolationError(TlbenchError):
    """A method broke a rule of the benchmark (an action outside the space, an environment of its own, ...).

    Each is noted where it is made, so that a run whose method swallows it fails all the same.
    """

    noted: ClassVar[list[ProtocolViolationError]] = []

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.noted.append(self)


class DivergedError(Exception):
    """Learning produced a number that is not finite.

    On a target the run keeps its points and is flagged; in ``learn_source`` the method abstains.
    """


class BudgetExhausted(BaseException):
    """The next call would exceed the task's budget.

    It derives from ``BaseException`` so that an ``except Exception`` inside a method does not swallow it. An
    :class:`~tlbench.protocol.interface.Agent` catches it in ``train``; a method that lets it through ends normally.
    """
