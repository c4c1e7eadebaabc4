"""``tlbench leaderboard token list``: all tokens, without their secrets."""

from __future__ import annotations

import typer

from tlbench.cli.boards import BoardOption
from tlbench.cli.servers import DatabaseOption


def command(board: BoardOption = None, database: DatabaseOption = None) -> None:
    """List all tokens."""
    from tlbench.cli.servers import open_tokens
    from tlbench.cli.show import print_table

    with open_tokens(board, database) as opened:
        tokens = opened.listed()
    if not tokens:
        typer.echo("no tokens yet: `tlbench leaderboard token create --name ...`")
        return
    header = ("id", "name", "scope", "state", "created", "expires", "last used")
    rows = [[t.id, t.name, t.scope, t.state, t.created, t.expires or "", t.last_used or ""] for t in tokens]
    print_table("tokens", header, rows)
