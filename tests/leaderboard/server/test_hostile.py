"""Uploads that were made to harm, and the way they take; test_submission and test_fuzz have more on their content."""

from __future__ import annotations

import contextlib
import io
import json
import socket
import stat
import urllib.parse
import zipfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.leaderboard.conftest import submission_of
from tests.leaderboard.server import children
from tests.leaderboard.server.conftest import SUBMISSIONS, SUITE, Here
from tlbench.leaderboard import archive
from tlbench.leaderboard.archive import MAX_BUNDLE
from tlbench.leaderboard.server import armour, bodies, sandbox
from tlbench.leaderboard.server.errors import Refused
from tlbench.leaderboard.submission import Submission

MARKUP = "<script>alert(1)</script>"


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members:
            file.writestr(name, content)
    return out.getvalue()


def changed(spam: Submission, metadata: bytes | None = None, table: bytes | None = None) -> bytes:
    members = archive.unpack(spam.to_bytes())
    return archive.pack(
        {archive.METADATA: metadata or members[archive.METADATA], archive.TABLE: table or members[archive.TABLE]}
    )


def with_value(spam: Submission, name: str, text: str) -> bytes:
    content = json.loads(archive.unpack(spam.to_bytes())[archive.METADATA])
    content[name] = "?"
    return changed(spam, json.dumps(content).replace('"?"', text, 1).encode())


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def million_rows() -> bytes:
    out = pa.BufferOutputStream()
    pq.write_table(pa.table({"key": ["x"] * 10**6}), out, compression="none")
    return bytes(out.getvalue().to_pybytes())


def zip_bomb() -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = b"\0" * 2**20
    body = b"".join(packer.compress(zeros) for _ in range(80)) + packer.flush()
    assert len(body) < 2**18
    return zipped((archive.METADATA, b"{}"), (archive.TABLE, b"\0" * (80 * 2**20)))


HOSTILE: dict[str, tuple[Callable[[Submission], bytes], str]] = {
    "zip bomb": (lambda s: zip_bomb(), "too large"),
    "path traversal": (lambda s: zipped(("../../evil", b"x"), (archive.TABLE, b"")), "leads elsewhere"),
    "absolute path": (lambda s: zipped(("/tmp/evil", b"x")), "leads elsewhere"),
    "symbolic link": (
        lambda s: zipped((link(archive.METADATA), b"/etc"), (archive.TABLE, b"")),
        "no plain file",
    ),
    "wrong type": (lambda s: with_value(s, "seeds", '"many"'), "seeds"),
    "huge number": (lambda s: with_value(s, "seeds", "1" + "0" * 400), "too large a number"),
    "NaN": (lambda s: with_value(s, "seeds", "NaN"), "not a finite number"),
    "a key twice": (lambda s: changed(s, b'{"seeds": 1, "seeds": 2}'), "appears twice"),
    "deep nesting": (lambda s: changed(s, b"[" * 10_000), "nested too deeply"),
    "a million rows": (lambda s: changed(s, table=million_rows()), "records.parquet"),
    "no Parquet": (lambda s: changed(s, table=b"PAR1" + b"\xff" * 100 + b"PAR1"), "records.parquet is damaged"),
    "a link that is a script": (lambda s: with_value(s, "url", '"javascript:alert(1)"'), "must be a link"),
    "terminal escapes": (lambda s: with_value(s, "name", r'"\u001b[2J"'), "control or invisible"),
    "unknown suite with markup": (lambda s: with_value(s, "suite", f'"{MARKUP}"'), "not known here"),
    "empty": (lambda s: b"", "is no zip"),
    "text": (lambda s: b"x" * 1000, "is no zip"),
}


def test_hostile_bundles(start: Callable[..., Here], bundles: list[Submission], tmp_path: Path) -> None:
    here = start()
    token = here.tokens.create("someone", "maintain")
    for name, (make, reason) in HOSTILE.items():
        answer = here.submit(make(bundles[0]), token)
        assert answer.status_code == 422, (name, answer.text)
        error = answer.json()["error"]
        assert reason in error, (name, error)
        assert error.isprintable()
        assert len(error) < 700
        assert str(tmp_path) not in error
    assert here.board.entries() == []
    assert not [p for p in here.board.folder.rglob("*") if "evil" in p.name]
    assert not list((here.board.folder / "uploads").iterdir())
    assert here.submit(bundles[0].to_bytes(), token).status_code == 201


def test_markup_is_data(here: Here) -> None:
    texts = {"paper": MARKUP, "external_knowledge": "'\"><img src=x onerror=alert(1)>"}
    spam = submission_of(SUITE, name=MARKUP, about={**texts, "contact": "<b>a@example.org</b>"})
    answer = here.submit(spam.to_bytes(), here.token())
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["name"] == MARKUP


class TestBody:
    """A body that isn't what its head says."""

    def raw(self, here: Here, token: str, *lines: str, body: bytes = b"", end: bool = True) -> bytes:
        """What a server answers to a request written by hand."""
        address = urllib.parse.urlsplit(here.url)
        head = [f"POST {SUBMISSIONS} HTTP/1.1", "Host: x", f"Authorization: Bearer {token}"]
        head += ["Content-Type: application/zip", *lines, "", ""]
        with socket.create_connection((address.hostname, address.port), timeout=60) as connection:
            connection.sendall("\r\n".join(head).encode() + body)
            if end:
                connection.shutdown(socket.SHUT_WR)
            found = b""
            while piece := connection.recv(65_536):
                found += piece
            return found

    def test_lies(self, here: Here, bundles: list[Submission]) -> None:
        token, data = here.token(), bundles[0].to_bytes()
        whole = f"Content-Length: {len(data)}"
        assert b" 411 " in self.raw(here, token).partition(b"\r\n")[0]
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        chunked = self.raw(here, token, "Transfer-Encoding: chunked", body=chunk * 20 + b"0\r\n\r\n")
        assert b" 411 " in chunked.partition(b"\r\n")[0]
        for size in (str(MAX_BUNDLE + 1), "9" * 18):
            too_large = self.raw(here, token, f"Content-Length: {size}", "Expect: 100-continue")
            assert b" 413 " in too_large.partition(b"\r\n")[0]  # and not "100 Continue": nothing was read
        for size in ("-1", "1e3", "0x10", "+5"):
            assert b" 400 " in self.raw(here, token, f"Content-Length: {size}", body=data).partition(b"\r\n")[0]
        both = self.raw(here, token, whole, "Transfer-Encoding: chunked", body=chunk + b"0\r\n\r\n")
        assert b" 411 " in both.partition(b"\r\n")[0] or b" 400 " in both.partition(b"\r\n")[0]
        assert b" 201 " not in self.raw(here, token, whole, body=data[: len(data) // 2])  # truncated
        smaller = self.raw(here, token, f"Content-Length: {len(data) - 10}", "Connection: close", body=data, end=False)
        # what is missing at its end is missed; an older server refuses the rest as a bad request before it answers
        assert smaller.split(b" ")[1] in (b"422", b"400")
        assert here.board.entries() == []
        assert not list(here.board.folder.glob("uploads/*"))
        assert b" 201 " in self.raw(here, token, whole, "Connection: close", body=data, end=False)

    def test_the_answer_arrives_although_the_body_was_refused(self, here: Here) -> None:
        """An answer is not lost because the client is still writing."""
        for _ in range(3):
            answer = here.submit(b"x" * (MAX_BUNDLE - 1), "tlb_not_a_token")
            assert answer.status_code == 401

    def test_another_type(self, here: Here) -> None:
        answer = here.submit(b"x", here.token(), **{"Content-Type": "text/html"})
        assert answer.status_code == 415

    def test_silence(self, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
        """Clients that say nothing, or not enough, are not waited for."""
        monkeypatch.setattr(armour, "HEAD_SECONDS", 0.3)
        monkeypatch.setattr(bodies, "CHUNK_SECONDS", 0.3)
        monkeypatch.setattr(armour, "_DRAIN_SECONDS", 0.1)
        address = urllib.parse.urlsplit(here.url)
        for sent in (b"", b"GET / HTTP/1.1\r\nHost: x\r\n"):
            with socket.create_connection((address.hostname, address.port), timeout=60) as connection:
                connection.sendall(sent)
                with contextlib.suppress(ConnectionResetError):
                    assert connection.recv(1000) == b""  # closed
        slow = self.raw(here, here.token(), "Content-Length: 1000", body=b"x" * 10, end=False)
        assert b" 408 " in slow.partition(b"\r\n")[0]
        assert here.client.get("/api/v1/health").status_code == 200


@pytest.mark.parametrize(
    ("child", "reason"),
    [
        (children.ends, "can't be read"),
        (children.sleeps, "took more than"),
        (children.eats, "can't be read"),
        (children.lies, "is not valid"),
    ],
)
def test_a_child_that_dies_takes_nothing_with_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, bundles: list[Submission], child: Any, reason: str
) -> None:
    (tmp_path / "x.zip").write_bytes(bundles[0].to_bytes())
    box = sandbox.Sandbox({SUITE.id: SUITE}, memory=2**30, seconds=20 if child is not children.sleeps else 1)
    with monkeypatch.context() as patched:
        patched.setattr(sandbox, "inspect", child)
        with pytest.raises(Refused, match=reason) as caught:
            box.inspect(tmp_path / "x.zip")
    assert caught.value.status == 422
    assert box.inspect(tmp_path / "x.zip").id == bundles[0].id


def test_a_bundle_that_needs_too_much_memory(tmp_path: Path, bundles: list[Submission]) -> None:
    (tmp_path / "x.zip").write_bytes(bundles[0].to_bytes())
    with pytest.raises(Refused) as caught:
        sandbox.Sandbox({SUITE.id: SUITE}, memory=2**20).inspect(tmp_path / "x.zip")
    assert caught.value.status == 422


def test_the_same_bundle_and_different_ones_from_many_clients(here: Here, bundles: list[Submission]) -> None:
    token = here.token()
    data = [bundle.to_bytes() for bundle in [*bundles[:4], *[bundles[4]] * 6]]
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda d: here.submit(d, token), data))
    assert [a.status_code for a in answers[:4]] == [201] * 4
    assert sorted(a.status_code for a in answers[4:]) == [200] * 5 + [201]
    assert len({a.text for a in answers[4:]}) == 1
    assert sorted(e.id for e in here.board.entries()) == sorted(b.id for b in bundles[:5])
