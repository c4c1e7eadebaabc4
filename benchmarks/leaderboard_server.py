"""How the leaderboard's server bears many clients at once: a real server on this machine, synthetic submissions.

Clients submit one after another, all at the same time, and try again when they are told to; meanwhile the first page is
read. Afterwards every submission must be on the board, and the log must say so.

    python benchmarks/leaderboard_server.py [--clients 50] [--each 4] [--database URL]
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from leaderboard_site import submission as synthetic_submission

from tlbench.leaderboard import archive
from tlbench.leaderboard.board import Board
from tlbench.leaderboard.client import Client
from tlbench.leaderboard.server.database import Database
from tlbench.leaderboard.server.tokens import Tokens
from tlbench.leaderboard.submission import Submission
from tlbench.leaderboard.validation import validate
from tlbench.protocol.discovery import find_suite


def make_bundles(count: int) -> dict[str, bytes]:
    """Valid bundles by id: the records of one made-up submission on the suite classic, under different names."""
    suite = find_suite("classic")
    one = synthetic_submission(suite, "finetune-vpg", "finetune-vpg", "1", "Fine-tuning", 0.6)
    validate(one, {suite.id: suite})
    table = archive.unpack(one.to_bytes())[archive.TABLE]
    found = {}
    for i in range(count):
        named = Submission(one.metadata.model_copy(update={"name": f"Fine-tuning {i}"}), one.records)
        text = named.metadata_text().encode()
        found[named.id] = archive.pack({archive.METADATA: text, archive.TABLE: table})
    return found


@contextlib.contextmanager
def running(board: Path, database: str | None) -> Iterator[str]:
    """A server's address."""
    command = [sys.executable, "-m", "tlbench", "leaderboard", "serve", "--board", str(board), "--port", "0"]
    environment = {**os.environ, **({"TLBENCH_DATABASE": database} if database else {})}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+\d", process.stdout.readline())
        assert found is not None
        while get(found[0], "/") == 503:  # its first, empty site
            time.sleep(0.2)
        yield found[0]
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def get(url: str, path: str) -> int:
    """The status of a page."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=120)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def told(what: str, seconds: list[float]) -> None:
    """Median and 99th percentile."""
    half, most = np.percentile(seconds, [50, 99])
    print(f"{what:24} median {half * 1000:8.1f} ms, 99th percentile {most * 1000:8.1f} ms ({len(seconds)} requests)")


def main() -> None:
    """Prints latencies and throughput; fails if a submission was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--each", type=int, default=4)
    parser.add_argument("--database", default=None, help="postgresql://...; by default SQLite")
    arguments = parser.parse_args()
    bundles = make_bundles(arguments.clients * arguments.each)
    print(f"{arguments.clients} clients x {arguments.each} submissions of {len(next(iter(bundles.values()))):,} bytes")
    with tempfile.TemporaryDirectory() as folder:
        board = Path(folder) / "board"
        board.mkdir()
        with contextlib.closing(Database.of_board(board, arguments.database)) as database:
            made = Tokens(database)
            tokens = [made.create(f"client {i}", "maintain") for i in range(arguments.clients)]
        names = list(bundles)
        submitted, pages, over = [], [], threading.Event()
        with running(board, arguments.database) as url:

            def read_pages() -> None:
                while not over.is_set():
                    start = time.perf_counter()
                    assert get(url, "/") == 200
                    pages.append(time.perf_counter() - start)
                    time.sleep(0.05)

            def submit(number: int) -> list[float]:
                client, taken = Client(url, tokens[number]), []
                for name in names[number :: arguments.clients]:
                    start = time.perf_counter()
                    assert client.send_submission(name, bundles[name]).new
                    taken.append(time.perf_counter() - start)
                return taken

            reader = threading.Thread(target=read_pages)
            reader.start()
            start = time.perf_counter()
            with ThreadPoolExecutor(arguments.clients) as pool:
                for taken in pool.map(submit, range(arguments.clients)):
                    submitted += taken
            wall = time.perf_counter() - start
            over.set()
            reader.join()
        kept = {entry.id for entry in Board(board).entries()}
    told("submit", submitted)
    told("first page, meanwhile", pages)
    print(f"{len(submitted) / wall:.1f} submissions/s")
    print(f"lost: {len(set(bundles) - kept)} of {len(bundles)}")
    if kept != set(bundles):
        sys.exit(1)


if __name__ == "__main__":
    main()
