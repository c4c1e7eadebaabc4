"""Keeps the site up to date: built in a child process, one at a time, and exchanged as a whole."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from tlbench.leaderboard.board import Board
from tlbench.leaderboard.files import TEMPORARY
from tlbench.leaderboard.server.children import start_child
from tlbench.protocol.specs import SuiteSpec

Build = Callable[[Board, Mapping[str, SuiteSpec], Path], object]
"""Writes a board's site into a folder that may hold the last one: files are replaced, never written into."""

FOLDER = "site"
RANKING = "ranking.json"
"""A suite's ranking, in its folder of a site."""
_WORK = "work"
_KEPT = 2
_LOG = logging.getLogger("tlbench.server")


def build_pages(board: Board, suites: Mapping[str, SuiteSpec], out: Path) -> object:
    """The site as ``tlbench leaderboard build`` writes it."""
    from tlbench.leaderboard.site import build_site

    return build_site(board, suites, out, jobs=1)  # the other processors are for requests


class Publisher:
    """Builds the site whenever it is told that the board changed, and says where the newest one is.

    While a build runs, all further changes wait for one more. If a build fails, the site stays as it is.

    Args:
        board: The board.
        suites: The suites that are known.
        build: What builds the site; it runs in another process, so it is a function of a module.
    """

    def __init__(self, board: Board, suites: Mapping[str, SuiteSpec], build: Build = build_pages) -> None:
        self._board = board
        self._suites = dict(suites)
        self._build = build
        self._folder = board.folder / FOLDER
        self._changed = asyncio.Event()
        self._child: BaseProcess | None = None
        self._stopping = False
        self.pages: Path | None = max(self._published(), key=lambda p: int(p.name), default=None)
        self.built = 0

    def request(self) -> None:
        """The board changed."""
        self._changed.set()

    async def run(self) -> None:
        """Build whenever needed, until cancelled."""
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                target = self._folder / str(int(self.pages.name) + 1 if self.pages else 1)
                if await asyncio.to_thread(self._build_into, target):
                    self.pages = target
                    self.built += 1
                    await asyncio.to_thread(self._clear)
        finally:
            self._stopping = True
            if self._child is not None:
                self._child.kill()

    def _build_into(self, target: Path) -> bool:
        work = self._folder / _WORK
        child, ours = start_child(_publish, self._build, self._board, self._suites, work, target)
        self._child = child
        try:
            problem = ours.recv_bytes().decode()
        except (EOFError, OSError):
            problem = "its process ended early (out of memory?)"
        finally:
            ours.close()
            child.join()
            self._child = None
        if problem and not self._stopping:
            _LOG.error("the site could not be built, the old one stays: %s", problem)
        return not problem

    def _published(self) -> list[Path]:
        folder = self._folder
        return [p for p in folder.iterdir() if p.name.isdecimal() and p.is_dir()] if folder.is_dir() else []

    def _clear(self) -> None:
        """Remove older sites, but the last: requests may be reading it."""
        for old in sorted(self._published(), key=lambda p: int(p.name))[:-_KEPT]:
            shutil.rmtree(old, ignore_errors=True)


def _publish(
    connection: Connection, build: Build, board: Board, suites: Mapping[str, SuiteSpec], work: Path, target: Path
) -> None:
    """Build in a folder that keeps what can be used again, and link its files to where they will be served from."""
    for ending in (signal.SIGINT, signal.SIGTERM):  # meant for the server, which ends its children itself
        signal.signal(ending, signal.SIG_IGN)
    if sys.platform != "win32":
        os.nice(10)
    threading.Thread(target=_end_with, args=(connection,), daemon=True).start()
    try:
        work.mkdir(parents=True, exist_ok=True)
        build(board, suites, work)
        copy = target.with_name(f"{TEMPORARY}{target.name}")
        for leftover in (copy, target):
            shutil.rmtree(leftover, ignore_errors=True)
        shutil.copytree(work, copy, copy_function=_link, ignore=shutil.ignore_patterns(".*"))
        copy.rename(target)
        problem = ""
    except Exception:
        problem = traceback.format_exc()
    connection.send_bytes(problem.encode())


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copyfile(source, target)


def _end_with(connection: Connection) -> None:
    """End this process when the server is gone."""
    try:
        connection.poll(None)
        connection.recv_bytes()
    except (EOFError, OSError):
        os._exit(1)
