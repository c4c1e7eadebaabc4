"""The server is killed with SIGKILL: folder, index and log agree afterwards, and nothing that was answered is lost."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.leaderboard.conftest import submission_of
from tests.leaderboard.server.conftest import SUITE, Apart, HTTPClient, wait_for
from tests.leaderboard.test_verification import document
from tlbench.leaderboard.board import Board
from tlbench.leaderboard.server.database import Database
from tlbench.leaderboard.server.intake import Intake
from tlbench.leaderboard.server.tokens import Holder, Tokens
from tlbench.leaderboard.submission import Submission

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")

KILL = """
import os, signal, sys
from pathlib import Path
from tlbench.leaderboard import submission
from tlbench.leaderboard.board import Board
from tlbench.leaderboard.server import intake
from tlbench.leaderboard.server.database import Database
from tlbench.leaderboard.server.tokens import Holder

root, sent, holder = Path(sys.argv[1]), Path(sys.argv[2]).read_bytes(), Holder(sys.argv[3], "x", "submit")
bundle = sys.argv[2].endswith(".zip")
found = submission.read(sent) if bundle else None
count = 0

def deadly(real):
    def call(*args, **kwargs):
        global count
        count += 1
        if count == limit: os.kill(os.getpid(), signal.SIGKILL)
        result = real(*args, **kwargs)
        count += 1
        if count == limit: os.kill(os.getpid(), signal.SIGKILL)
        return result
    return call

kills = 0
for limit in range(1, 60):
    child = os.fork()
    if child == 0:
        folder = root / str(limit)
        taking = intake.Intake(Board(folder), Database.of_board(folder, None))
        taking._log, taking._settle_row = deadly(taking._log), deadly(taking._settle_row)
        for name in ("fsync", "rename", "replace", "mkdir"): setattr(os, name, deadly(getattr(os, name)))
        taking.take(found, holder) if bundle else taking.verify(Board(folder).entries()[0], sent, holder)
        os._exit(0)
    if not os.WIFSIGNALED(os.waitpid(child, 0)[1]): break
    kills += 1
print(kills)
"""
"""Takes a bundle, or a verification of the one there, in children that die before or after each of the steps in turn.

Each child has a board of its own.
"""


def make_token(folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    database = Database.of_board(folder, None)
    try:
        return Tokens(database).create("someone", "submit")
    finally:
        database.close()


def state(folder: Path) -> tuple[set[str], set[str], dict[str, str]]:
    """Ids in the folder, in the index, and in the log with their state."""
    folders = {p.name for p in (folder / "submissions").glob("?" * 64)}
    index = folder / "index.json"
    listed = {e["acceptance"]["id"] for e in json.loads(index.read_text())["entries"]} if index.exists() else set()
    connection = sqlite3.connect(folder / "server.sqlite")
    try:
        rows = dict(connection.execute("select id, state from tlbench_submissions"))
    finally:
        connection.close()
    return folders, listed, rows


def agree(folder: Path) -> set[str]:
    """Folder, index (as it is read) and log say the same; gives what."""
    board = Board(folder)
    entries = board.entries()
    for entry in entries:
        assert board.submission(entry).id == entry.id
    ids = {entry.id for entry in entries}
    folders, listed, rows = state(folder)
    assert folders == ids
    assert listed <= ids
    assert rows == dict.fromkeys(ids, "accepted")
    return ids


def verifications(folder: Path) -> tuple[set[str], dict[str, str]]:
    """Digests of the documents in the folder, and those in the log with their state."""
    connection = sqlite3.connect(folder / "server.sqlite")
    try:
        rows = dict(connection.execute("select id, state from tlbench_verifications"))
    finally:
        connection.close()
    return {path.stem for path in (folder / "verifications").glob("*/" + "?" * 64 + ".json")}, rows


def kill_at_each_step(root: Path, template: Path, sent: Path, holder: str) -> int:
    """Runs ``KILL`` on copies of a board, ``root/1`` onwards; gives how many children were killed."""
    for limit in range(1, 60):
        shutil.copytree(template, root / str(limit))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILL, str(root), str(sent), holder],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    kills = int(done.stdout)
    assert 12 <= kills < 59  # every step was met, and the last child came through
    return kills


def submit(url: str, data: bytes, token: str) -> int | None:
    try:
        return HTTPClient(url).submit(data, token).status_code
    except (OSError, http.client.HTTPException):
        return None


@pytest.mark.slow
def test_killed_at_each_step(bundles: list[Submission], tmp_path: Path) -> None:
    token = make_token(tmp_path / "template")
    spam, public = bundles[0], token.split("_")[1]
    (tmp_path / "bundle.zip").write_bytes(spam.to_bytes())
    kills = kill_at_each_step(tmp_path, tmp_path / "template", tmp_path / "bundle.zip", public)
    met = set()
    for limit in range(1, kills + 2):
        folder = tmp_path / str(limit)
        folders, _, rows = state(folder)
        met.add((spam.id in folders, rows.get(spam.id)))
        with contextlib.closing(Database.of_board(folder, None)) as database:
            again = Intake(Board(folder), database)
            again.settle()
            assert agree(folder) == folders
            assert again.take(spam, Holder(public, "x", "submit")).new == (spam.id not in folders)
            assert agree(folder) == {spam.id}
    assert met == {(False, None), (False, "pending"), (True, "pending"), (True, "accepted")}


@pytest.mark.slow
def test_killed_at_each_step_of_a_verification(bundles: list[Submission], tmp_path: Path) -> None:
    template, spam, made = tmp_path / "template", bundles[0], document(bundles[0])
    owner, other = (make_token(template).split("_")[1] for _ in range(2))
    with contextlib.closing(Database.of_board(template, None)) as database:
        Intake(Board(template), database).take(spam, Holder(owner, "x", "submit"))
    (tmp_path / "document.json").write_bytes(made.to_bytes())
    kills = kill_at_each_step(tmp_path, template, tmp_path / "document.json", other)
    met = set()
    for limit in range(1, kills + 2):
        folder = tmp_path / str(limit)
        there, rows = verifications(folder)
        met.add((made.digest in there, rows.get(made.digest)))
        with contextlib.closing(Database.of_board(folder, None)) as database:
            board = Board(folder)
            again = Intake(board, database)
            again.settle()
            assert agree(folder) == {spam.id}
            assert verifications(folder) == (there, dict.fromkeys(there, "accepted"))
            (entry,) = board.entries()
            assert board.verifications(entry) == ((made,) if there else ())
            assert again.verify(entry, made.to_bytes(), Holder(other, "x", "submit")) == (made, not there)
            assert board.verifications(entry) == (made,)
            assert agree(folder) == {spam.id}
            assert verifications(folder) == ({made.digest}, {made.digest: "accepted"})
    assert met == {(False, None), (False, "pending"), (True, "pending"), (True, "accepted")}


@pytest.mark.slow
def test_killed_under_load(apart: Callable[..., Apart], tmp_path: Path) -> None:
    folder = tmp_path / "board"
    token = make_token(folder)
    found = [submission_of(SUITE, name=f"S {i}") for i in range(24)]
    rng = random.Random(0)
    answered: set[str] = set()
    for _ in range(4):
        server = apart()

        def work(share: list[Submission], url: str = server.url) -> None:
            for spam in share:
                if submit(url, spam.to_bytes(), token) in (200, 201):
                    answered.add(spam.id)

        threads = [threading.Thread(target=work, args=(found[i::6],)) for i in range(6)]
        for thread in threads:
            thread.start()
        time.sleep(rng.uniform(0.5, 2.5))
        server.kill()
        for thread in threads:
            thread.join()
        assert answered <= {e.id for e in Board(folder).entries()}
    last = apart()
    assert answered <= agree(folder)
    for spam in found:
        assert submit(last.url, spam.to_bytes(), token) in (200, 201)
    assert agree(folder) == {spam.id for spam in found}
    assert Board(folder).rebuild() == len(found)
    wait_for(lambda: HTTPClient(last.url).get("/").status_code == 200)
    assert last.stop() == -signal.SIGINT
