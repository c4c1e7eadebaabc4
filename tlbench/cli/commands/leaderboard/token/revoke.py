"""``tlbench leaderboard token revoke``: end a token at once."""

from __future__ import annotations

from typing import Annotated

import typer

from tlbench.cli.boards import BoardOption
from tlbench.cli.servers import DatabaseOption


def command(
    token: Annotated[str, typer.Argument(metavar="ID", help="Its id: the part between tlb_ and the next _.")],
    board: BoardOption = None,
    database: DatabaseOption = None,
) -> None:
    """Revoke a token: from now on it is refused. Its submissions stay."""
    from tlbench.cli.servers import open_tokens

    with open_tokens(board, database) as tokens:
        name = tokens.revoke(token)
    typer.echo(f"revoked the token of {name}")
