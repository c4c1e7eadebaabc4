"""Tokens: who may submit and who maintains. They are shown once; what is kept is an Argon2id hash of the secret."""

from __future__ import annotations

import datetime
import hashlib
import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast, get_args

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from sqlalchemy import select, update

from tlbench.leaderboard.server.database import Database, moment, now
from tlbench.leaderboard.server.errors import Refused
from tlbench.leaderboard.server.schema import Token
from tlbench.protocol.errors import TlbenchError

Scope = Literal["submit", "maintain"]
"""``maintain`` includes ``submit``."""

REMEMBERED_SECONDS = 60.0
"""How long a token that was verified need not be hashed again; its row is read at every use all the same."""

_FORM = re.compile(r"tlb_([0-9a-f]{12})_([0-9a-f]{64})")
_MOST_REMEMBERED = 1024
_AT_ONCE = 4
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)  # OWASP's; the secrets have 256 bits
_LAST_USED_STEP = datetime.timedelta(hours=1)


@dataclass(frozen=True)
class Holder:
    """Who a request is from.

    Attributes:
        id: The token's public part.
        name: What its maintainer called it.
        scope: What it may do.
    """

    id: str
    name: str
    scope: Scope

    @property
    def maintains(self) -> bool:
        """Whether it is a maintainer's."""
        return self.scope == "maintain"


@dataclass(frozen=True)
class TokenFacts(Holder):
    """What is known of a token; times are UTC."""

    created: str
    expires: str | None
    revoked: str | None
    last_used: str | None

    @property
    def state(self) -> str:
        """Whether it works."""
        return "revoked" if self.revoked else "expired" if _is_over(self.expires) else "active"


class Tokens:
    """The tokens of a server.

    Args:
        database: Where they are kept.
        clock: Seconds, for what is remembered.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._remembered: dict[bytes, float] = {}
        self._lock = threading.Lock()
        self._hashing = threading.BoundedSemaphore(_AT_ONCE)  # each takes 19 MiB
        self._nobodys_hash = _HASHER.hash(secrets.token_hex(32))

    def create(self, name: str, scope: Scope, expires: datetime.date | None = None) -> str:
        """Make a token; this is the only time that it can be read.

        Args:
            name: What it is for, for the maintainer.
            scope: What it may do.
            expires: The last day (UTC) on which it works; none: until it is revoked.

        Raises:
            TlbenchError: If the name, scope or date is not possible.
        """
        if not name.strip() or len(name) > 200 or not name.isprintable():
            raise TlbenchError("a token's name is one line of at most 200 characters")
        if scope not in get_args(Scope):
            raise TlbenchError(f"a token's scope is one of {', '.join(get_args(Scope))}")
        if expires is not None and expires < datetime.datetime.now(datetime.UTC).date():
            raise TlbenchError(f"{expires} is over already")
        end = None
        if expires is not None:
            end = moment(datetime.datetime.combine(expires, datetime.time(23, 59, 59), datetime.UTC))
        public, secret = secrets.token_hex(6), secrets.token_hex(32)
        token = Token(id=public, name=name.strip(), scope=scope, hash=_HASHER.hash(secret), created=now(), expires=end)
        with self._database.write() as session:
            session.add(token)
        return f"tlb_{public}_{secret}"

    def listed(self) -> list[TokenFacts]:
        """All tokens, oldest first."""
        with self._database.read() as session:
            rows = session.scalars(select(Token).order_by(Token.created, Token.id)).all()
            return [
                TokenFacts(r.id, r.name, cast(Scope, r.scope), r.created, r.expires, r.revoked, r.last_used)
                for r in rows
            ]

    def revoke(self, public: str) -> str:
        """End a token for good, by its public part (or the whole token); gives its name.

        Raises:
            TlbenchError: If there is no such token.
        """
        match = _FORM.fullmatch(public)
        with self._database.write() as session:
            token = session.get(Token, match[1] if match else public)
            if token is None:
                raise TlbenchError("there is no such token: `tlbench leaderboard token list` shows them")
            token.revoked = token.revoked or now()
            return token.name

    def knows(self, text: str) -> bool:
        """Whether a token was verified a moment ago: trying it costs nothing. It may be revoked all the same."""
        with self._lock:
            return self._remembered.get(_fingerprint(text), -1.0) > self._clock()

    def holder(self, text: str) -> Holder:
        """Whose token this is.

        A wrong id takes as long as a wrong secret.

        Raises:
            Refused: If it is unknown, wrong, revoked or over.
        """
        match = _FORM.fullmatch(text)
        if match is None:
            raise Refused(401, "the token is not valid: it looks like tlb_..._...")
        with self._database.read() as session:
            token = session.get(Token, match[1])
            facts = None if token is None else (token.hash, token.name, token.scope, token.last_used)
            revoked, expires = (token.revoked, token.expires) if token else (None, None)
        if facts is None:
            self._is_secret(match[2], self._nobodys_hash)
            raise Refused(401, "the token is not valid")
        kept, name, scope, last_used = facts
        if not self.knows(text):
            if not self._is_secret(match[2], kept):
                raise Refused(401, "the token is not valid")
            self._remember(text)
        if revoked is not None:
            raise Refused(401, "the token was revoked: ask the leaderboard's maintainer for another")
        if _is_over(expires):
            raise Refused(401, f"the token expired at {expires}: ask the leaderboard's maintainer for another")
        if last_used is None or last_used < moment(datetime.datetime.now(datetime.UTC) - _LAST_USED_STEP):
            with self._database.write() as session:
                session.execute(update(Token).where(Token.id == match[1]).values(last_used=now()))
        return Holder(match[1], name, cast(Scope, scope))

    def _is_secret(self, secret: str, kept: str) -> bool:
        with self._hashing:
            try:
                return _HASHER.verify(kept, secret)
            except (Argon2Error, InvalidHashError):
                return False

    def _remember(self, text: str) -> None:
        with self._lock:
            time_ = self._clock()
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered = {k: end for k, end in self._remembered.items() if end > time_}
            if len(self._remembered) < _MOST_REMEMBERED:
                self._remembered[_fingerprint(text)] = time_ + REMEMBERED_SECONDS


def _fingerprint(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _is_over(expires: str | None) -> bool:
    return expires is not None and expires < now()
