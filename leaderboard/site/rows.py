"""A ranking as rows: for the page, for CSV and for JSON, all from the same numbers."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from tlbench.analysis.bootstrap import Interval
from tlbench.analysis.page.build import minus
from tlbench.analysis.page.definitions import SUITE
from tlbench.analysis.tables import format_interval, format_rank
from tlbench.leaderboard.entries import Entry
from tlbench.leaderboard.ranking import Ranking, Row, Track
from tlbench.leaderboard.site.facts import Facts
from tlbench.leaderboard.site.text import NONE, duration, plain, quantity, shown

COLUMNS: Mapping[str, str] = {
    "rank": "By score, within the track, among submissions that ran every scored task; ties share the mean rank. Its "
    "interval comes from ranking every resample of seeds: overlapping intervals are not told apart by the data.",
    "method": SUITE["method"] + " Id, version and learner below the name.",
    **{name: SUITE[name] for name in ("score", "transfer gain", "self gain", "negative transfer", "jumpstart")},
    "speed-up": SUITE["speed-up"],
    "source cost": "Experience spent on sources per run, experts' training and extraction, mean over runs; counted "
    "over all ancestors, cached or not.",
    "wall time": "Time of all of the method's own runs together, as its records state it; not of experts and controls.",
    "device": "What it ran on, as its records state it.",
    "badge": "self-reported: nobody has run it again yet; reproduced: someone did, with the same or a consistent "
    "outcome; verified: the leaderboard's maintainer did, from the method's file.",
    "date": "When the leaderboard accepted it (UTC).",
    "notes": "What a reader must know: flags of the leaderboard, incomplete runs, replaced versions.",
}
"""Columns of a ranking and what they mean."""


@dataclass(frozen=True)
class Cell:
    """A cell of the page.

    Attributes:
        text: What it says.
        small: What stands below it, such as an interval.
        key: What it is sorted by, where that is not the number that the text begins with.
    """

    text: str
    small: str = ""
    key: str | None = None


@dataclass(frozen=True, eq=False)
class Shown:
    """A row of a ranking with all that is shown of it."""

    row: Row
    facts: Facts
    badge: str

    @property
    def entry(self) -> Entry:
        """The submission's entry."""
        return self.row.standing.entry

    @property
    def notes(self) -> list[str]:
        """Flags and notes, one line each."""
        return notes(self.row, self.facts)

    @property
    def cells(self) -> dict[str, Cell]:
        """The cells by column, but the method's and the notes."""
        result, facts = self.row.standing.result, self.facts
        gain = result.gain
        place = "scratch" if self.entry.is_control else NONE
        tested = gain is not None and gain.negative_transfer[0].isdigit()
        share = gain.negative_tasks / gain.testable_tasks if gain is not None and tested else None
        return {
            "rank": _cell(format_rank(self.row.rank)) if self.row.rank else Cell(place),
            "score": _interval(result.score),
            "transfer gain": _interval(gain.transfer_gain if gain else None, signed=True),
            "self gain": _interval(result.self_gain, signed=True),
            "negative transfer": Cell(
                (f"{gain.negative_tasks} of {gain.testable_tasks}" if tested else gain.negative_transfer)
                if gain is not None
                else NONE,
                "testable tasks" if tested else "",
                None if share is None else f"{share:.4f}",
            ),
            "jumpstart": _interval(gain.jumpstart if gain else None, 2, signed=True),
            "speed-up": _interval(gain.speed_up if gain else None, 2),
            "source cost": Cell(quantity(facts.source), facts.unit),
            "wall time": Cell(duration(facts.wall_seconds), key=f"{facts.wall_seconds:.3f}"),
            "device": Cell(shown(", ".join(facts.devices) or "not stated", 60)),
            "badge": Cell(self.badge),
            "date": Cell(self.entry.acceptance.accepted[:10]),
        }

    @property
    def flat(self) -> dict[str, Any]:
        """Everything of the row, for a machine."""
        entry, row, facts = self.entry, self.row, self.facts
        standing, metadata, result = row.standing, entry.metadata, row.standing.result
        track, gain = Track.of(metadata), result.gain
        return {
            "submission": entry.id,
            "name": metadata.name,
            "method": metadata.method,
            "version": metadata.version,
            "learner": track.learner,
            "ruleset": track.ruleset,
            "source_class": track.source_class,
            "external_knowledge": metadata.external_knowledge,
            "from_scratch": entry.is_control,
            "rank": row.rank or Interval(float("nan")),
            "score": result.score or Interval(float("nan")),
            "control_score": result.control_score or Interval(float("nan")),
            **{
                name: getattr(gain, name) if gain else Interval(float("nan"))
                for name in ("transfer_gain", "jumpstart", "asymptotic_gain", "speed_up", "depth")
            },
            "self_gain": result.self_gain or Interval(float("nan")),
            "negative_transfer": gain.negative_transfer if gain else None,
            "negative_tasks": gain.negative_tasks if gain else None,
            "testable_tasks": gain.testable_tasks if gain else None,
            "seeds": result.seeds,
            "tasks": len(result.tasks),
            "missing_tasks": list(result.missing),
            "source_steps_per_run": facts.source,
            "unit": facts.unit,
            "wall_seconds": facts.wall_seconds,
            "devices": list(facts.devices),
            "badge": self.badge,
            "accepted": entry.acceptance.accepted,
            "replaced_versions": row.earlier,
            "controls_of_the_leaderboard": standing.own_controls,
            "notes": self.notes,
            "contact": metadata.contact,
            "url": metadata.url,
            "paper": metadata.paper,
        }


def notes(row: Row, facts: Facts) -> list[str]:
    """What a reader must know of a row."""
    standing, metadata = row.standing, row.standing.entry.metadata
    lines = [*standing.flags, *standing.result.notes]
    if metadata.external_knowledge is not None:
        lines.append(f"external knowledge: {metadata.external_knowledge}")
    for count, what in ((facts.diverged, "diverged"), (facts.abstained, "abstained")):
        if count:
            lines.append(f"{count} {'run' if count == 1 else 'runs'} {what}")
    if row.earlier:
        lines.append(f"replaces {row.earlier} earlier {'submission' if row.earlier == 1 else 'submissions'}")
    return lines


def _interval(value: Interval | None, digits: int = 1, signed: bool = False) -> Cell:
    return _cell(minus(format_interval(value, digits, signed)))


def _cell(interval: str) -> Cell:
    text, _, ends = interval.partition(" ")
    return Cell(text, ends)


def as_json(ranking: Ranking, tracks: Mapping[Track, Sequence[Shown]], references: Sequence[Shown]) -> str:
    """A ranking as JSON."""
    content = {
        "suite": ranking.suite.id,
        "digest": ranking.suite.digest,
        "snapshot": ranking.snapshot,
        "tlbench": version("tlbench"),
        "tracks": [{"track": str(track), "rows": [r.flat for r in rows]} for track, rows in tracks.items()],
        "references": [r.flat for r in references],
    }
    return json.dumps(plain(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def as_csv(rows: Iterable[Shown]) -> str:
    """Rows as CSV, an interval as three columns; text that a spreadsheet would compute begins with an apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    header: list[str] | None = None
    for row in rows:
        cells = dict(_spread(row.flat))
        if header is None:
            header = list(cells)
            writer.writerow(header)
        writer.writerow(cells.values())
    return out.getvalue()


def _spread(content: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, Interval):
            for end, number in vars(value).items():
                yield (name if end == "estimate" else f"{name}_{end}"), plain(number)
        elif isinstance(value, list):
            yield name, _text("; ".join(value))
        else:
            yield name, _text(value) if isinstance(value, str) else plain(value)


def _text(value: str) -> str:
    return f"'{value}" if value.startswith(("=", "+", "-", "@")) else value
