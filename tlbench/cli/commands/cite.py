"""``tlbench cite``: BibTeX and the one-line standardized score."""

from __future__ import annotations

from typing import Annotated

import typer

from tlbench.cli.boards import BoardOption


def command(
    what: Annotated[
        str | None, typer.Argument(help="A submission (id, method or method@version) or a suite; none: tlbench.")
    ] = None,
    suite: Annotated[str | None, typer.Option(help="The suite, where a submission's method is on several.")] = None,
    board: BoardOption = None,
    apa: Annotated[bool, typer.Option(help="APA style instead of BibTeX.")] = False,
) -> None:
    """Show how to cite a submission (with its score in one line), a suite, or tlbench."""
    from tlbench.leaderboard import citation
    from tlbench.protocol.discovery import find_suite, suites

    if what is None:
        typer.echo(citation.software_bibtex(), nl=False)
        return
    if what.endswith(".toml") or any(what in (s.id, s.name) for s in suites().values()):
        typer.echo(citation.suite_bibtex(find_suite(what)), nl=False)
        return
    from tlbench.cli.boards import known_suites, open_board
    from tlbench.leaderboard.entries import find_entry, of_suite
    from tlbench.leaderboard.ranking import standing_of
    from tlbench.protocol.discovery import aliases
    from tlbench.protocol.errors import TlbenchError

    opened = open_board(board)
    entries = opened.entries()
    if suite is not None:
        entries = of_suite(entries, find_suite(suite).digest)
    method, at, version = what.partition("@")
    entry = find_entry(entries, f"{aliases().get(method, method)}{at}{version}")
    spec = next((s for s in known_suites(suite).values() if s.digest == entry.metadata.digest), None)
    if spec is None:
        raise TlbenchError(f"{entry.metadata.suite} of this submission is not installed: name its file with --suite")
    standing, snapshot = standing_of(opened, spec, entry)
    typer.echo(citation.score_line(entry, standing.result, snapshot) + "\n")
    show = citation.submission_apa if apa else citation.submission_bibtex
    typer.echo(show(entry, standing.result, snapshot).rstrip())
