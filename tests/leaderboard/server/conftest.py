"""A server in a thread, one in a process of its own, and a client."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest

from tests.leaderboard.conftest import SELF, SMALL, small_suite, submission_of
from tests.leaderboard.server import builds
from tlbench.leaderboard.board import Board
from tlbench.leaderboard.server.app import create_app
from tlbench.leaderboard.server.database import Database
from tlbench.leaderboard.server.running import listen, server
from tlbench.leaderboard.server.service import Limits
from tlbench.leaderboard.server.tokens import Scope, Tokens
from tlbench.leaderboard.submission import Submission

SEEDS = 3
SUITE = small_suite(SEEDS)
ROOT = Path(__file__).parents[3]
SUBMISSIONS = "/api/v1/submissions"


@pytest.fixture(autouse=True, scope="session")
def _children_find_the_tests() -> Iterator[None]:
    """Stand-ins run in child processes, which import them by name."""
    sys.path.append(str(ROOT))
    yield
    sys.path.remove(str(ROOT))


@pytest.fixture(autouse=True, scope="module")
def _own_fork_server() -> Iterator[None]:
    """A process has one fork server; other tests want another, with more imported."""
    forkserver._forkserver._stop()  # type: ignore[attr-defined]
    yield
    forkserver._forkserver._stop()  # type: ignore[attr-defined]


@dataclass
class Answer:
    status_code: int
    headers: dict[str, str]
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode()

    def json(self) -> Any:
        return json.loads(self.content)


class HTTPClient:
    """One request per connection; paths go out as they are."""

    def __init__(self, url: str) -> None:
        self._address = urllib.parse.urlsplit(url).netloc

    def request(
        self, method: str, path: str, content: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection(self._address, timeout=120)
        try:
            connection.request(method, path, content, headers or {})
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()

    def get(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        return self.request("GET", path, None, headers)

    def post(self, path: str, content: bytes, headers: dict[str, str]) -> Answer:
        return self.request("POST", path, content, headers)

    def submit(self, data: bytes, token: str | None, **headers: str) -> Answer:
        return self.post(SUBMISSIONS, data, sending(token, **headers))


class Here:
    """A server in a thread of this process.

    Attributes:
        board: Its board.
        client: A client of it.
        tokens: Its tokens.
        database: Its database.
        url: Its address.
    """

    def __init__(self, folder: Path, url: str | None = None, limits: Limits | None = None, **how: Any) -> None:
        self.board = Board(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.database = Database.of_board(folder, url)
        self.tokens = Tokens(self.database)
        app = create_app(self.board, {SUITE.id: SUITE}, self.database, limits, **{"build": builds.plain, **how})
        socket = listen("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{socket.getsockname()[1]}"
        self.client = HTTPClient(self.url)
        self._server = server(app)
        self._thread = threading.Thread(target=self._server.run, args=([socket],))
        self._thread.start()
        wait_for(lambda: self._server.started or not self._thread.is_alive())

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(60)
        self.database.close()

    def token(self, scope: Scope = "submit") -> str:
        return self.tokens.create("someone", scope)

    def submit(self, data: bytes, token: str | None, **headers: str) -> Answer:
        return self.client.submit(data, token, **headers)


def sending(token: str | None, kind: str = "application/zip", **headers: str) -> dict[str, str]:
    return {"Content-Type": kind, **({"Authorization": f"Bearer {token}"} if token else {}), **headers}


def wait_for(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Waits until something is so, and gives it."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
    return found


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Here]]:
    """Starts servers in threads."""
    running: list[Here] = []

    def run(**how: Any) -> Here:
        running.append(Here(how.pop("folder", tmp_path / "board"), **how))
        return running[-1]

    yield run
    for here in running:
        here.close()


@pytest.fixture
def here(start: Callable[..., Here]) -> Here:
    """A server in a thread."""
    return start()


@pytest.fixture(scope="session")
def bundles() -> list[Submission]:
    """Different submissions of one method and version."""
    return [submission_of(SUITE, name=f"SPAM {i}") for i in range(8)]


@pytest.fixture(scope="session")
def control() -> Submission:
    """The learner from scratch."""
    return submission_of(SUITE, "scratch-vpg", name="VPG")


class Apart:
    """A server in a process of its own: ``tlbench leaderboard serve``, or one that starts more quickly.

    Attributes:
        url: Its address.
        lines: What it wrote, both streams.
    """

    def __init__(self, folder: Path, *, quick: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        suite = folder.parent / "small.toml"
        suite.write_text(SMALL.format(seeds=SEEDS) + SELF)
        serve = ["leaderboard", "serve", "--board", str(folder), "--port", "0", "--suite", str(suite)]
        program = (
            ["-m", "tests.leaderboard.server.program", str(folder), str(suite)] if quick else ["-m", "tlbench", *serve]
        )
        self.process = subprocess.Popen(
            [sys.executable, *program],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored in background jobs
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.url = ""

    def begin(self) -> None:
        self.url = wait_for(self._address, 300)
        assert HTTPClient(self.url).get("/api/v1/health").status_code == 200  # it has settled what was unfinished

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.wait()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.wait()

    def wait(self) -> int:
        """Waits for its end."""
        status = self.process.wait(60)
        self._reader.join(60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)

    def _address(self) -> str | None:
        assert self.process.poll() is None, "".join(self.lines)
        return next((m[1] for line in self.lines if (m := re.search(r"on (http://\S+)/ ", line))), None)


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[Callable[..., Apart]]:
    """Starts servers in processes of their own."""
    running: list[Apart] = []

    def run(*, quick: bool = True) -> Apart:
        running.append(Apart(tmp_path / "board", quick=quick))
        running[-1].begin()
        return running[-1]

    yield run
    for one in running:
        if one.process.poll() is None:
            one.kill()
