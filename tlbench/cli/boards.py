"""What the commands on submissions and leaderboards share: options, and how a board is opened."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tlbench.leaderboard.board import Added, Board
    from tlbench.protocol.specs import SuiteSpec

DEFAULT_BOARD = Path("leaderboard-data")

BoardOption = Annotated[
    Path | None, typer.Option("--board", help=f"Folder of the leaderboard; by default {DEFAULT_BOARD}.")
]
SuiteFileOption = Annotated[str | None, typer.Option("--suite", help="A suite that is not installed: its TOML file.")]


def open_board(folder: Path | None) -> Board:
    """The board in a folder, on top of the reference submissions.

    Raises:
        TlbenchError: If the folder that was named is none.
    """
    from tlbench.leaderboard.board import Board
    from tlbench.protocol.errors import TlbenchError

    chosen = folder or DEFAULT_BOARD
    if chosen.exists() and not chosen.is_dir():
        raise TlbenchError(f"{chosen} is no folder: --board names a leaderboard's folder")
    return Board.local(chosen)


def known_suites(suite: str | None) -> Mapping[str, SuiteSpec]:
    """The installed suites by id, and the one named."""
    from tlbench.protocol.discovery import find_suite, suites

    if suite is None:
        return suites()
    found = find_suite(suite)
    return {**suites(), found.id: found}


def tell_added(added: Added, board: Board) -> None:
    """Say what became of a submission."""
    entry = added.entry
    name = f"{entry.metadata.name} ({entry.metadata.method} {entry.metadata.version}) on {entry.metadata.suite}"
    if added.new:
        typer.echo(f"added {name} as {entry.short_id} to {board.folder}")
    else:
        typer.echo(f"{board.folder} has {name} already, as {entry.short_id}: nothing was changed")
