"""Builds the site of a board; what did not change since the last build is neither computed nor written again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from tlbench.analysis.bootstrap import Bootstrap
from tlbench.analysis.page import definitions
from tlbench.leaderboard import citation
from tlbench.leaderboard.board import BUNDLE, Board
from tlbench.leaderboard.entries import SHORT, Entry, lines, of_suite, snapshots
from tlbench.leaderboard.entries import snapshot_of as state_of
from tlbench.leaderboard.ranking import Ranking, Row, RunningRanks, rank, reference_entries, reference_for
from tlbench.leaderboard.site import rows, submission_page
from tlbench.leaderboard.site.cache import Results, page_version, processes
from tlbench.leaderboard.site.drawn import BAND_REPETITIONS
from tlbench.leaderboard.site.folder import CACHE, SiteFolder
from tlbench.leaderboard.site.pages import assets, render
from tlbench.leaderboard.site.rows import Shown
from tlbench.leaderboard.site.submission_page import Subject
from tlbench.leaderboard.verification import Verification, badge
from tlbench.protocol.discovery import newer_version
from tlbench.protocol.specs import SuiteSpec, digest_of


@dataclass(frozen=True)
class Built:
    """What a build did.

    Attributes:
        out: The site's folder.
        submissions: Submissions that the site shows.
        written: Paths, relative to the folder, of the files that were new or changed.
        computed: Results that were computed.
        cached: Results that were found from an earlier build.
        unknown: Submissions whose suite is not known; listed on the first page.
    """

    out: Path
    submissions: int
    written: tuple[str, ...]
    computed: int
    cached: int
    unknown: int

    @property
    def pages(self) -> int:
        """Pages that were new or changed."""
        return sum(name.endswith(".html") for name in self.written)


def build_site(
    board: Board,
    suites: Mapping[str, SuiteSpec],
    out: Path,
    *,
    bootstrap: Bootstrap | None = None,
    jobs: int | None = None,
) -> Built:
    """Write the site of a board to a folder, or bring it up to date.

    Files are replaced one by one, each at once, those that others link to first: the folder may be served meanwhile.
    Nothing is ever deleted.

    Args:
        board: The board.
        suites: The suites that are known, by id.
        out: The site's folder; new, empty, or a site.
        bootstrap: Source of resamples; default 50,000, seed 0.
        jobs: Processes that compute results where there are many to compute; default: one per processor.

    Raises:
        TlbenchError: If a bundle is damaged, the folder holds something else, or can't be written.
    """
    folder = SiteFolder(out)
    with folder.opened():
        entries = board.entries()
        for name, content in assets().items():
            folder.put(f"assets/{name}", content)
        parts = [
            _SuitePart(
                board,
                suite,
                newer_version(suite, suites.values()),
                folder,
                bootstrap or Bootstrap(),
                jobs or processes(),
            )
            for _, suite in sorted(suites.items())
        ]
        overview = [part.build(of_suite(entries, part.suite.digest)) for part in parts]
        known = {suite.digest for suite in suites.values()}
        unknown = [entry for entry in entries if entry.metadata.digest not in known]
        page = render(
            "start.html.j2",
            root="",
            suites=overview,
            unknown=unknown,
            submissions=len(entries) - len(unknown),
            bibtex=citation.software_bibtex().rstrip(),
        )
        folder.put("index.html", page)
        return Built(
            out=out,
            submissions=len(entries) - len(unknown),
            written=tuple(folder.written),
            computed=sum(part.results.computed for part in parts),
            cached=sum(part.results.cached for part in parts),
            unknown=len(unknown),
        )


class _SuitePart:
    """The pages of one suite; ``newer`` is the version that corrects it, if there is one."""

    def __init__(
        self,
        board: Board,
        suite: SuiteSpec,
        newer: SuiteSpec | None,
        folder: SiteFolder,
        bootstrap: Bootstrap,
        jobs: int,
    ) -> None:
        self.suite, self._newer = suite, newer
        self.results = Results(board, suite, folder, bootstrap, jobs)
        self._board, self._folder, self._bootstrap = board, folder, bootstrap
        self._place = RunningRanks()

    def build(self, entries: Sequence[Entry]) -> dict[str, Any]:
        """Write the suite's pages; gives what the first page says of it."""
        references = reference_entries(entries)
        self.results.prepare((entry, reference_for(entry, references)) for entry in entries)
        verifications = {entry.id: self._board.verifications(entry) for entry in entries}
        badges = {name: badge(found) for name, found in verifications.items()}
        self._submissions(entries, verifications)
        self._snapshots(entries)
        ranking = self._rank(entries)
        tracks = {track: [self._shown(row, badges) for row in rows] for track, rows in ranking.tracks.items()}
        scratch = [self._shown(row, badges) for row in ranking.references]
        everything = [*(row for rows in tracks.values() for row in rows), *scratch]
        self._put("ranking.json", rows.as_json(ranking, tracks, scratch))
        self._put("ranking.csv", rows.as_csv(everything))
        self._put("suite.html", self._page("suite.html.j2", **self._about(), ranking=ranking))
        self._put(
            "index.html",
            self._page(
                "ranking.html.j2",
                ranking=ranking,
                tracks=tracks,
                references=scratch,
                rows=everything,
                replaced=len(entries) - len(everything),
                columns=rows.COLUMNS,
                words=definitions.WORDS,
                intervals=self._intervals(),
                scales=_scales(everything),
                newer=self._newer,
            ),
        )
        leaders = [(track, shown[0]) for track, shown in tracks.items() if shown[0].row.rank is not None]
        return {
            "suite": self.suite,
            "newer": self._newer,
            "rows": len(everything),
            "tracks": tracks,
            "leaders": leaders,
        }

    def _submissions(self, entries: Sequence[Entry], verifications: Mapping[str, Sequence[Verification]]) -> None:
        references, states = reference_entries(entries), snapshots(entries)
        position = {entry.id: i for i, entry in enumerate(entries)}
        known = _Known(self._folder, f"{CACHE}/{self.suite.id}/pages.json")
        for line in lines(entries):
            for entry in (*line.earlier, line.active):
                reference = reference_for(entry, references)
                since = max(position[entry.id], position[reference.id] if reference else 0)
                source = self._board.path(entry) / BUNDLE
                subject = Subject(
                    suite=self.suite,
                    entry=entry,
                    line=line,
                    analysed=self.results.get(entry, reference),
                    verifications=verifications[entry.id],
                    snapshot=states[since],
                    bundle=source.stat().st_size if source.is_file() else 0,
                )
                name = f"{self.suite.id}/submissions/{entry.short_id}"
                if self._folder.size(f"{name}.zip") != subject.bundle or not subject.bundle:
                    self._folder.put(f"{name}.zip", self._board.bundle(entry))
                for document in subject.verifications:
                    self._folder.put(f"{name}-{document.digest[:SHORT]}.json", document.to_bytes())
                if not known.holds([f"{name}.js", f"{name}.html"], subject.inputs):
                    made = {f"{name}.js": submission_page.data(subject), f"{name}.html": submission_page.page(subject)}
                    known.put(made, subject.inputs)
        known.save()

    def _snapshots(self, entries: Sequence[Entry]) -> None:
        """A page per state of the board, written once; and the list of them."""
        states = snapshots(entries)
        for i, state in enumerate(states):
            name = f"s/{state[:SHORT]}.html"
            if self._folder.size(f"{self.suite.id}/{name}") == 0:
                ranking = self._rank(entries[: i + 1])
                before = states[i - 1] if i else None
                self._put(
                    name, self._page("snapshot.html.j2", "../../", ranking=ranking, added=entries[i], before=before)
                )
        listed = list(zip(states, entries, strict=True))[::-1]
        self._put("s/index.html", self._page("snapshots.html.j2", "../../", listed=listed))

    def _rank(self, entries: Sequence[Entry]) -> Ranking:
        references = reference_entries(entries)
        active = lines(entries)
        standings = [self.results.get(line.active, reference_for(line.active, references)).standing for line in active]
        earlier = {line.active.id: len(line.earlier) for line in active}
        return rank(self.suite, standings, earlier, state_of(entries), self._place)

    def _shown(self, row: Row, badges: Mapping[str, str]) -> Shown:
        return Shown(row, self.results.facts(row.standing), badges[row.standing.entry.id])

    def _about(self) -> dict[str, Any]:
        return {
            "suite_definitions": definitions.SUITE,
            "task_definitions": definitions.TASKS,
            "note_definitions": definitions.NOTES,
            "words": definitions.WORDS,
            "intervals": self._intervals(),
            "columns": rows.COLUMNS,
            "bibtex": citation.suite_bibtex(self.suite).rstrip(),
        }

    def _intervals(self) -> str:
        source = self._bootstrap
        bands = min(BAND_REPETITIONS, source.repetitions)
        return definitions.intervals(source.repetitions, bands, source.seed, source.confidence)

    def _page(self, template: str, root: str = "../", **content: Any) -> str:
        return render(template, root=root, suite=self.suite, **content)

    def _put(self, name: str, content: str) -> None:
        self._folder.put(f"{self.suite.id}/{name}", content)


class _Known:
    """Which pages an earlier build made from what; believed only where they are still as it left them."""

    def __init__(self, folder: SiteFolder, name: str) -> None:
        self._folder, self._name = folder, name
        self._found: dict[str, list[str]] = {}
        try:
            content = json.loads(folder.read(name) or b"{}")
            self._found = {k: v for k, v in content.items() if isinstance(v, list) and len(v) == 2}
        except (ValueError, AttributeError):
            pass
        self._next: dict[str, list[str]] = {}

    def holds(self, names: Sequence[str], inputs: object) -> bool:
        """Whether files were made from these inputs and are unharmed."""
        wanted = _inputs(inputs)
        for name in names:
            content = self._folder.read(name)
            if content is None or self._found.get(name) != [wanted, sha256(content).hexdigest()]:
                return False
            self._next[name] = self._found[name]
        return True

    def put(self, made: Mapping[str, str], inputs: object) -> None:
        """Write files made from these inputs."""
        for name, content in made.items():
            self._folder.put(name, content)
            self._next[name] = [_inputs(inputs), sha256(content.encode()).hexdigest()]

    def save(self) -> None:
        """Keep what is known for the next build."""
        self._folder.put(self._name, json.dumps(self._next, indent=0, sort_keys=True))


def _inputs(inputs: object) -> str:
    return digest_of([page_version(), inputs])


def _scales(shown: Sequence[Shown]) -> dict[str, tuple[float, float]]:
    """Ends of the small pictures of intervals, in points, by column."""
    found = {}
    for name, least in (("score", (0.0, 100.0)), ("transfer gain", (-10.0, 10.0))):
        values = []
        for row in shown:
            result = row.row.standing.result
            gain = result.gain.transfer_gain if result.gain else None
            value = result.score if name == "score" else gain
            if value is not None:
                values += [value.estimate, *(end for end in (value.low, value.high) if end is not None)]
        found[name] = (min([least[0], *values]), max([least[1], *values]))
    return found
