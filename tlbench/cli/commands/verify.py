"""``tlbench verify``: run a submission's runs again and say whether they come out the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tlbench.cli.boards import BoardOption, SuiteFileOption
from tlbench.cli.servers import TokenFileOption, ToOption

if TYPE_CHECKING:
    from tlbench.leaderboard.board import Board
    from tlbench.leaderboard.entries import Entry
    from tlbench.leaderboard.submission import Submission
    from tlbench.leaderboard.verification import Verification
    from tlbench.protocol.specs import SuiteSpec

INTERRUPTED = "stopped: nothing was written"
DIFFERENT, UNDECIDED = 3, 4
"""Exit statuses."""
_OUTCOMES = {
    "identical": "identical",
    "consistent": "consistent",
    "different": "different",
    "undecided": "too few runs or seeds to tell",
}


def command(
    submission: Annotated[
        str, typer.Argument(help="A submission on the board (id, method or method@version), or a bundle file.")
    ],
    *,
    runs: Annotated[int, typer.Option(help="How many runs, spread over the scored transfer tasks.")] = 3,
    method_file: Annotated[
        str | None, typer.Option(help="The file that the method was run from: path/to/file.py[:Class]. It is executed.")
    ] = None,
    fresh_seeds: Annotated[bool, typer.Option(help="Seeds outside the suite's; always tested, never identical.")] = (
        False
    ),
    by: Annotated[str, typer.Option(help="Who you are, in one line; published with the outcome.")] = "anonymous",
    maintainer: Annotated[
        bool, typer.Option(help="You maintain the leaderboard: the badge is verified instead of reproduced.")
    ] = False,
    draw: Annotated[
        int | None, typer.Option(min=0, max=2**53, help="The choice follows from this number; random by default.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the outcome here, as JSON.")] = None,
    add: Annotated[
        bool,
        typer.Option(
            help="Keep the outcome on the board that has the submission (a bundle: the one that --board names)."
        ),
    ] = True,
    board: BoardOption = None,
    to: ToOption = None,
    token_file: TokenFileOption = None,
    suite: SuiteFileOption = None,
    jobs: Annotated[int | None, typer.Option(help="Processes; by default all usable cores.")] = None,
    device: Annotated[str, typer.Option(help="Torch device.")] = "cpu",
) -> None:
    """Run some of a submission's runs again, from scratch, and hold them against its records.

    Exit status: 0 identical or consistent, 3 different, 4 too few runs to tell, 1 an error.
    """
    import secrets

    from tlbench.cli import verification
    from tlbench.cli.servers import open_client
    from tlbench.leaderboard.files import write_file
    from tlbench.leaderboard.verification import check_by

    check_by(by)
    client = None if to is None else open_client(to, token_file)
    target, entry, found, spec = _open(submission, board, suite)
    if maintainer:
        verification.check_maintainer(found, method_file)
    chosen = secrets.randbelow(2**32) if draw is None else draw
    prepared = verification.prepare(
        found, spec, runs=runs, draw=chosen, method_file=method_file, fresh=fresh_seeds, jobs=jobs, device=device
    )
    typer.echo(f"running {runs} of {found.metadata.name}'s runs again (--draw {chosen} chooses the same)", err=True)
    records = verification.rerun(prepared)
    document = verification.conclude(prepared, records, kind="verified" if maintainer else "reproduced", by=by)
    _show(document)
    if out is not None:
        write_file(out, document.to_bytes())
        typer.echo(f"wrote {out}")
    if add and target is not None and entry is not None:
        _keep(target, entry, document)
    if client is not None:
        sent = client.send_verification(document)
        typer.echo(f"{'accepted' if sent.new else 'the server has it already'}: {sent.url}")
    if document.outcome in ("different", "undecided"):
        raise typer.Exit(DIFFERENT if document.outcome == "different" else UNDECIDED)


def _open(
    name: str, folder: Path | None, suite: str | None
) -> tuple[Board | None, Entry | None, Submission, SuiteSpec]:
    """The submission and its suite; its board and entry, if the outcome has a place there."""
    from tlbench.cli.boards import known_suites, open_board
    from tlbench.leaderboard import submission as submissions
    from tlbench.leaderboard.archive import MAX_BUNDLE
    from tlbench.leaderboard.board import read_limited
    from tlbench.leaderboard.entries import find_entry
    from tlbench.leaderboard.validation import validate
    from tlbench.protocol.discovery import aliases, find_suite
    from tlbench.protocol.errors import TlbenchError

    known = known_suites(suite)
    if name.endswith(".zip") or Path(name).is_file():
        found = submissions.read(read_limited(Path(name), MAX_BUNDLE))
        spec = validate(found, known)
        if folder is None:
            return None, None, found, spec
        board = open_board(folder)
        entry = next((e for e in board.entries() if e.id == found.id), None)
        if entry is None:
            raise TlbenchError(f"{name} is not on {folder}: `tlbench leaderboard add` it first, or leave --board out")
        return board, entry, found, spec
    board = open_board(folder)
    method, at, version = name.partition("@")
    entries = board.entries()
    if suite is not None:
        entries = [e for e in entries if e.metadata.digest == find_suite(suite).digest]
    entry = find_entry(entries, f"{aliases().get(method, method)}{at}{version}")
    for spec in known.values():
        if spec.digest == entry.metadata.digest:
            return board, entry, board.submission(entry), spec
    raise TlbenchError(f"{entry.metadata.suite} of this submission is not installed: name its file with --suite")


def _show(document: Verification) -> None:
    from tlbench.cli.show import print_table

    rows = []
    for run in document.runs:
        environment = {True: "equal", False: "may differ", None: ""}[run.same_environment]
        recorded = "" if run.recorded is None else f"{100 * run.recorded:.1f}"
        where = run.transfer if run.target == run.transfer else f"{run.transfer} ({run.target})"
        distance = "" if run.statistic is None else f"{run.statistic:.2f}"
        rows.append([where, str(run.seed), recorded, f"{100 * run.found:.1f}", environment, distance, run.verdict])
    header = ("transfer task", "seed", "AUC recorded", "AUC found", "environment", "distance", "verdict")
    print_table("", header, rows)
    test = document.test
    if test is not None:
        how = f"{test.arrangements:,} arrangements" + ("" if test.exact else " drawn")
        typer.echo(f"permutation test of what is not identical: p = {test.p_value:.4g} ({how})")
    typer.echo(f"outcome: {_OUTCOMES[document.outcome]}")


def _keep(board: Board, entry: Entry, document: Verification) -> None:
    from tlbench.leaderboard.verification import badge

    board.add_verification(entry, document)
    typer.echo(
        f"kept on {board.folder}: {entry.metadata.name} ({entry.short_id}) is {badge(board.verifications(entry))}"
    )
