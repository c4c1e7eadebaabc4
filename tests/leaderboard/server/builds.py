"""Stand-ins for the site's build; they run in the publisher's child process."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from tlbench.leaderboard.board import Board
from tlbench.leaderboard.files import write_file
from tlbench.protocol.specs import SuiteSpec


def plain(board: Board, suites: Mapping[str, SuiteSpec], out: Path) -> None:
    """A page that counts the submissions, and a ranking per suite."""
    _write(len(board.entries()), suites, out)


def _write(count: int, suites: Mapping[str, SuiteSpec], out: Path) -> None:
    write_file(out / "index.html", f"<!DOCTYPE html><p>{count} submissions</p>".encode())
    write_file(out / ".secret", b"not to be served")
    for suite in suites:
        write_file(out / suite / "ranking.json", f'{{"submissions": {count}}}'.encode())


def slow(board: Board, suites: Mapping[str, SuiteSpec], out: Path) -> None:
    """As above, but it takes its time, and each build is noted."""
    count = len(board.entries())
    with (board.folder / "builds").open("a") as file:
        file.write("x")
    while not (board.folder / "go").exists():
        time.sleep(0.01)
    _write(count, suites, out)


def failing(board: Board, suites: Mapping[str, SuiteSpec], out: Path) -> None:
    """Fails once there is a submission, after it has damaged what it works on."""
    if board.entries():
        write_file(out / "index.html", b"half")
        raise RuntimeError("it is broken")
    plain(board, suites, out)


def dying(board: Board, suites: Mapping[str, SuiteSpec], out: Path) -> None:
    """Dies once there is a submission."""
    if board.entries():
        os._exit(9)
    plain(board, suites, out)
