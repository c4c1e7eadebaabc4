"""``tlbench leaderboard token create``: a token for someone who submits or maintains."""

from __future__ import annotations

import datetime
from enum import StrEnum
from typing import Annotated

import typer

from tlbench.cli.boards import BoardOption
from tlbench.cli.servers import DatabaseOption


class Scope(StrEnum):
    """What a token may do."""

    submit = "submit"
    maintain = "maintain"


def command(
    name: Annotated[str, typer.Option(help="Whom or what it is for; only the maintainer sees it.")],
    scope: Annotated[Scope, typer.Option(help="`maintain` includes `submit`.")] = Scope.submit,
    expires: Annotated[
        datetime.datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The last day on which it works (UTC).")
    ] = None,
    board: BoardOption = None,
    database: DatabaseOption = None,
) -> None:
    """Make a token. It is shown once, on standard output; only a hash of it is kept."""
    from tlbench.cli.servers import open_tokens

    with open_tokens(board, database) as tokens:
        token = tokens.create(name, scope.value, expires.date() if expires else None)
    typer.echo("shown only now; give it to its holder, who puts it into TLBENCH_TOKEN:", err=True)
    typer.echo(token)
