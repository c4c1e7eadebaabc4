"""Takes submissions and verifications: the log says pending, the board keeps, the log says accepted.

The board's folder is the truth. A crash between the three leaves a pending row, which is settled by looking into the
folder: at the next start, and whenever the same thing is sent again.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import select

from tlbench.leaderboard.board import Board
from tlbench.leaderboard.entries import Entry, of_suite, snapshots
from tlbench.leaderboard.server.database import Database, now
from tlbench.leaderboard.server.errors import Refused
from tlbench.leaderboard.server.schema import ACCEPTED, PENDING, Submitted, Verified
from tlbench.leaderboard.server.tokens import Holder
from tlbench.leaderboard.submission import Metadata, Submission
from tlbench.leaderboard.verification import Verification, parse_verification
from tlbench.leaderboard.verification_runs import check_runs
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.records import CONTROL_PREFIX

Logged = TypeVar("Logged", Submitted, Verified)


@dataclass(frozen=True)
class Taken:
    """What became of a submission; the same whenever it is sent again, but for ``new``.

    Attributes:
        entry: Its entry.
        snapshot: Digest of the board's state on its suite right after it was accepted.
        new: Whether it was accepted just now.
    """

    entry: Entry
    snapshot: str
    new: bool


class Intake:
    """The one way onto a server's board.

    Args:
        board: The board.
        database: The log.
    """

    def __init__(self, board: Board, database: Database) -> None:
        self._board = board
        self._database = database
        self._lock = threading.Lock()

    def settle(self) -> int:
        """Make the log agree with the folder; gives the number of rows that were pending."""
        with self._lock:
            entries = {entry.id: entry for entry in self._board.entries()}
            with self._database.write() as session:
                sent = session.scalars(select(Submitted).where(Submitted.state == PENDING)).all()
                checked = session.scalars(select(Verified).where(Verified.state == PENDING)).all()
                rows: list[tuple[Submitted | Verified, bool]] = [(row, row.id in entries) for row in sent]
                rows += [(row, self._has_verification(entries.get(row.submission), row.id)) for row in checked]
                for row, there in rows:
                    if there:
                        row.state = ACCEPTED
                    else:
                        session.delete(row)
                return len(rows)

    def take(self, submission: Submission, holder: Holder) -> Taken:
        """Keep a submission that was validated; when this returns, it is durable.

        Raises:
            Refused: If the holder may not.
            StorageError: If it can't be kept.
        """
        with self._lock:
            entries = self._board.entries()
            found = next((entry for entry in entries if entry.id == submission.id), None)
            if found is None:
                self._check_may_add(entries, submission.metadata, holder)
                self._log(Submitted(id=submission.id, token=holder.id, state=PENDING, created=now()))
                try:
                    kept = self._board.keep(submission).entry
                except BaseException:
                    there = any(entry.id == submission.id for entry in self._board.entries())
                    self._settle_row(Submitted, submission.id, there)
                    raise
                entries = [*entries, kept]
            self._settle_row(Submitted, submission.id, True)
            return self._taken(entries, submission.id, new=found is None)

    def verify(self, entry: Entry, text: bytes, holder: Holder) -> tuple[Verification, bool]:
        """Keep a verification; when this returns, it is durable.

        Args:
            entry: What was verified.
            text: The document.
            holder: Who sends it.

        Returns:
            The document, and whether it is new.

        Raises:
            Refused: If it is not valid, its runs are not the submission's, or the holder may not.
            StorageError: If it can't be kept.
        """
        try:
            document = parse_verification(text)
        except TlbenchError as error:
            raise Refused(422, str(error)) from None
        submission = self._board.submission(entry)  # if it is damaged, that is no fault of the document's
        try:
            check_runs(document, submission)
        except TlbenchError as error:
            raise Refused(422, str(error)) from None
        with self._lock:
            if document.kind == "verified" and not holder.maintains:
                raise Refused(403, "only a token of scope maintain may send `verified`: send it as `reproduced`")
            if document.kind == "reproduced" and self._owner(entry) == holder.id:
                raise Refused(403, "nobody reproduces a submission of their own: someone else must")
            new = not self._has_verification(entry, document.digest)
            if new:
                row = Verified(id=document.digest, submission=entry.id, token=holder.id, state=PENDING, created=now())
                self._log(row)
                try:
                    self._board.add_verification(entry, document)
                except BaseException:
                    self._settle_row(Verified, document.digest, self._has_verification(entry, document.digest))
                    raise
            self._settle_row(Verified, document.digest, True)
            return document, new

    def _check_may_add(self, entries: list[Entry], metadata: Metadata, holder: Holder) -> None:
        if holder.maintains:
            return
        if metadata.method.startswith(CONTROL_PREFIX):
            raise Refused(403, "learners from scratch are what all others are held against: only maintainers add them")
        line = (metadata.digest, metadata.method, metadata.version)
        same = [e for e in entries if (e.metadata.digest, e.metadata.method, e.metadata.version) == line]
        if same and self._owner(same[0]) != holder.id:
            raise Refused(
                403,
                f"{metadata.method} {metadata.version} on {metadata.suite} was first submitted by someone else: only "
                "they or a maintainer may replace it; raise the version, or give your method an id of its own",
            )

    def _owner(self, entry: Entry) -> str | None:
        """The token that sent an entry; none: it came with tlbench, or its maintainer added it by hand."""
        if entry.reference:
            return None
        with self._database.read() as session:
            row = session.get(Submitted, entry.id)
            return None if row is None else row.token

    def _log(self, row: Submitted | Verified) -> None:
        with self._database.write() as session:
            session.merge(row)

    def _settle_row(self, table: type[Logged], key: str, there: bool) -> None:
        with self._database.write() as session:
            row = session.get(table, key)
            if row is None or row.state == ACCEPTED:
                return
            if there:
                row.state = ACCEPTED
            else:
                session.delete(row)

    def _has_verification(self, entry: Entry | None, digest: str) -> bool:
        return entry is not None and any(v.digest == digest for v in self._board.verifications(entry))

    def _taken(self, entries: list[Entry], submission: str, *, new: bool) -> Taken:
        entry = next(e for e in entries if e.id == submission)
        states = of_suite(entries, entry.metadata.digest)
        return Taken(entry, snapshots(states)[[e.id for e in states].index(submission)], new)
