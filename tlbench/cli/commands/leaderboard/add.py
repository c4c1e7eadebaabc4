"""``tlbench leaderboard add``: validate what others made, bundles and outcomes of verification, and add it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tlbench.cli.boards import BoardOption, SuiteFileOption

if TYPE_CHECKING:
    from tlbench.leaderboard.board import Board


def command(
    files: Annotated[
        list[Path], typer.Argument(help="Bundles from `tlbench submit --out`, outcomes (.json) from `verify --out`.")
    ],
    board: BoardOption = None,
    suite: SuiteFileOption = None,
) -> None:
    """Validate bundles, or outcomes of verification, and add them to a leaderboard."""
    from tlbench.cli.boards import known_suites, open_board, tell_added
    from tlbench.leaderboard.archive import MAX_BUNDLE
    from tlbench.leaderboard.board import read_limited
    from tlbench.protocol.errors import TlbenchError

    suites, target = known_suites(suite), open_board(board)
    for path in files:
        try:
            if path.suffix == ".json":
                _add_verification(target, path)
            else:
                tell_added(target.add(read_limited(path, MAX_BUNDLE), suites), target)
        except TlbenchError as error:
            raise TlbenchError(f"{path}: {error}") from None


def _add_verification(board: Board, path: Path) -> None:
    from tlbench.leaderboard.board import read_limited
    from tlbench.leaderboard.verification import MAX_DOCUMENT, badge, parse_verification
    from tlbench.protocol.errors import TlbenchError

    document = parse_verification(read_limited(path, MAX_DOCUMENT))
    if document.kind == "verified":
        raise TlbenchError("the badge `verified` is the maintainer's: `tlbench verify --maintainer` on this board")
    entry = next((e for e in board.entries() if e.id == document.submission), None)
    if entry is None:
        raise TlbenchError(f"{board.folder} has no submission {document.submission[:12]}: add its bundle first")
    new = board.add_verification(entry, document)
    name = f"{entry.metadata.name} ({entry.short_id})"
    told = f"{name} is {badge(board.verifications(entry))}" if new else "it is there already: nothing was changed"
    typer.echo(f"{document.outcome}, by {document.by}: {told}")
