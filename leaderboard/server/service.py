"""Everything that a running server holds, and who may do what how often."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass

from starlette.requests import Request

from tlbench.leaderboard.board import Board
from tlbench.leaderboard.entries import Entry, find_entry
from tlbench.leaderboard.server.database import Database
from tlbench.leaderboard.server.errors import Refused
from tlbench.leaderboard.server.intake import Intake
from tlbench.leaderboard.server.publishing import Build, Publisher, build_pages
from tlbench.leaderboard.server.rates import Buckets, address_key
from tlbench.leaderboard.server.sandbox import Sandbox
from tlbench.leaderboard.server.tokens import Holder, Tokens
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.specs import SuiteSpec

QUEUE_SECONDS = 120.0
"""How long a bundle may wait for its inspection."""


@dataclass(frozen=True)
class Limits:
    """How much a server takes.

    Attributes:
        per_minute: Submissions and verifications of one token per minute, in the long run.
        burst: How many of them at once.
        failures: Failed authentications of one address per minute.
        uploads: Bundles that are received or wait at the same time.
    """

    per_minute: float = 30
    burst: int = 30
    failures: int = 10
    uploads: int = 64


class Service:
    """A server's parts.

    Args:
        board: The board.
        suites: The suites that are known, by id.
        database: Tokens and the log.
        limits: How much is taken.
        build: What builds the site.
    """

    def __init__(
        self,
        board: Board,
        suites: Mapping[str, SuiteSpec],
        database: Database,
        limits: Limits,
        build: Build = build_pages,
    ) -> None:
        self.board = board
        self.suites = dict(suites)
        self.tokens = Tokens(database)
        self.intake = Intake(board, database)
        self.sandbox = Sandbox(suites)
        self.publisher = Publisher(board, suites, build)
        self._limits = limits
        self._uses = Buckets(limits.per_minute, limits.burst)
        self._failures = Buckets(limits.failures, limits.failures)
        self._inspections = asyncio.Semaphore(self.sandbox.slots)
        self._uploads = 0

    def holder(self, request: Request) -> Holder:
        """Whose token a request carries; it blocks.

        Raises:
            Refused: If it carries none that is valid, or its address failed too often.
        """
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token:
            raise Refused(401, "a token is needed: Authorization: Bearer tlb_...")
        address = address_key(request.client.host if request.client else "")
        counted = not self.tokens.knows(token)
        if counted and (wait := self._failures.take(address)):
            raise Refused(429, "too many tries with tokens that are not valid: try again later", retry_after=wait)
        holder = self.tokens.holder(token)
        if counted:
            self._failures.give_back(address)
        return holder

    def count_use(self, holder: Holder) -> None:
        """Count a submission or verification.

        Raises:
            Refused: If there were too many.
        """
        if wait := self._uses.take(holder.id):
            raise Refused(429, "too many submissions with this token: try again later", retry_after=wait)

    @contextlib.contextmanager
    def upload(self) -> Iterator[None]:
        """A place among those who send a bundle.

        Raises:
            Refused: If there is none left.
        """
        if self._uploads >= self._limits.uploads:
            raise Refused(503, "too many submissions at once: try again later", retry_after=5)
        self._uploads += 1
        try:
            yield
        finally:
            self._uploads -= 1

    @contextlib.asynccontextmanager
    async def inspection(self) -> AsyncIterator[None]:
        """A place among those whose bundle is inspected.

        Raises:
            Refused: If none becomes free in time.
        """
        try:
            await asyncio.wait_for(self._inspections.acquire(), QUEUE_SECONDS)
        except TimeoutError:
            raise Refused(503, "too many submissions at once: try again later", retry_after=30) from None
        try:
            yield
        finally:
            self._inspections.release()

    def entry(self, name: str) -> Entry:
        """The entry of an id, or of its first 12 or more digits.

        Raises:
            Refused: If there is none.
        """
        try:
            if len(name) < 12 or set(name) - set("0123456789abcdef"):
                raise TlbenchError("no id")
            return find_entry(self.board.entries(), name)
        except TlbenchError:
            raise Refused(404, "there is no such submission") from None

    def suite(self, name: str) -> SuiteSpec:
        """The suite of an id.

        Raises:
            Refused: If there is none.
        """
        if name not in self.suites:
            raise Refused(404, "there is no such suite")
        return self.suites[name]
