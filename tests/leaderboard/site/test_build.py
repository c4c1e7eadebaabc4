from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

from tests.leaderboard.conftest import SELF, SMALL, small_suite, submission_of
from tlbench.analysis.bootstrap import Bootstrap
from tlbench.cli.app import app
from tlbench.leaderboard.board import Board
from tlbench.leaderboard.ranking import rank_board
from tlbench.leaderboard.site import Built, build_site
from tlbench.leaderboard.site.text import link, script_json, shown
from tlbench.leaderboard.submission import Submission
from tlbench.leaderboard.verification import CheckedRun, sealed
from tlbench.protocol.errors import TlbenchError

SUITE = small_suite()
SUITES = {SUITE.id: SUITE}
HOSTILE = "</script><script>alert(1)</script> \"'><img src=x onerror=alert(2)> {{ 7*7 }} " + "W" * 100
RIGHT_TO_LEFT = "=\u05e9\u05dc\u05d5\u05dd"


def repetitions() -> Bootstrap:
    return Bootstrap(200)


def build(board: Board, out: Path) -> Built:
    return build_site(board, SUITES, out, bootstrap=repetitions(), jobs=1)


@pytest.fixture(scope="module")
def submissions(scratch: Submission) -> list[Submission]:
    return [
        scratch,
        submission_of(SUITE, name="Old", mean=60.0),
        submission_of(SUITE, name="New", mean=70.0),
        submission_of(SUITE, "finetune-vpg", name=HOSTILE, mean=50.0, about={"contact": HOSTILE[:100]}),
        submission_of(
            SUITE,
            "zero-shot-vpg",
            name=RIGHT_TO_LEFT,
            about={
                "url": "https://example.org/a?b=1&c=2",
                "paper": "javascript:alert(1)",
                "external_knowledge": "<b>x",
            },
        ),
        submission_of(SUITE, "random", name="Random"),
    ]


def board_of(folder: Path, submissions: list[Submission]) -> Board:
    board = Board(folder)
    for submission in submissions:
        board.keep(submission)
    return board


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory, submissions: list[Submission]) -> Board:
    return board_of(tmp_path_factory.mktemp("board"), submissions)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, board: Board) -> Path:
    out = tmp_path_factory.mktemp("out") / "site"
    build(board, out)
    return out


def files(site: Path) -> dict[str, str]:
    """Every published file by its digest."""
    found = (p for p in site.rglob("*") if p.is_file() and ".cache" not in p.parts and p.name != ".lock")
    return {str(p.relative_to(site)): hashlib.sha256(p.read_bytes()).hexdigest() for p in found}


VOID = {"meta", "link", "input", "br", "img", "hr", "path", "circle"}


@dataclass
class Page(HTMLParser):
    """What a page holds; fails on tags that are not closed in order."""

    text: str
    open: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    links: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        assert len(attributes) == len(attrs), f"<{tag}> has an attribute twice"
        self.tags.append((tag, attributes))
        self.ids += [attributes["id"] or ""] if "id" in attributes else []
        for name in ("href", "src"):
            if name in attributes:
                self.links.append((attributes[name] or "", attributes))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}


def test_pages_are_sound(site: Path) -> None:
    found = pages(site)
    assert len(found) == 1 + 2 + 6 + 7
    for page in found.values():
        assert len(set(page.ids)) == len(page.ids)
        names = [tag for tag, _ in page.tags]
        assert [names.count(tag) for tag in ("html", "title", "main", "h1")] == [1, 1, 1, 1]
        for tag, attributes in page.tags:
            assert not any(name.startswith("on") or name == "style" for name in attributes), attributes
            if tag == "th":
                assert attributes.get("scope") in ("col", "row")
            if tag == "script":
                assert attributes.get("src"), "no script in a page"
        assert names.count("table") == names.count("caption")
        labels = {attributes["aria-labelledby"] for _, attributes in page.tags if "aria-labelledby" in attributes}
        assert labels <= set(page.ids)


def test_links_and_anchors_lead_somewhere_and_nothing_comes_from_elsewhere(site: Path) -> None:
    found = pages(site)
    for path, page in found.items():
        for address, attributes in page.links:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                assert parts.scheme in ("http", "https")
                assert {"noopener", "nofollow"} <= set((attributes["rel"] or "").split())
                assert "src" not in attributes
                continue
            target = (path.parent / parts.path).resolve() if parts.path else path
            assert target.is_file(), f"{path.name}: {address}"
            if parts.fragment:
                assert parts.fragment in found[target].ids
    for asset in (site / "assets").iterdir():
        text = asset.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http" not in text
        assert not any(word in text for word in ("fetch(", "innerHTML", "eval(", "@import", "url("))


def test_strangers_text_is_text(site: Path, submissions: list[Submission]) -> None:
    for path in [*site.rglob("*.html"), *site.rglob("*.js")]:
        text = path.read_text(encoding="utf-8")
        assert "<script>alert" not in text
        assert "<img" not in text
        assert "<b>x" not in text
        assert "\u202e" not in text
    hostile = site / SUITE.id / "submissions" / f"{submissions[3].id[:12]}.html"
    assert HOSTILE in "".join(Page(hostile.read_text(encoding="utf-8")).words)
    other = Page((hostile.parent / f"{submissions[4].id[:12]}.html").read_text(encoding="utf-8"))
    assert "https://example.org/a?b=1&c=2" in [address for address, _ in other.links]
    assert not any(address.startswith("javascript") for address, _ in other.links)


def test_helpers_for_strangers_text() -> None:
    assert shown("a\u202eb\nc") == "a\ufffdb\ufffdc"
    assert shown("x" * 50, 10) == "x" * 9 + "\u2026"
    assert link("javascript:alert(1)") is None
    assert link("https://a b") is None
    assert link("doi:10.1000/xyz") == "https://doi.org/10.1000/xyz"
    assert link("http://example.org") == "http://example.org"
    assert script_json(["</script>&", float("nan")]) == '["\\u003c/script\\u003e\\u0026",null]'


def test_numbers_are_the_rankings(site: Path, board: Board) -> None:
    ranking = rank_board(board, SUITE, repetitions())
    content = json.loads((site / SUITE.id / "ranking.json").read_text(encoding="utf-8"))
    assert (content["snapshot"], content["digest"]) == (ranking.snapshot, SUITE.digest)
    listed = [row for track in content["tracks"] for row in track["rows"]] + content["references"]
    table = list(csv.DictReader((site / SUITE.id / "ranking.csv").read_text(encoding="utf-8").splitlines()))
    rows = ranking.rows()
    assert len(listed) == len(table) == len(rows) == 5
    for row, one, line in zip(rows, listed, table, strict=True):
        result = row.standing.result
        assert result.score is not None
        assert result.gain is not None
        assert one["submission"] == line["submission"] == row.standing.entry.id
        assert one["score"] == vars(result.score)
        assert one["transfer_gain"] == vars(result.gain.transfer_gain)
        assert one["replaced_versions"] == row.earlier
        assert one["rank"]["estimate"] == (row.rank.estimate if row.rank else None)
        assert one["rank"]["low"] == (row.rank.low if row.rank else None)
        assert float(line["score"]) == result.score.estimate
        assert float(line["score_low"]) == result.score.low
    assert table[-2]["name"].startswith("'=") or any(line["name"].startswith("'=") for line in table)


def test_reference_rows_stand_in_every_track(site: Path, submissions: list[Submission]) -> None:
    page = Page((site / SUITE.id / "index.html").read_text(encoding="utf-8"))
    tables = [attributes for tag, attributes in page.tags if tag == "table"]
    references = [a for tag, a in page.tags if tag == "tr" and a.get("class") == "reference"]
    assert len(tables) == 3
    assert [a["data-id"] for a in references] == [submissions[0].id[:12]] * 3
    assert not any("hidden" in a for tag, a in page.tags if tag == "tr")


def test_incremental_is_full_byte_for_byte(tmp_path: Path, submissions: list[Submission]) -> None:
    grown, out = Board(tmp_path / "board"), tmp_path / "grown"
    for submission in submissions:
        grown.keep(submission)
        built = build(grown, out)
        assert built.computed == 1
    assert build(grown, out).written == ()
    build(grown, tmp_path / "full")
    assert files(out) == files(tmp_path / "full")


def test_several_processes_give_the_same(
    tmp_path: Path, board: Board, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tlbench.leaderboard.site.cache.POOL_FROM", 2)
    build_site(board, SUITES, tmp_path / "site", bootstrap=repetitions(), jobs=2)
    assert files(tmp_path / "site") == files(site)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("damage", [_truncate, _flip, lambda p: p.write_bytes(b""), Path.unlink])
@pytest.mark.parametrize(
    "what", [".cache/**/*.bin", ".cache/**/pages.json", "small-v1/submissions/*.html", "small-v1/*.html"]
)
def test_damage_is_mended(tmp_path: Path, spam: Submission, damage: Callable[[Path], None], what: str) -> None:
    board = board_of(tmp_path / "board", [spam])
    out = tmp_path / "site"
    build(board, out)
    before = files(out)
    for path in list(out.glob(what)):
        damage(path)
    build(board, out)
    assert files(out) == before


def test_old_snapshots_stay_as_they_were(tmp_path: Path, submissions: list[Submission]) -> None:
    board, out = Board(tmp_path / "board"), tmp_path / "site"
    for submission in submissions[:3]:
        board.keep(submission)
    build(board, out)
    folder = out / SUITE.id / "s"
    old = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "index.html"}
    assert len(old) == 3
    second = next(text.decode() for text in old.values() if "Old" in text.decode() and "New" not in text.decode())
    assert "60.0" not in second or "Old" in second
    for submission in submissions[3:]:
        board.keep(submission)
    build(board, out)
    assert {name: (folder / name).read_bytes() for name in old} == old
    assert len(list(folder.iterdir())) == len(submissions) + 1


def test_a_permanent_link_carries_the_snapshot(site: Path, board: Board, submissions: list[Submission]) -> None:
    snapshot = rank_board(board, SUITE, repetitions()).snapshot
    page = Page((site / SUITE.id / "index.html").read_text(encoding="utf-8"))
    assert f"s/{snapshot[:12]}.html" in [address for address, _ in page.links]
    assert snapshot in (site / SUITE.id / "s" / f"{snapshot[:12]}.html").read_text(encoding="utf-8")
    own = (site / SUITE.id / "submissions" / f"{submissions[1].id[:12]}.html").read_text(encoding="utf-8")
    cited = next(word for word in own.split() if word.startswith('href="../s/') and "index" not in word)
    assert (site / SUITE.id / "s" / cited.partition("../s/")[2].partition('"')[0]).is_file()
    assert "This submission was replaced" in own


def test_a_later_reference_changes_what_earlier_ones_are_held_against(
    tmp_path: Path, spam: Submission, scratch: Submission
) -> None:
    board, out = board_of(tmp_path / "board", [spam]), tmp_path / "site"
    build(board, out)
    page = out / SUITE.id / "submissions" / f"{spam.id[:12]}.html"
    assert "no control of its own" in page.read_text(encoding="utf-8")
    board.keep(scratch)
    assert build(board, out).computed == 2
    assert "no control of its own" not in page.read_text(encoding="utf-8")
    build(board, tmp_path / "full")
    assert files(out) == files(tmp_path / "full")


def test_badges_and_their_documents(tmp_path: Path, spam: Submission) -> None:
    board, out = board_of(tmp_path / "board", [spam]), tmp_path / "site"
    build(board, out)
    run = next(r for r in spam.runs() if "close" in r.transfers)
    checked = CheckedRun(
        key=run.key, transfer="close", target=run.target, seed=run.seed, expert_seed=run.expert_seed,
        verdict="identical", same_environment=True, recorded=0.5, found=0.5, statistic=None,
    )  # fmt: skip
    document = sealed(
        submission=spam.id, outcome="identical", kind="reproduced", by="Someone <else>", date="2026-01-02",
        tlbench="0.1.0", environment={"device": "cpu"}, method_file=None, seeds="recorded", draw=1, runs=[checked],
        test=None,
    )  # fmt: skip
    board.add_verification(board.entries()[0], document)
    assert build(board, out).computed == 0
    page = (out / SUITE.id / "submissions" / f"{spam.id[:12]}.html").read_text(encoding="utf-8")
    assert '<span class="badge reproduced">' in page
    assert "Someone &lt;else&gt;" in page
    name = f"{spam.id[:12]}-{document.digest[:12]}.json"
    assert name in page
    assert (out / SUITE.id / "submissions" / name).read_bytes() == document.to_bytes()
    assert '<span class="badge reproduced">' in (out / SUITE.id / "index.html").read_text(encoding="utf-8")


def test_the_bundle_can_be_downloaded(site: Path, board: Board) -> None:
    for entry in board.entries():
        data = (site / SUITE.id / "submissions" / f"{entry.short_id}.zip").read_bytes()
        assert hashlib.sha256(data).hexdigest() == entry.acceptance.bundle_sha256


def test_an_unknown_suite_is_listed(tmp_path: Path, spam: Submission) -> None:
    built = build_site(board_of(tmp_path / "board", [spam]), {}, tmp_path / "site", bootstrap=repetitions(), jobs=1)
    assert (built.submissions, built.unknown) == (0, 1)
    page = Page((tmp_path / "site" / "index.html").read_text(encoding="utf-8"))
    assert {"Unknown suite", spam.id[:12]} <= set(page.words)


def test_a_corrected_version_leads_to_the_one_that_corrects_it(tmp_path: Path) -> None:
    newer = SUITE.model_copy(update={"version": SUITE.version + 1})
    known = {suite.id: suite for suite in (SUITE, newer)}
    build_site(Board(tmp_path / "nothing"), known, tmp_path / "site", bootstrap=repetitions(), jobs=1)
    for page, address, times in (
        ("index.html", f'href="{newer.id}/index.html"', 3),  # its card has two
        (f"{SUITE.id}/index.html", f'href="../{newer.id}/index.html"', 1),
        (f"{newer.id}/index.html", "corrects this version", 0),
    ):
        assert (tmp_path / "site" / page).read_text(encoding="utf-8").count(address) == times, page
    pages(tmp_path / "site")


def test_an_empty_board(tmp_path: Path) -> None:
    built = build(Board(tmp_path / "nothing"), tmp_path / "site")
    assert built.submissions == 0
    assert "There is no submission" in (tmp_path / "site" / SUITE.id / "index.html").read_text(encoding="utf-8")
    assert (tmp_path / "site" / SUITE.id / "ranking.csv").read_text(encoding="utf-8") == ""
    pages(tmp_path / "site")
    assert not (tmp_path / "nothing").exists()


def test_only_learners_from_scratch(tmp_path: Path, scratch: Submission) -> None:
    build(board_of(tmp_path / "board", [scratch]), tmp_path / "site")
    page = Page((tmp_path / "site" / SUITE.id / "index.html").read_text(encoding="utf-8"))
    assert [a["data-id"] for tag, a in page.tags if tag == "tr" and "data-id" in a] == [scratch.id[:12]]


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(TlbenchError, match="holds something else"):
        build(Board(tmp_path / "board"), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(TlbenchError, match="is no folder"):
        build(Board(tmp_path / "board"), tmp_path / "thesis.tex")


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spam: Submission) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tlbench.leaderboard.board.reference_folder", lambda: tmp_path / "none")
    (tmp_path / "small.toml").write_text(SMALL.format(seeds=8) + SELF)
    board_of(tmp_path / "board", [spam])

    def run(*more: str) -> str:
        result = CliRunner().invoke(app, ["leaderboard", "build", "--board", "board", *more])
        return result.output + result.stderr

    assert "1 submission on suites that are not installed" in run("--out", "other")
    told = run("--out", "site", "--suite", "small.toml")
    assert "1 computed" in told
    assert "index.html in a browser" in told
    assert "0 computed, 1 from before" in run("--out", "site", "--suite", "small.toml")
    assert run("--out", "board").startswith("error: board holds something else")
