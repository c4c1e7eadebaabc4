"""``tlbench leaderboard show``: the ranking of a suite on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tlbench.cli.boards import BoardOption

if TYPE_CHECKING:
    from tlbench.leaderboard.ranking import Row

HEADER = (
    "rank",
    "name",
    "method",
    "score",
    "transfer gain",
    "self gain",
    "negative transfer",
    "jumpstart",
    "speed-up",
    "seeds",
    "submission",
    "badge",
    "date",
    "earlier",
)


def command(
    board: BoardOption = None,
    suite: Annotated[str, typer.Option(help="Id or name (see `tlbench suites`), or a TOML file.")] = "classic",
    snapshot: Annotated[str | None, typer.Option(help="An earlier state, by its digest's first digits.")] = None,
) -> None:
    """Show the ranking of a suite, one table per track; learners from scratch are shown in every table."""
    from tlbench.cli.boards import open_board
    from tlbench.cli.show import print_table
    from tlbench.leaderboard.ranking import rank_board
    from tlbench.leaderboard.verification import badge
    from tlbench.protocol.discovery import find_suite, newer_version

    spec = find_suite(suite)
    opened = open_board(board)
    ranking = rank_board(opened, spec, snapshot=snapshot)
    found = {row.standing.entry.id: opened.verifications(row.standing.entry) for row in ranking.rows()}

    def cells(row: Row) -> list[str]:
        return _cells(row, badge(found[row.standing.entry.id]))

    references = [cells(row) for row in ranking.references]
    for track, rows in ranking.tracks.items():
        print_table(f"{spec.id}: {track}", HEADER, [*(cells(row) for row in rows), *references])
    if not ranking.tracks:
        if references:
            print_table(f"{spec.id}: from scratch", HEADER, references)
        else:
            typer.echo(f"no submissions on {spec.id} yet: `tlbench evaluate`, then `tlbench submit`")
    newer = newer_version(spec)
    if newer is not None:
        typer.echo(f"note: {newer.id} corrects this version of the suite")
    for row in ranking.rows():
        for flag in row.standing.flags:
            typer.echo(f"note: {row.standing.entry.metadata.name} ({row.standing.entry.short_id}): {flag}")
        for document in found[row.standing.entry.id]:
            if document.outcome == "different":
                entry = row.standing.entry
                typer.echo(
                    f"note: {entry.metadata.name} ({entry.short_id}): run again by {document.by} on {document.date}: "
                    f"{sum(run.verdict == 'different' for run in document.runs)} of {len(document.runs)} runs differ"
                )
    typer.echo(f"intervals: 95 % bootstrap over seeds; suite digest {spec.digest[:12]}; snapshot {ranking.snapshot}")


def _cells(row: Row, badge: str) -> list[str]:
    from tlbench.analysis.tables import format_interval, format_rank

    entry, result = row.standing.entry, row.standing.result
    gain = result.gain
    place = "from scratch" if entry.is_control else "not ranked" if row.rank is None else format_rank(row.rank)
    return [
        place,
        entry.metadata.name,
        f"{entry.metadata.method} {entry.metadata.version}",
        format_interval(result.score),
        format_interval(gain.transfer_gain if gain else None, signed=True),
        format_interval(result.self_gain, signed=True),
        gain.negative_transfer if gain else "",
        format_interval(gain.jumpstart if gain else None, 2, signed=True),
        format_interval(gain.speed_up if gain else None, 2),
        str(result.seeds),
        entry.short_id,
        badge,
        entry.acceptance.accepted[:10],
        str(row.earlier),
    ]
