"""What the commands on servers share: options, the tokens of a server, and the token of a client."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tlbench.leaderboard.client import Client, Sent
    from tlbench.leaderboard.server.tokens import Tokens
    from tlbench.leaderboard.submission import Submission

DatabaseOption = Annotated[
    str | None,
    typer.Option(
        envvar="TLBENCH_DATABASE",
        metavar="URL",
        help="sqlite:///FILE or postgresql://...; best in the environment. By default server.sqlite in the board.",
        show_envvar=True,
    ),
]
ToOption = Annotated[str | None, typer.Option("--to", metavar="URL", help="Send it to this leaderboard's server.")]
TokenFileOption = Annotated[
    Path | None, typer.Option(help="File with the token for --to; by default the variable TLBENCH_TOKEN.")
]


@contextlib.contextmanager
def open_tokens(board: Path | None, database: str | None) -> Iterator[Tokens]:
    """The tokens of a server.

    Raises:
        TlbenchError: If the extra is not installed, or the database can't be opened.
    """
    from tlbench.cli.boards import open_board
    from tlbench.leaderboard.server import need_extra

    need_extra()
    from tlbench.leaderboard.server.database import Database
    from tlbench.leaderboard.server.tokens import Tokens

    opened = Database.of_board(open_board(board).folder, database)
    try:
        yield Tokens(opened)
    finally:
        opened.close()


def open_client(url: str, token_file: Path | None, *, dry_run: bool = False) -> Client:
    """The server behind ``--to``, with the token from a file or the environment; a dry run needs none.

    Raises:
        TlbenchError: If the address or the token is not possible.
    """
    from tlbench.leaderboard.client import Client, read_token

    return Client(url, "" if dry_run else read_token(token_file))


def tell_sent(sent: Sent, submission: Submission) -> None:
    """Say what became of a submission."""
    from tlbench.leaderboard.entries import SHORT

    data = submission.metadata
    name = f"{data.name} ({data.method} {data.version}) on {data.suite}"
    known = "accepted" if sent.new else "the server has it already: nothing was changed for"
    typer.echo(f"{known} {name} as {submission.id[:SHORT]}, snapshot {(sent.snapshot or '')[:SHORT]}: {sent.url}")
