"""``tlbench submit``: bundle a method's records and add them to a leaderboard."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tlbench.cli.boards import BoardOption
from tlbench.cli.servers import TokenFileOption, ToOption

if TYPE_CHECKING:
    from tlbench.execution.store import Store
    from tlbench.leaderboard.submission import Submission
    from tlbench.protocol.records import Record


class Ruleset(StrEnum):
    """How the method was configured."""

    fixed = "fixed"
    tuned = "tuned"


def command(
    runs: Annotated[Path, typer.Argument(help="Folder of results (--out of `tlbench evaluate`).")] = Path("runs"),
    *,
    method: Annotated[str, typer.Option(help="Id or alias of the method, or the file that it was run from.")],
    name: Annotated[str, typer.Option(help="The method's name as the leaderboard shows it.")],
    contact: Annotated[str, typer.Option(help="Who answers for it (a name, an address); published.")],
    url: Annotated[str | None, typer.Option(help="Link to code or a page.")] = None,
    paper: Annotated[str | None, typer.Option(help="Paper: a link, a DOI or a reference, in one line.")] = None,
    ruleset: Annotated[Ruleset, typer.Option(help="One configuration for all, or one per transfer task.")] = (
        Ruleset.fixed
    ),
    external_knowledge: Annotated[
        str | None, typer.Option(help="What was used beyond the sources (pretrained weights, ...), in one line.")
    ] = None,
    suite: Annotated[str | None, typer.Option(help="Which suite, by id; or the TOML file of your own.")] = None,
    config: Annotated[list[str] | None, typer.Option(help="Start of a configuration's hash, if several.")] = None,
    board: BoardOption = None,
    out: Annotated[Path | None, typer.Option(help="Write the bundle here; added to no board but --board.")] = None,
    to: ToOption = None,
    token_file: TokenFileOption = None,
    dry_run: Annotated[bool, typer.Option(help="Show exactly what would be sent, and send nothing.")] = False,
) -> None:
    """Validate a method's records, bundle them with their controls and experts, and add them to a leaderboard.

    By default that is a folder on this machine; with --to it is a server, and with --out a file.
    """
    from tlbench.cli.boards import open_board, tell_added
    from tlbench.cli.servers import open_client, tell_sent
    from tlbench.leaderboard.assembly import assemble
    from tlbench.leaderboard.files import write_file

    client = None if to is None else open_client(to, token_file, dry_run=dry_run)
    store = _store(runs, suite)
    about = {"name": name, "contact": contact, "url": url, "paper": paper, "ruleset": ruleset.value}
    wanted, code = _method(method)
    records = list(store.records())
    submission = assemble(
        store.suite,
        records if code is None else _of_code(records, wanted, code, method),
        store.expert_records(),
        method=wanted,
        about={**about, "external_knowledge": external_knowledge},
        configs=config or [],
    )
    bundle = submission.to_bytes()
    if dry_run:
        _show(submission, len(bundle))
        return
    if out is not None:
        write_file(out, bundle)
        typer.echo(f"wrote {out}: {len(bundle):,} bytes, submission {submission.id[:12]}")
    if client is not None:
        tell_sent(client.send_submission(submission.id, bundle), submission)
    if (out is None and to is None) or board is not None:
        target = open_board(board)
        tell_added(target.add(bundle, {store.suite.id: store.suite}), target)


def _store(runs: Path, suite: str | None) -> Store:
    """The results of the suite wanted, held against the suite that is known."""
    from tlbench.execution.store import find_stores
    from tlbench.protocol.discovery import find_suite
    from tlbench.protocol.errors import TlbenchError

    known = None if suite is None else find_suite(suite)
    stores = [s for s in find_stores(runs) if known is None or s.suite.id == known.id]
    if not stores:
        raise TlbenchError(f"{runs} holds no results of {known.id if known else suite}")
    if len(stores) > 1:
        raise TlbenchError(f"{runs} holds several suites, choose one with --suite: {', '.join(_ids(stores))}")
    found = stores[0]
    if not found.suite.submittable:
        raise TlbenchError(
            f"{found.folder} holds quick records: a picture, not a result; run `tlbench evaluate` without --quick"
        )
    if known is None:
        try:
            known = find_suite(found.suite.id)
        except TlbenchError as error:
            raise TlbenchError(f"{error}; a suite of your own: --suite FILE.toml") from None
    if known.digest != found.suite.digest:
        raise TlbenchError(
            f"{found.folder} was made with another {known.id}: its digest is {found.suite.digest[:12]}, "
            f"here it is {known.digest[:12]}"
        )
    return found


def _ids(stores: list[Store]) -> list[str]:
    return [store.suite.id for store in stores]


def _method(method: str) -> tuple[str, str | None]:
    """The id behind an alias or a file, with the file's hash; an id that isn't known here stays as it is."""
    from tlbench.protocol.discovery import aliases, find_method

    if ".py" in method:
        entry = find_method(method)
        return entry.id, entry.code
    return aliases().get(method, method), None


def _of_code(records: list[Record], method: str, code: str, file: str) -> list[Record]:
    """Without the method's runs from other versions of its file."""
    from tlbench.protocol.errors import TlbenchError

    runs = [r.method for r in records if r.method is not None and r.method.id == method]
    if runs and not any(run.code == code for run in runs):
        raise TlbenchError(
            f"{file} was changed since these runs of {method}: run `tlbench evaluate` again, or submit the runs of "
            f"before with --method {method}"
        )
    return [r for r in records if r.method is None or r.method.id != method or r.method.code == code]


def _show(submission: Submission, size: int) -> None:
    """What would be sent: the metadata, then one line per record, then where the rest of it is described."""
    from tlbench.leaderboard.record_checks import label

    typer.echo(f"submission.json:\n{submission.metadata_text()}")
    typer.echo(f"records.parquet: {len(submission.records)} records")
    for record in submission.records:
        points = f"{len(record.curve)} points x {len(record.curve[0].returns) if record.curve else 0} episodes"
        typer.echo(f"  {record.kind:6} {record.key[:12]} {label(record)}: {points}")
    provenance = sorted({_fact(k, v) for r in submission.records for k, v in r.provenance.items()})
    typer.echo("provenance in these records:\n  " + "\n  ".join(provenance))
    names = sorted({name for record in submission.records for name in record.diagnostics})
    typer.echo(f"diagnostics in these records:\n  {', '.join(names) or 'none'}")
    typer.echo(f"in all {size:,} bytes, submission {submission.id}; nothing was sent (--out writes the bundle itself)")


def _fact(name: str, value: object) -> str:
    if name == "wall_seconds":
        return "wall_seconds: one number per record"
    if isinstance(value, dict):
        return f"{name}: " + ", ".join(f"{key} {item}" for key, item in value.items())
    return f"{name}: {value}"
