"""The tables: tokens, and the log of who sent what. Submissions themselves lie in the board's folder."""

from __future__ import annotations

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

VERSION = 1
"""Version of these tables; a database that says another is not opened."""

PENDING, ACCEPTED = "pending", "accepted"

Id = String(64)
Moment = String(20)
"""UTC, ``2026-01-31T12:00:00Z``: sorts as text, the same in every database."""


class Base(DeclarativeBase):
    """Base of all tables."""


class Schema(Base):
    """One row: the version of the tables."""

    __tablename__ = "tlbench_schema"

    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class Token(Base):
    """A token, of which only the hash of its secret is kept."""

    __tablename__ = "tlbench_tokens"

    id: Mapped[str] = mapped_column(String(12), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    scope: Mapped[str] = mapped_column(String(8))
    hash: Mapped[str] = mapped_column(String(200))
    created: Mapped[str] = mapped_column(Moment)
    expires: Mapped[str | None] = mapped_column(Moment)
    revoked: Mapped[str | None] = mapped_column(Moment)
    last_used: Mapped[str | None] = mapped_column(Moment)


class Submitted(Base):
    """Who sent a submission. ``pending`` is written before it is kept in the folder, ``accepted`` afterwards."""

    __tablename__ = "tlbench_submissions"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    token: Mapped[str] = mapped_column(ForeignKey(Token.id))
    state: Mapped[str] = mapped_column(String(8), index=True)
    created: Mapped[str] = mapped_column(Moment)


class Verified(Base):
    """Who sent a verification; its id is the document's digest. States as above."""

    __tablename__ = "tlbench_verifications"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    submission: Mapped[str] = mapped_column(Id, index=True)
    token: Mapped[str] = mapped_column(ForeignKey(Token.id))
    state: Mapped[str] = mapped_column(String(8), index=True)
    created: Mapped[str] = mapped_column(Moment)
