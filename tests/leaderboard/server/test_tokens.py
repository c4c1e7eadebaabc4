from __future__ import annotations

import datetime
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from tests.leaderboard.server.conftest import Here
from tlbench.leaderboard.server import tokens as module
from tlbench.leaderboard.server.database import Database
from tlbench.leaderboard.server.errors import Refused
from tlbench.leaderboard.server.rates import Buckets, address_key
from tlbench.leaderboard.server.schema import Token
from tlbench.leaderboard.server.service import Limits
from tlbench.leaderboard.server.tokens import Tokens
from tlbench.leaderboard.submission import Submission
from tlbench.protocol.errors import TlbenchError


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = Database.of_board(tmp_path, None)
    yield found
    found.close()


def why(tokens: Tokens, text: str) -> str:
    with pytest.raises(Refused) as caught:
        tokens.holder(text)
    assert caught.value.status == 401
    return caught.value.message


def test_a_life(database: Database, tmp_path: Path) -> None:
    tokens = Tokens(database)
    token = tokens.create("A. Reader", "submit")
    holder = tokens.holder(token)
    assert (holder.name, holder.scope, holder.maintains) == ("A. Reader", "submit", False)
    assert tokens.holder(tokens.create("boss", "maintain")).maintains
    assert {t.name: t.state for t in tokens.listed()} == {"A. Reader": "active", "boss": "active"}
    assert next(t for t in tokens.listed() if t.id == holder.id).last_used is not None
    assert tokens.revoke(holder.id) == "A. Reader"
    assert "was revoked" in why(tokens, token)  # although it was verified a moment ago
    assert "revoked" in [t.state for t in tokens.listed()]
    with pytest.raises(TlbenchError, match="no such token"):
        tokens.revoke("0" * 12)


def test_only_a_hash_is_kept(database: Database, tmp_path: Path) -> None:
    secret = Tokens(database).create("x", "submit").split("_")[2]
    database.close()
    files = list(tmp_path.iterdir())
    assert all(secret.encode() not in file.read_bytes() for file in files)
    with sqlite3.connect(tmp_path / "server.sqlite") as connection:
        (kept,) = connection.execute("select hash from tlbench_tokens").fetchone()
    connection.close()
    assert kept.startswith("$argon2id$")
    assert (tmp_path / "server.sqlite").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "change", [lambda t: t[:-1] + ("0" if t[-1] != "0" else "1"), lambda t: "tlb_" + "0" * 12 + t[16:]]
)
def test_tampered(database: Database, change: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = Tokens(database)
    token = tokens.create("x", "submit")
    tokens.holder(token)
    hashed = []
    monkeypatch.setattr(tokens, "_is_secret", lambda *a, real=tokens._is_secret: hashed.append(a) or real(*a))
    assert why(tokens, change(token)) == "the token is not valid"
    assert len(hashed) == 1  # an unknown id costs what a wrong secret costs


@pytest.mark.parametrize("text", ["", "x", "tlb_", "tlb_" + "0" * 12, "tlb_" + "é" * 12 + "_" + "0" * 64, "\ud800"])
def test_no_token_at_all(database: Database, text: str) -> None:
    tokens = Tokens(database)
    assert not tokens.knows(text)
    assert "looks like" in why(tokens, text)


def test_expired(database: Database) -> None:
    tokens = Tokens(database)
    token = tokens.create("x", "submit", datetime.datetime.now(datetime.UTC).date())
    assert tokens.holder(token)  # its last day
    with database.write() as session:
        session.execute(update(Token).values(expires="2020-01-01T23:59:59Z"))
    assert "expired at 2020-01-01" in why(tokens, token)
    assert tokens.listed()[0].state == "expired"
    with pytest.raises(TlbenchError, match="over already"):
        tokens.create("x", "submit", datetime.date(2020, 1, 1))


@pytest.mark.parametrize("name", ["", " ", "a\nb", "\x1b[31m", "x" * 201])
def test_names(database: Database, name: str) -> None:
    with pytest.raises(TlbenchError, match="name is one line"):
        Tokens(database).create(name, "submit")


def test_what_is_remembered_ends(database: Database) -> None:
    time = [0.0]
    tokens = Tokens(database, lambda: time[0])
    token = tokens.create("x", "submit")
    assert not tokens.knows(token)
    tokens.holder(token)
    assert tokens.knows(token)
    assert not tokens.knows(token[:-1])
    time[0] += module.REMEMBERED_SECONDS
    assert not tokens.knows(token)


def test_buckets() -> None:
    time = [0.0]
    buckets = Buckets(per_minute=60, burst=2, clock=lambda: time[0])
    assert [buckets.take("a") for _ in range(3)] == [0.0, 0.0, 1.0]
    assert buckets.take("b") == 0.0
    time[0] = 0.5
    assert buckets.take("a") == 0.5
    time[0] = 1.0
    assert buckets.take("a") == 0.0
    buckets.give_back("a")
    assert buckets.take("a") == 0.0
    assert buckets.take("a") == 1.0
    time[0] = 1000.0
    for i in range(20_000):  # it forgets what is full, and stays small
        buckets.take(str(i))
    assert len(buckets._left) <= 10_000


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::"),
        ("testclient", "elsewhere"),
    ],
)
def test_addresses(host: str, key: str) -> None:
    assert address_key(host) == key


def test_rates_of_a_server(start: Callable[..., Here], bundles: list[Submission]) -> None:
    here = start(limits=Limits(per_minute=0.5, burst=2, failures=3))
    token, other = here.token(), here.token()
    data = bundles[0].to_bytes()
    assert [here.submit(data, token).status_code for _ in range(3)] == [201, 200, 429]
    refused = here.submit(data, token)
    assert 100 <= int(refused.headers["retry-after"]) <= 121
    assert here.submit(data, other).status_code == 200  # each token has a rate of its own
    wrong = [here.submit(data, f"tlb_{i:012x}_{'0' * 64}") for i in range(5)]
    assert [w.status_code for w in wrong] == [401, 401, 401, 429, 429]
    assert "too many tries" in wrong[-1].json()["error"]
    assert here.submit(data, other).status_code == 200  # known a moment ago: not locked out
    assert here.submit(data, here.token()).status_code == 429
