"""``tlbench leaderboard build``: write a leaderboard's static site."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tlbench.cli.boards import BoardOption, SuiteFileOption

INTERRUPTED = "stopped; what is written stays, and the next build goes on from it"


def command(
    out: Annotated[Path, typer.Option(help="Folder of the site: new, empty, or an earlier site.")] = Path("site"),
    board: BoardOption = None,
    suite: SuiteFileOption = None,
) -> None:
    """Write a leaderboard as a static site, or bring it up to date; only what is new is computed."""
    from tlbench.cli.boards import known_suites, open_board
    from tlbench.leaderboard.site import build_site

    built = build_site(open_board(board), known_suites(suite), out)
    typer.echo(f"{_many(built.submissions, 'submission')}: {built.computed} computed, {built.cached} from before")
    typer.echo(f"{_many(len(built.written), 'file')} written, of them {_many(built.pages, 'page')}")
    if built.unknown:
        typer.echo(f"note: {_many(built.unknown, 'submission')} on suites that are not installed: see --suite")
    typer.echo(f"open {out / 'index.html'} in a browser, or host {out}")


def _many(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")
