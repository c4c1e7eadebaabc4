"""``tlbench leaderboard add``: validate bundles that others made and add them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tlbench.cli.boards import BoardOption, SuiteFileOption


def command(
    bundles: Annotated[list[Path], typer.Argument(help="Bundles written by `tlbench submit --out`.")],
    board: BoardOption = None,
    suite: SuiteFileOption = None,
) -> None:
    """Validate bundles and add them to a leaderboard."""
    from tlbench.cli.boards import known_suites, open_board, tell_added
    from tlbench.leaderboard.archive import MAX_BUNDLE
    from tlbench.leaderboard.board import read_limited
    from tlbench.protocol.errors import TlbenchError

    suites, target = known_suites(suite), open_board(board)
    for path in bundles:
        try:
            added = target.add(read_limited(path, MAX_BUNDLE), suites)
        except TlbenchError as error:
            raise TlbenchError(f"{path}: {error}") from None
        tell_added(added, target)
