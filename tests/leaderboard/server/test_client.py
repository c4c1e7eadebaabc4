from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.leaderboard.conftest import SELF, SMALL
from tests.leaderboard.server.conftest import SEEDS, SUITE, Here
from tests.leaderboard.test_cli import fill
from tests.leaderboard.test_verification import document
from tlbench.cli.app import app
from tlbench.leaderboard.client import Client, read_token
from tlbench.leaderboard.submission import Submission
from tlbench.protocol.errors import TlbenchError

TOKEN = "tlb_" + "0" * 12 + "_" + "0" * 64
ESCAPES = "\x1b[2J\x1b]0;owned\x07\n\u202etxet"


class Stranger:
    """A server that answers as it is told: (status, headers, body), or None to hang up."""

    def __init__(self, *answers: tuple[int, dict[str, str], bytes] | None) -> None:
        self.seen: list[tuple[str, str | None]] = []
        left = list(answers)
        stranger = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                stranger.seen.append((self.path, self.headers["Authorization"]))
                answer = left.pop(0) if len(left) > 1 else left[0]
                if answer is None:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response(answer[0])
                for name, value in answer[1].items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer[2])

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def stranger() -> Iterator[Callable[..., Stranger]]:
    made: list[Stranger] = []

    def make(*answers: Any) -> Stranger:
        made.append(Stranger(*answers))
        return made[-1]

    yield make
    for one in made:
        one.close()


def answer(status: int, content: object, **headers: str) -> tuple[int, dict[str, str], bytes]:
    return status, headers, json.dumps(content).encode()


def send(url: str, waits: list[float] | None = None) -> Any:
    return Client(url, TOKEN, (waits if waits is not None else []).append).send_submission("a" * 64, b"x")


def told(url: str, waits: list[float] | None = None) -> str:
    with pytest.raises(TlbenchError) as caught:
        send(url, waits)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 900
    assert TOKEN not in str(caught.value)
    return str(caught.value)


GOOD = answer(201, {"id": "a" * 64, "url": "/x", "snapshot": "b" * 64})


def test_against_the_server(here: Here, bundles: list[Submission]) -> None:
    client = Client(here.url + "/", here.token())
    sent = client.send_submission(bundles[0].id, bundles[0].to_bytes())
    assert (sent.new, sent.url) == (True, f"{here.url}/small-v1/submissions/{bundles[0].id[:12]}.html")
    again = client.send_submission(bundles[0].id, bundles[0].to_bytes())
    assert (again.new, again.snapshot) == (False, sent.snapshot)
    other = Client(here.url, here.token())
    assert other.send_verification(document(bundles[0])).new
    assert not other.send_verification(document(bundles[0])).new
    with pytest.raises(TlbenchError, match=r"refused it \(403\): nobody reproduces"):
        client.send_verification(document(bundles[0]))
    with pytest.raises(TlbenchError, match=r"refused it \(401\): the token is not valid"):
        Client(here.url, TOKEN).send_submission(bundles[0].id, bundles[0].to_bytes())


def test_what_may_be_over_soon_is_tried_again(stranger: Callable[..., Stranger]) -> None:
    waits: list[float] = []
    busy = answer(429, {"error": "later"}, **{"Retry-After": "7"})
    server = stranger(busy, None, answer(503, {"error": "later"}), GOOD)
    assert send(server.url, waits).new
    assert waits[0] == 7.0
    assert len(waits) == 3
    assert {token for _, token in server.seen} == {f"Bearer {TOKEN}"}


def test_it_gives_up(stranger: Callable[..., Stranger]) -> None:
    waits: list[float] = []
    late = answer(429, {"error": "not now"}, **{"Retry-After": "99999"})
    assert "refused it (429): not now; tried 5 times" in told(stranger(late).url, waits)
    assert waits == [60.0] * 4
    assert "can't reach" in told(stranger(None).url)


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert "can't reach http://127.0.0.1:" in told(f"http://127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (answer(422, {"error": f"bad {ESCAPES}"}), r"refused it \(422\): bad \?\[2J\?\]0;owned\?$"),
        (answer(422, {"error": "x" * 100_000}), "no reason given"),
        (answer(422, {"error": "y" * 10_000}), "refused it .422.: yyyy"),
        (answer(422, [1]), "no reason given"),
        ((403, {}, b"<html>" + ESCAPES.encode()), "no reason given"),
        ((200, {}, b"<html>"), "does not answer like a leaderboard"),
        ((200, {}, b"\xff" * 10), "does not answer like a leaderboard"),
        ((200, {}, b"x" * 10**6), "has no end"),
        (answer(201, {"id": "c" * 64}), "answers for another submission"),
        (answer(201, {"id": {"a": 1}}), "answers for another submission"),
        ((302, {"Location": "https://elsewhere.example/"}, b""), "redirects"),
        ((307, {"Location": "//elsewhere.example/"}, b""), "redirects"),
    ],
)
def test_strange_answers(stranger: Callable[..., Stranger], reply: Any, reason: str) -> None:
    server = stranger(reply)
    message = told(server.url)
    assert re.search(reason, message)
    assert len(server.seen) == 1


def test_addresses_in_answers_stay_on_the_server(stranger: Callable[..., Stranger]) -> None:
    for url in ("https://elsewhere.example", ESCAPES, 7, None):
        server = stranger(answer(200, {"id": "a" * 64, "url": url, "snapshot": ESCAPES}))
        sent = send(server.url)
        assert sent.url == server.url + "/"
        assert sent.snapshot is not None
        assert sent.snapshot.isprintable()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("example.org", "no address"),
        ("ftp://example.org", "no address"),
        ("https://", "no address"),
        ("https://example.org:x", "no address"),
        ("https://example.org/\x1b[2J", "no address"),
        ("http://example.org", "use https://"),
        ("http://localhost.example.org", "use https://"),
        ("http://127.0.0.1.example.org", "use https://"),
        ("https://user:secret@example.org", "no names, passwords"),
        ("https://example.org/?token=x", "no names, passwords"),
    ],
)
def test_addresses(url: str, reason: str) -> None:
    with pytest.raises(TlbenchError, match=reason) as caught:
        Client(url, TOKEN)
    assert str(caught.value).isprintable()
    assert "secret" not in str(caught.value)
    for good in ("https://example.org/board/", "http://localhost:8000", "http://127.0.0.1", "http://[::1]:80"):
        Client(good, TOKEN)


def test_where_the_token_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TLBENCH_TOKEN", raising=False)
    with pytest.raises(TlbenchError, match="variable TLBENCH_TOKEN"):
        read_token(None)
    monkeypatch.setenv("TLBENCH_TOKEN", f" {TOKEN}\n")
    assert read_token(None) == TOKEN
    file = tmp_path / "token"
    with pytest.raises(TlbenchError, match="can't be read"):
        read_token(file)
    for content, reason in [("", "a token is needed"), ("a\r\nX-Evil: 1", "not valid"), ("é", "not valid")]:
        file.write_text(content)
        with pytest.raises(TlbenchError, match=reason):
            read_token(file)
    file.write_text(f"{TOKEN}\n")
    assert read_token(file) == TOKEN


class TestSubmit:
    @pytest.fixture
    def call(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("TLBENCH_TOKEN", raising=False)
        (tmp_path / "small.toml").write_text(SMALL.format(seeds=SEEDS) + SELF)
        fill(SUITE, "spam-vpg")
        about = ["--method", "spam", "--name", "SPAM", "--contact", "me", "--suite", "small.toml"]
        return lambda *more: CliRunner().invoke(app, ["submit", "runs", *about, *more])

    def test_to_a_server(self, call: Callable[..., Result], here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
        missing = call("--to", here.url)
        assert missing.exit_code == 1
        assert "TLBENCH_TOKEN" in missing.stderr
        shown = call("--to", here.url, "--dry-run")
        assert shown.exit_code == 0, shown.output
        assert here.board.entries() == []
        monkeypatch.setenv("TLBENCH_TOKEN", here.token())
        done = call("--to", here.url)
        assert done.exit_code == 0, done.output
        (entry,) = here.board.entries()
        assert f"accepted SPAM (spam-vpg 1) on small-v1 as {entry.short_id}, snapshot " in done.stdout
        assert "nothing was changed" in call("--to", here.url).stdout
        assert not Path("leaderboard-data").exists()
        monkeypatch.setenv("TLBENCH_TOKEN", TOKEN)
        wrong = call("--to", here.url)
        assert wrong.exit_code == 1
        assert wrong.stderr.count("\n") == 1
        assert "the token is not valid" in wrong.stderr
