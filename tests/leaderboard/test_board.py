from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.leaderboard.conftest import small_suite, submission_of
from tlbench.leaderboard.board import Board, reference_folder
from tlbench.leaderboard.entries import EMPTY_SNAPSHOT, at_snapshot, find_entry, lines, snapshot_of, snapshots
from tlbench.leaderboard.submission import Submission
from tlbench.protocol.errors import StorageError, TlbenchError
from tlbench.protocol.specs import SuiteSpec


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_add_and_read_back(tmp_path: Path, spam: Submission, suites: dict[str, SuiteSpec]) -> None:
    board = Board(tmp_path / "board")
    assert board.entries() == []
    added = board.add(spam.to_bytes(), suites)
    assert added.new
    assert added.entry.id == spam.id
    assert Board(tmp_path / "board").entries() == [added.entry]
    assert board.submission(added.entry).records == spam.records
    assert not any(".incoming" in name for name in files(board.folder))


def test_the_same_bundle_twice(tmp_path: Path, spam: Submission, suites: dict[str, SuiteSpec]) -> None:
    board = Board(tmp_path / "board")
    first = board.add(spam.to_bytes(), suites)
    before = files(board.folder)
    again = board.add(spam.to_bytes(), suites)
    assert not again.new
    assert again.entry == first.entry
    assert files(board.folder) == before


def test_a_refused_bundle_leaves_nothing(tmp_path: Path, spam: Submission) -> None:
    board = Board(tmp_path / "board")
    with pytest.raises(TlbenchError, match="not known here"):
        board.add(spam.to_bytes(), {})
    with pytest.raises(TlbenchError, match="no zip"):
        board.add(b"junk", {})
    assert not board.folder.exists()


def test_one_active_entry_per_method_and_version(
    tmp_path: Path, suite: SuiteSpec, suites: dict[str, SuiteSpec]
) -> None:
    board = Board(tmp_path)
    ids = [board.add(submission_of(suite, noise=i).to_bytes(), suites).entry.id for i in range(3)]
    other = board.add(submission_of(suite, "random").to_bytes(), suites).entry
    found = lines(board.entries())
    assert [(line.active.id, [e.id for e in line.earlier]) for line in found] == [(ids[2], ids[:2]), (other.id, [])]
    assert len(board.entries()) == 4
    assert find_entry(board.entries(), "spam-vpg").id == ids[2]
    assert find_entry(board.entries(), "spam-vpg@1").id == ids[2]
    assert find_entry(board.entries(), ids[0][:10]).id == ids[0]
    with pytest.raises(TlbenchError, match=r"no submission 'nothing'; there are: spam-vpg@1"):
        find_entry(board.entries(), "nothing")


def test_snapshots(tmp_path: Path, suite: SuiteSpec, suites: dict[str, SuiteSpec]) -> None:
    board = Board(tmp_path)
    assert snapshot_of(board.entries()) == EMPTY_SNAPSHOT
    seen = []
    for i in range(3):
        board.add(submission_of(suite, noise=i).to_bytes(), suites)
        seen.append(snapshot_of(board.entries()))
    assert snapshots(board.entries()) == seen
    assert len(set(seen)) == 3
    for i, digest in enumerate(seen):
        assert at_snapshot(board.entries(), digest[:12]) == board.entries()[: i + 1]
    with pytest.raises(TlbenchError, match="no snapshot begins with 'zz'"):
        at_snapshot(board.entries(), "zz")


def test_references_come_first_and_are_only_read(
    tmp_path: Path, spam: Submission, scratch: Submission, suites: dict[str, SuiteSpec]
) -> None:
    own = Board(tmp_path / "own", references=tmp_path / "references")
    own.add(spam.to_bytes(), suites)
    Board(tmp_path / "references").add(scratch.to_bytes(), suites)
    before = files(tmp_path / "references")
    assert not own.add(scratch.to_bytes(), suites).new
    assert [(e.id, e.reference) for e in own.entries()] == [(scratch.id, True), (spam.id, False)]
    assert own.submission(own.entries()[0]).records == scratch.records
    assert files(tmp_path / "references") == before
    assert (reference_folder() / "board.py").exists()


class TestIndex:
    def test_missing_damaged_stale_or_forged(
        self, tmp_path: Path, suite: SuiteSpec, suites: dict[str, SuiteSpec]
    ) -> None:
        board = Board(tmp_path)
        for i in range(2):
            board.add(submission_of(suite, noise=i).to_bytes(), suites)
        entries, good = board.entries(), (tmp_path / "index.json").read_text()
        content = json.loads(good)
        forged = json.loads(good.replace('"name": "SPAM"', '"name": "FORGED"'))
        texts = ["", "[]", good[:-50], json.dumps({**content, "entries": content["entries"][:1]}), json.dumps(forged)]
        for text in texts:
            (tmp_path / "index.json").write_text(text)
            assert board.entries() == entries
        (tmp_path / "index.json").unlink()
        assert board.entries() == entries
        assert board.rebuild() == 2
        assert (tmp_path / "index.json").read_text() == good

    def test_an_index_line_without_its_bundle_is_not_believed(
        self, tmp_path: Path, spam: Submission, suites: dict[str, SuiteSpec]
    ) -> None:
        board = Board(tmp_path)
        entry = board.add(spam.to_bytes(), suites).entry
        board.path(entry).rename(tmp_path / "away")
        assert board.entries() == []

    def test_damage_is_named(self, tmp_path: Path, spam: Submission, suites: dict[str, SuiteSpec]) -> None:
        board = Board(tmp_path)
        entry = board.add(spam.to_bytes(), suites).entry
        path = board.path(entry) / "bundle.zip"
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(TlbenchError, match=r"bundle.zip is damaged"):
            board.submission(entry)
        with pytest.raises(TlbenchError, match="not a sound zip"):
            board.rebuild()


def test_many_at_once_none_lost(tmp_path: Path, suite: SuiteSpec, suites: dict[str, SuiteSpec]) -> None:
    bundles = [submission_of(suite, name=f"SPAM {i % 6}").to_bytes() for i in range(12)]
    with ThreadPoolExecutor(6) as pool:
        added = list(pool.map(lambda data: Board(tmp_path).add(data, suites), bundles))
    assert len(Board(tmp_path).entries()) == 6
    assert sum(a.new for a in added) == 6
    assert len({e.acceptance.accepted for e in Board(tmp_path).entries()}) == 6


def test_a_folder_that_cannot_be_written(tmp_path: Path, spam: Submission, suites: dict[str, SuiteSpec]) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="can't write"):
        Board(tmp_path / "file").add(spam.to_bytes(), suites)


KILL = """
import os, signal, sys
from pathlib import Path
from tlbench.leaderboard.board import Board
from tlbench.leaderboard import submission

root, data = Path(sys.argv[1]), Path(sys.argv[2]).read_bytes()
found = submission.read(data)
count = 0

def deadly(name, real):
    def call(*args, **kwargs):
        global count
        if name != "write":  # before ...
            count += 1
            if count == limit: os.kill(os.getpid(), signal.SIGKILL)
        result = real(*args, **kwargs)
        count += 1  # ... and after
        if count == limit: os.kill(os.getpid(), signal.SIGKILL)
        return result
    return call

ends = []
for limit in range(1, 60):
    child = os.fork()
    if child == 0:
        for name in ("fsync", "rename", "replace", "mkdir"):
            setattr(os, name, deadly(name, getattr(os, name)))
        Board(root / str(limit)).keep(found)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    ends.append(os.WIFSIGNALED(status))
    if not ends[-1]: break
print(sum(ends))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
def test_killed_at_any_moment_bundle_and_index_agree(tmp_path: Path, suites: dict[str, SuiteSpec]) -> None:
    suite = small_suite()
    first, second = submission_of(suite), submission_of(suite, "scratch-vpg", name="VPG")
    for limit in range(1, 60):  # the board has a submission already
        Board(tmp_path / str(limit)).keep(first)
    (tmp_path / "bundle.zip").write_bytes(second.to_bytes())
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILL, str(tmp_path), str(tmp_path / "bundle.zip")],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    kills = int(done.stdout)
    assert 10 <= kills < 59  # every system call was met, and the last child came through
    states = set()
    for limit in range(1, kills + 2):
        board = Board(tmp_path / str(limit))
        entries = board.entries()
        ids = [e.id for e in entries]
        assert ids in ([first.id], [first.id, second.id])  # in full or not at all
        states.add(len(ids))
        for entry in entries:
            board.submission(entry)
        assert board.add(second.to_bytes(), suites).new == (len(ids) == 1)
        assert [e.id for e in board.entries()] == [first.id, second.id]
        index = json.loads((board.folder / "index.json").read_text())
        assert [e["acceptance"]["id"] for e in index["entries"]] == [first.id, second.id]
        assert not any(".incoming" in p.name for p in board.folder.rglob("*"))
    assert states == {1, 2}


def test_reference_submissions_pass_the_same_checks() -> None:
    from tlbench.leaderboard import submission as submissions
    from tlbench.leaderboard.validation import validate
    from tlbench.protocol.discovery import suites

    board = Board(reference_folder())
    for entry in board.entries():
        submission = submissions.read(board.bundle(entry))
        assert submission.id == entry.id
        validate(submission, suites())
    index = board.folder / "index.json"
    if board.entries():
        assert [e["acceptance"]["id"] for e in json.loads(index.read_text())["entries"]] == [
            e.id for e in board.entries()
        ]
