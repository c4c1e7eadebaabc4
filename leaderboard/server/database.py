"""The database of a server: SQLite in the board's folder, or PostgreSQL by URL."""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, inspect, select
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, ProgrammingError, SQLAlchemyError
from sqlalchemy.orm import Session

from tlbench.leaderboard.server.schema import VERSION, Base, Schema
from tlbench.leaderboard.strictjson import plain
from tlbench.protocol.errors import TlbenchError

FILE = "server.sqlite"
BUSY_SECONDS = 20
CONNECT_SECONDS = 10


class Database:
    """Sessions on a database whose tables are of this version.

    Args:
        url: SQLAlchemy's form, ``sqlite:///file`` or ``postgresql://user:password@host/name``.

    Raises:
        TlbenchError: If it can't be opened, or was made by another version.
    """

    def __init__(self, url: str) -> None:
        parsed = _parse(url)
        self._shown = parsed.render_as_string(hide_password=True)
        try:
            self._engine = _engine(parsed)
        except OSError as error:
            raise TlbenchError(f"can't open the database {self._shown}: {plain(error)}") from None
        try:
            self._writing = self._engine.execution_options(sqlite_begin="BEGIN IMMEDIATE")
            self._open()
        except (SQLAlchemyError, TlbenchError) as error:
            self.close()
            if isinstance(error, TlbenchError):
                raise
            reason = getattr(error, "orig", None) or error
            raise TlbenchError(f"can't open the database {self._shown}: {plain(reason)}") from None

    @classmethod
    def of_board(cls, folder: Path, url: str | None) -> Database:
        """The database named, or the SQLite file in a board's folder."""
        if url is not None:
            return cls(url)
        return cls(URL.create("sqlite", database=str(folder.absolute() / FILE)).render_as_string())

    @contextlib.contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that only reads."""
        with Session(self._engine) as session:
            yield session

    @contextlib.contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction; it is durable when this ends without an error."""
        with Session(self._writing) as session, session.begin():
            yield session

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def _open(self) -> None:
        if not inspect(self._engine).has_table(Schema.__tablename__):
            with contextlib.suppress(IntegrityError, ProgrammingError), self.write() as session:  # another was faster
                Base.metadata.create_all(session.connection())
                session.add(Schema(version=VERSION))
        with self.read() as session:
            found = session.scalars(select(Schema.version)).all()
        if list(found) != [VERSION]:
            raise TlbenchError(
                f"the database {self._shown} was made by another version of tlbench: its tables are of version "
                f"{', '.join(map(str, found)) or 'none'}, here it is {VERSION}"
            )


def now() -> str:
    """The present time as it is kept."""
    return moment(datetime.datetime.now(datetime.UTC))


def moment(time: datetime.datetime) -> str:
    """A time (with its zone) as it is kept."""
    return time.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise TlbenchError("--database is no URL: sqlite:///FILE or postgresql://user:password@host/name") from None
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise TlbenchError(f"{plain(parsed.get_backend_name(), 30)} is not supported: sqlite or postgresql")
    return parsed


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "postgresql":
        try:
            return create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": CONNECT_SECONDS})
        except (ModuleNotFoundError, NoSuchModuleError):
            raise TlbenchError("PostgreSQL needs a driver: pip install 'tlbench[server,postgresql]'") from None
    if url.database in (None, "", ":memory:"):
        raise TlbenchError("a database in memory would forget all tokens: sqlite:///FILE")
    path = Path(str(url.database))
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # only the server's user may read it
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # transactions begin where SQLAlchemy says so, below
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    """A transaction that will write takes its lock at once: taken later, it could fail."""
    connection.exec_driver_sql(connection.get_execution_options().get("sqlite_begin", "BEGIN"))
