"""Inspections that end badly; they run in a child process."""

from __future__ import annotations

import os
import signal
import time
from typing import Any


def ends(connection: Any, *_: Any) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def sleeps(connection: Any, *_: Any) -> None:
    time.sleep(60)


def eats(connection: Any, path: str, suites: Any, memory: int, seconds: int) -> None:
    from tlbench.leaderboard.server.inspection import _confine

    _confine(memory, seconds)
    held = []
    while True:
        held.append(bytearray(2**24))


def lies(connection: Any, *_: Any) -> None:
    connection.send_bytes(b'{"metadata": "{}"}')
