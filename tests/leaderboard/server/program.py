"""A server that starts quickly: no installed suites, a stand-in for the site."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from tests.leaderboard.server import builds
from tlbench.leaderboard.board import Board
from tlbench.leaderboard.server.app import create_app
from tlbench.leaderboard.server.database import Database
from tlbench.leaderboard.server.running import listen, log_to_stderr, server
from tlbench.leaderboard.server.service import Limits
from tlbench.protocol.specs import parse_suite


def main(folder: str, file: str) -> None:
    suite = parse_suite(Path(file).read_text(), file)
    with listen("127.0.0.1", 0) as listening, contextlib.closing(Database.of_board(Path(folder), None)) as database:
        print(f"serving on http://127.0.0.1:{listening.getsockname()[1]}/ ", flush=True)
        log_to_stderr()
        app = create_app(Board(Path(folder)), {suite.id: suite}, database, Limits(10_000, 10_000), builds.plain)
        server(app).run(sockets=[listening])


if __name__ == "__main__":
    main(*sys.argv[1:])
