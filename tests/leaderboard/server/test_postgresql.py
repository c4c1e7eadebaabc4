"""The server on PostgreSQL: a real one, started for the test where Debian's is installed."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.leaderboard.server.conftest import Here
from tests.leaderboard.server.test_api import leave_pending
from tlbench.leaderboard.server.database import Database
from tlbench.leaderboard.server.intake import Intake
from tlbench.leaderboard.server.tokens import Tokens
from tlbench.leaderboard.submission import Submission
from tlbench.protocol.errors import TlbenchError

PROGRAMS = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None, key=lambda p: int(p.parent.name))


def _user() -> dict[str, str | int]:
    """PostgreSQL refuses to run as root: then it runs as Debian's user for it."""
    if os.geteuid() != 0:
        return {}
    try:
        found = pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip("running as root, and there is no user postgres")
    return {"user": found.pw_uid, "group": found.pw_gid}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The address of an empty database."""
    if PROGRAMS is None or not (PROGRAMS / "initdb").exists():
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    pytest.importorskip("psycopg", reason="pip install 'tlbench[postgresql]'")
    user = _user()
    folder = Path(tempfile.mkdtemp(prefix="tlbench-postgresql-"))
    if user:
        os.chown(folder, int(user["user"]), int(user["group"]))
    data, password = folder / "data", folder / "password"
    password.write_text("hidden")
    password.chmod(0o644)

    def call(program: str, *arguments: str) -> None:
        assert PROGRAMS is not None
        subprocess.run([PROGRAMS / program, *arguments], check=True, cwd=folder, stdout=subprocess.DEVNULL, **user)  # type: ignore[call-overload]

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = f"-c listen_addresses=127.0.0.1 -p {port} -c unix_socket_directories={folder} -c max_connections=30"
    call("initdb", "-D", str(data), "-U", "tlbench", "-A", "scram-sha-256", f"--pwfile={password}", "-E", "UTF8")
    call("pg_ctl", "-D", str(data), "-w", "-l", str(folder / "log"), "-o", options, "start")
    try:
        yield f"postgresql://tlbench:hidden@127.0.0.1:{port}/postgres"
    finally:
        call("pg_ctl", "-D", str(data), "-w", "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def test_submit_many_at_once_and_settle(
    url: str, start: Callable[..., Here], bundles: list[Submission], tmp_path: Path
) -> None:
    here = start(url=url)
    token, other = here.token(), here.token()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda b: here.submit(b.to_bytes(), token), [*bundles[:4], bundles[0]]))
    assert sorted(a.status_code for a in answers) == [200, 201, 201, 201, 201]
    assert here.submit(bundles[5].to_bytes(), other).status_code == 403
    leave_pending(here, bundles[6], token)
    leave_pending(here, bundles[7], token)
    here.board.keep(bundles[6])
    assert Intake(here.board, here.database).settle() == 2
    with here.database.read() as session:
        rows = session.execute(text("select id, state from tlbench_submissions")).all()
    assert {tuple(row) for row in rows} == {(e.id, "accepted") for e in here.board.entries()}
    here.tokens.revoke(token)
    assert here.submit(bundles[0].to_bytes(), token).status_code == 401


def test_what_is_kept_stays_and_the_version_is_checked(url: str) -> None:
    first = Database(url)
    token = Tokens(first).create("x", "maintain")
    first.close()
    again = Database(url)
    assert Tokens(again).holder(token).maintains
    with again.write() as session:
        session.execute(text("update tlbench_schema set version = 7"))
    try:
        with pytest.raises(TlbenchError, match="of version 7, here it is 1"):
            Database(url)
    finally:
        with again.write() as session:
            session.execute(text("update tlbench_schema set version = 1"))
        again.close()


def test_a_wrong_password_is_not_repeated(url: str) -> None:
    with pytest.raises(TlbenchError, match="can't open the database") as caught:
        Database(url.replace("hidden", "guessed"))
    assert "guessed" not in str(caught.value)


def test_many_open_an_empty_database_at_once(url: str) -> None:
    with contextlib.closing(Database(url)) as opened, opened.write() as session:
        for name in ("verifications", "submissions", "tokens", "schema"):
            session.execute(text(f"drop table tlbench_{name}"))

    def work(number: int) -> None:
        database = Database(url)
        Tokens(database).create(f"token {number}", "submit")
        database.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    database = Database(url)
    assert len(Tokens(database).listed()) == 4
    database.close()
