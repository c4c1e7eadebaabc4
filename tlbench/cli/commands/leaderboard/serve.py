"""``tlbench leaderboard serve``: the leaderboard as a server."""

from __future__ import annotations

import contextlib
from typing import Annotated

import typer

from tlbench.cli.boards import BoardOption, SuiteFileOption
from tlbench.cli.servers import DatabaseOption

INTERRUPTED = "stopped"


def command(
    board: BoardOption = None,
    database: DatabaseOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: any that is free.")] = 8000,
    suite: SuiteFileOption = None,
    rate: Annotated[float, typer.Option(min=0.1, help="Submissions per minute and token.")] = 30,
    proxy: Annotated[
        str | None, typer.Option(help="Addresses of reverse proxies whose X-Forwarded-For is believed.")
    ] = None,
) -> None:
    """Serve a leaderboard: its site, and an interface that takes submissions and verifications."""
    from tlbench.leaderboard.server import need_extra

    need_extra()
    from tlbench.cli.boards import DEFAULT_BOARD, known_suites, open_board
    from tlbench.leaderboard.server.app import create_app
    from tlbench.leaderboard.server.database import Database
    from tlbench.leaderboard.server.running import is_loopback, listen, log_to_stderr, only_server, server
    from tlbench.leaderboard.server.service import Limits

    target, suites = open_board(board), known_suites(suite)
    with contextlib.ExitStack() as opened:
        opened.callback(only_server(target.folder).release)
        listening = opened.enter_context(listen(host, port))
        tokens_and_log = opened.enter_context(contextlib.closing(Database.of_board(target.folder, database)))
        app = create_app(target, suites, tokens_and_log, Limits(rate, max(1, int(rate))))
        if not is_loopback(host) and proxy is None:
            typer.echo("warning: without a reverse proxy, tokens travel unencrypted (docs/server.md)", err=True)
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{listening.getsockname()[1]}/"
        typer.echo(f"serving {board or DEFAULT_BOARD} on {address}  (Ctrl-C stops it)")
        log_to_stderr()
        server(app, proxy).run(sockets=[listening])
