"""Reads and validates one stranger's bundle, in a process of its own that may die of it."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from tlbench.leaderboard import submission as submissions
from tlbench.leaderboard.archive import MAX_BUNDLE
from tlbench.leaderboard.board import read_limited
from tlbench.leaderboard.validation import validate
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.specs import SuiteSpec


def inspect(connection: Connection, path: str, suites: Sequence[str], memory: int, seconds: int) -> None:
    """Send what is in a bundle: a JSON object with ``metadata`` and then the bundle packed anew, or with ``refused``.

    Args:
        connection: To the server. Nothing is pickled on it.
        path: The bundle's file.
        suites: The suites that are known, as JSON.
        memory: Most bytes of memory.
        seconds: Most seconds of processor time.
    """
    _confine(memory, seconds)
    try:
        known = [SuiteSpec.model_validate_json(text) for text in suites]
        metadata, bundle = _validated(Path(path), {suite.id: suite for suite in known})
    except TlbenchError as error:
        connection.send_bytes(json.dumps({"refused": str(error)}).encode())
        return
    connection.send_bytes(json.dumps({"metadata": metadata}).encode())
    connection.send_bytes(bundle)


def _validated(path: Path, suites: Mapping[str, SuiteSpec]) -> tuple[str, bytes]:
    submission = submissions.read(read_limited(path, MAX_BUNDLE))
    validate(submission, suites)
    return submission.metadata_text(), submission.to_bytes()


def _confine(memory: int, seconds: int) -> None:
    """Limits that end this process and no other, where the system has them."""
    for ending in (signal.SIGINT, signal.SIGTERM):  # meant for the server, which ends its children itself
        signal.signal(ending, signal.SIG_IGN)
    if sys.platform == "win32":
        return
    import resource

    os.nice(5)  # pages come first
    limits = {"RLIMIT_DATA": memory, "RLIMIT_CPU": seconds, "RLIMIT_CORE": 0, "RLIMIT_FSIZE": 0}
    for name, value in limits.items():
        if hasattr(resource, name):
            resource.setrlimit(getattr(resource, name), (value, value))
