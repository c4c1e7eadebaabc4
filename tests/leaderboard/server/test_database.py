from __future__ import annotations

import contextlib
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tlbench.leaderboard.server.database import Database
from tlbench.leaderboard.server.tokens import Tokens
from tlbench.protocol.errors import TlbenchError


def test_another_version(tmp_path: Path) -> None:
    Database.of_board(tmp_path, None).close()
    with sqlite3.connect(tmp_path / "server.sqlite") as connection:
        connection.execute("update tlbench_schema set version = 99")
    connection.close()
    with pytest.raises(TlbenchError, match=r"its tables are of version 99, here it is 1"):
        Database.of_board(tmp_path, None)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("nonsense", "is no URL"),
        ("mysql://host/name", "not supported"),
        ("sqlite://", "would forget all tokens"),
        ("postgresql://someone:hidden@127.0.0.1:1/name", "can't open the database postgresql"),
    ],
)
def test_what_cannot_be_opened(url: str, reason: str) -> None:
    with pytest.raises(TlbenchError, match=reason) as caught:
        Database(url)
    assert "hidden" not in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "server.sqlite").write_text("not a database " * 100)
    with pytest.raises(TlbenchError, match="file is not a database"):
        Database.of_board(tmp_path, None)


def test_several_processes_open_and_write(tmp_path: Path) -> None:
    def work(number: int) -> None:
        database = Database.of_board(tmp_path, None)
        try:
            Tokens(database).create(f"token {number}", "submit")
        finally:
            database.close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(12)))
    database = Database.of_board(tmp_path, None)
    assert len(Tokens(database).listed()) == 12
    database.close()


def test_what_fails_is_undone(tmp_path: Path) -> None:
    database = Database.of_board(tmp_path, None)
    tokens = Tokens(database)
    token = tokens.create("x", "submit")
    with contextlib.suppress(ZeroDivisionError), database.write() as session:
        session.connection().exec_driver_sql("delete from tlbench_tokens")
        raise ZeroDivisionError
    assert tokens.holder(token).name == "x"
    database.close()
