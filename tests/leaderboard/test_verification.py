from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.leaderboard.conftest import PROVENANCE, submission_of
from tlbench.leaderboard.board import Board
from tlbench.leaderboard.submission import Submission
from tlbench.leaderboard.verification import (
    MAX_DOCUMENT,
    CheckedRun,
    PermutationTest,
    Verification,
    badge,
    check_by,
    parse_verification,
    sealed,
    worst,
)
from tlbench.leaderboard.verification_runs import FIRST_FRESH_SEED, choose
from tlbench.leaderboard.verification_verdict import fingerprint, judge, same_environment
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.records import Record
from tlbench.protocol.specs import SuiteSpec

PASSED = PermutationTest(statistic=1.0, p_value=0.5, least_p_value=0.01, arrangements=100, exact=True)
STATED: dict[str, Any] = {
    "python": "3.11.7",
    "system": "Linux",
    "machine": "x86_64",
    "cpu_capability": "AVX2",
    "packages": {"torch": "2.6"},
    "git_commit": "a" * 40,
    "git_dirty": False,
    "device": "cpu",
}


def checked(verdict: str = "identical", **changes: Any) -> CheckedRun:
    content = {
        "key": "0" * 64,
        "transfer": "close",
        "target": "negated",
        "seed": 1,
        "expert_seed": 1,
        "verdict": verdict,
        "same_environment": False,
        "recorded": 0.5,
        "found": 0.5,
        "statistic": None if verdict == "identical" else 1.5,
    }
    return CheckedRun.model_validate({**content, **changes})


def checked_again(record: Record, verdict: str = "identical", **changes: Any) -> CheckedRun:
    facts = {name: getattr(record, name) for name in ("key", "target", "seed", "expert_seed")}
    return checked(verdict, **{**facts, "transfer": record.transfers[0], **changes})


def document(submission: Submission | None = None, verdict: str = "identical", **changes: Any) -> Verification:
    content: dict[str, Any] = {
        "submission": submission.id if submission else "a" * 64,
        "outcome": verdict,
        "kind": "reproduced",
        "by": "someone",
        "date": "2026-01-31",
        "tlbench": "0.1.0",
        "environment": {"python": "3.11.7"},
        "method_file": None,
        "seeds": "recorded",
        "draw": 7,
        "runs": [checked_again(submission.runs()[0], verdict) if submission else checked(verdict)],
        "test": None if verdict == "identical" else PASSED,
    }
    return sealed(**{**content, **changes})


class TestDocument:
    def test_there_and_back(self) -> None:
        for verdict in ("identical", "consistent", "different", "undecided"):
            made = document(verdict=verdict)
            assert parse_verification(made.to_bytes()) == made
            assert made.good == (verdict in ("identical", "consistent"))

    def test_the_outcome_is_the_worst(self) -> None:
        assert worst(["identical", "consistent"]) == "consistent"
        assert worst(["identical", "different", "undecided"]) == "different"
        assert worst(["consistent", "undecided"]) == "undecided"
        assert worst(["identical"]) == "identical"

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"by": "someone else"}, "changed after it was written"),
            ({"outcome": "consistent"}, "does not follow"),
            ({"by": "a\nb"}, "one line"),
            ({"extra": 1}, "[Ee]xtra"),
            ({"kind": "self-reported"}, "kind"),
            ({"date": "yesterday"}, "date"),
            ({"runs": []}, "runs"),
            ({"environment": {}}, "environment"),
            ({"schema_version": 2}, "schema_version"),
            ({"draw": 1.5}, "draw"),
            ({"draw": -1}, "draw"),
            ({"seeds": "fresh"}, "other kind"),
        ],
    )
    def test_what_is_refused(self, change: dict[str, Any], message: str) -> None:
        content = {**json.loads(document().to_bytes()), **change}
        with pytest.raises(TlbenchError, match=message) as caught:
            parse_verification(json.dumps(content).encode())
        assert "\n" not in str(caught.value)

    def test_contradictions_are_refused_though_the_digest_is_right(self) -> None:
        failed = PASSED.model_copy(update={"p_value": 0.01})
        for changes in ({"test": None}, {"test": failed}, {"runs": [checked("consistent"), checked("consistent")]}):
            with pytest.raises(TlbenchError, match=r"consistent without|there twice"):
                document(verdict="consistent", **changes)

    def test_sizes_and_broken_text(self) -> None:
        good = document().to_bytes()
        for text in (b"", b"[]", b"\xff", good[:-9], good.replace(b"7", b"NaN"), b'{"a":1,"a":1}', b"[" * 10_000):
            with pytest.raises(TlbenchError, match="not valid"):
                parse_verification(text)
        with pytest.raises(TlbenchError, match="too large"):
            parse_verification(b" " * (MAX_DOCUMENT + 1))

    def test_mutated_documents_are_refused_or_equal(self) -> None:
        rng = random.Random(0)
        made = document(verdict="consistent")
        good, messages = made.to_bytes(), set[str]()
        for _ in range(2000):
            data = bytearray(good)
            for _ in range(rng.randint(1, 3)):
                at = rng.randrange(len(data))
                how = rng.randrange(3)
                if how == 0:
                    data[at] = rng.randrange(256)
                elif how == 1:
                    del data[at : at + rng.randint(1, 20)]
                else:
                    data[at:at] = rng.choice([b"0", b'"', b"null", b"[", b"e9", b"-", b" ", b"\\u0000", b"1" * 40])
            try:
                found = parse_verification(bytes(data))
            except TlbenchError as error:
                messages.add(str(error))
            else:
                assert found == made
        assert len(messages) > 20
        assert not any("\n" in message or not message for message in messages)

    def test_who_verified_is_checked_before_the_work(self) -> None:
        check_by("someone@example.org")
        for bad in ("", " x", "a\nb", "x" * 201):
            with pytest.raises(TlbenchError, match="--by"):
                check_by(bad)


def test_badges() -> None:
    good, other = document(), document(verdict="different")
    verified = document(kind="verified")
    assert badge([]) == badge([other]) == badge([document(verdict="undecided")]) == "self-reported"
    assert badge([document(verdict="different", kind="verified")]) == "self-reported"
    assert badge([other, good]) == "reproduced"
    assert badge([good, verified]) == "verified"


def made_fresh(submission: Submission, **changes: Any) -> Verification:
    run = checked_again(submission.runs()[0], "consistent", same_environment=None, **changes)
    return document(submission, "consistent", seeds="fresh", runs=[run])


class TestBoard:
    def test_kept_once_and_read_back(self, tmp_path: Path, spam: Submission, suites: dict[str, SuiteSpec]) -> None:
        board = Board(tmp_path)
        entry = board.add(spam.to_bytes(), suites).entry
        assert board.verifications(entry) == ()
        later, first = document(spam, date="2026-02-01"), document(spam, "different", date="2026-01-01")
        assert board.add_verification(entry, later)
        assert board.add_verification(entry, first)
        assert not board.add_verification(entry, later)
        assert Board(tmp_path).verifications(entry) == (first, later)
        assert board.entries() == [entry]
        assert not board.add(spam.to_bytes(), suites).new
        assert board.rebuild() == 1
        assert board.verifications(entry) == (first, later)
        assert len(list((tmp_path / "verifications" / spam.id).iterdir())) == 2

    def test_of_a_reference_in_the_own_folder(
        self, tmp_path: Path, spam: Submission, suites: dict[str, SuiteSpec]
    ) -> None:
        references = Board(tmp_path / "references")
        entry = references.add(spam.to_bytes(), suites).entry
        shipped, own = document(spam), document(spam, date="2026-02-01")
        references.add_verification(entry, shipped)
        before = sorted((tmp_path / "references").rglob("*"))
        board = Board(tmp_path / "own", references=tmp_path / "references")
        (found,) = board.entries()
        assert board.add_verification(found, own)
        assert not board.add_verification(found, shipped)
        assert board.verifications(found) == (shipped, own)
        assert references.verifications(entry) == (shipped,)
        assert sorted((tmp_path / "references").rglob("*")) == before
        assert board.entries() == [found]

    def test_of_another_submission_or_none(
        self, tmp_path: Path, spam: Submission, scratch: Submission, suites: dict[str, SuiteSpec]
    ) -> None:
        board = Board(tmp_path / "board")
        entry = board.add(spam.to_bytes(), suites).entry
        with pytest.raises(TlbenchError, match="of another submission"):
            board.add_verification(entry, document(scratch))
        with pytest.raises(TlbenchError, match="not on this leaderboard"):
            Board(tmp_path / "empty").add_verification(entry, document(spam))
        assert not (tmp_path / "board" / "verifications").exists()
        assert not (tmp_path / "empty").exists()

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"key": "0" * 64}, "run 000000000000 (self, seed 0) is not a run of the submission "),
            ({"transfer": "far"}, "another transfer task, target or seed"),
            ({"target": "negated"}, "another transfer task, target or seed"),
            ({"seed": 7}, "another transfer task, target or seed"),
            ({"expert_seed": None}, "another transfer task, target or seed"),
        ],
    )
    def test_a_run_that_is_not_the_submissions(
        self, tmp_path: Path, spam: Submission, suites: dict[str, SuiteSpec], changes: dict[str, Any], message: str
    ) -> None:
        board = Board(tmp_path)
        entry = board.add(spam.to_bytes(), suites).entry
        first, *_ = (r for r in spam.runs() if (r.transfers[0], r.seed) == ("self", 0))
        rest = [checked_again(r) for r in spam.runs() if r.key != first.key]
        with pytest.raises(TlbenchError, match=re.escape(message)):
            board.add_verification(entry, document(spam, runs=[*rest, checked_again(first, **changes)]))
        assert board.verifications(entry) == ()
        assert board.add_verification(entry, document(spam, runs=[*rest, checked_again(first)]))

    def test_controls_and_experts_are_not_verified(
        self, tmp_path: Path, spam: Submission, suites: dict[str, SuiteSpec]
    ) -> None:
        board = Board(tmp_path)
        entry = board.add(spam.to_bytes(), suites).entry
        with pytest.raises(TlbenchError, match="is not a run of the submission"):
            board.add_verification(entry, document(spam, runs=[checked_again(spam.controls()[0])]))
        with pytest.raises(TlbenchError, match="is not a run of the submission"):
            board.add_verification(entry, document(spam, runs=[checked(key=spam.experts()[0].key)]))

    def test_fresh_seeds_are_in_no_submission(
        self, tmp_path: Path, spam: Submission, suites: dict[str, SuiteSpec]
    ) -> None:
        board = Board(tmp_path)
        entry = board.add(spam.to_bytes(), suites).entry
        fresh = {"key": "0" * 64, "seed": FIRST_FRESH_SEED, "expert_seed": FIRST_FRESH_SEED, "recorded": None}
        for change, message in [
            ({"seed": 1}, "is not of a fresh seed"),
            ({"key": spam.runs()[0].key}, "is not of a fresh seed"),
            ({"transfer": "far"}, "no transfer task and target"),
            ({"target": "pendulum"}, "no transfer task and target"),
        ]:
            with pytest.raises(TlbenchError, match=message):
                board.add_verification(entry, made_fresh(spam, **{**fresh, **change}))
        assert board.verifications(entry) == ()
        assert board.add_verification(entry, made_fresh(spam, **fresh))

    def test_damage_is_named_and_leftovers_go(
        self, tmp_path: Path, spam: Submission, suites: dict[str, SuiteSpec]
    ) -> None:
        board = Board(tmp_path)
        entry = board.add(spam.to_bytes(), suites).entry
        made = document(spam)
        board.add_verification(entry, made)
        folder = tmp_path / "verifications" / spam.id
        (folder / ".incoming-x").write_text("half")
        board.add_verification(entry, document(spam, date="2026-03-01"))
        assert not (folder / ".incoming-x").exists()
        path = folder / f"{made.digest}.json"
        path.rename(folder / f"{'0' * 64}.json")
        with pytest.raises(TlbenchError, match=r"0000.json is damaged"):
            board.verifications(entry)
        (folder / f"{'0' * 64}.json").write_bytes(made.to_bytes()[:100])
        with pytest.raises(TlbenchError, match=r"0000.json is not valid"):
            board.verifications(entry)

    @pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
    def test_killed_at_any_moment_it_is_there_or_not(
        self, tmp_path: Path, spam: Submission, suites: dict[str, SuiteSpec]
    ) -> None:
        board = Board(tmp_path / "board")
        entry = board.add(spam.to_bytes(), suites).entry
        made = document(spam)
        (tmp_path / "document.json").write_bytes(made.to_bytes())
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", KILL, str(tmp_path)],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        before, after = json.loads(done.stdout)
        assert before >= 3  # killed before the rename, and there is nothing; after it, and all of it is there
        assert after >= 2
        assert board.verifications(entry) == (made,)


KILL = """
import json, os, shutil, signal, sys
from pathlib import Path
from tlbench.leaderboard.board import Board
from tlbench.leaderboard.verification import parse_verification

root, count = Path(sys.argv[1]), 0
made = parse_verification((root / "document.json").read_bytes())
board = Board(root / "board")
[entry] = board.entries()

def deadly(real):
    def call(*args, **kwargs):
        global count
        count += 1
        if count == limit: os.kill(os.getpid(), signal.SIGKILL)
        result = real(*args, **kwargs)
        count += 1
        if count == limit: os.kill(os.getpid(), signal.SIGKILL)
        return result
    return call

ends = [0, 0]
for limit in range(1, 60):
    child = os.fork()
    if child == 0:
        for name in ("fsync", "rename", "replace", "mkdir"):
            setattr(os, name, deadly(getattr(os, name)))
        board.add_verification(entry, made)
        os._exit(0)
    killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
    there = board.verifications(entry) == (made,)
    assert there or board.verifications(entry) == ()
    assert board.entries() == [entry]
    if not killed: break
    ends[there] += 1
    assert board.add_verification(entry, made) == (not there)
    shutil.rmtree(root / "board" / "verifications")
print(json.dumps(ends))
"""


class TestChoice:
    def test_the_same_draw_chooses_the_same_and_another_others(self, spam: Submission, suite: SuiteSpec) -> None:
        keys = {tuple(c.record.key for c in choose(spam, suite, 3, draw)) for draw in range(20)}
        assert len(keys) > 10
        assert choose(spam, suite, 3, 5) == choose(spam, suite, 3, 5)

    def test_spread_over_tasks_and_seeds(self, spam: Submission, suite: SuiteSpec) -> None:
        for draw in range(10):
            chosen = choose(spam, suite, 6, draw)
            assert sorted(c.transfer for c in chosen) == ["close"] * 3 + ["self"] * 3
            assert len({c.seed for c in chosen}) == 6

    def test_everything_once_but_not_more(self, spam: Submission, suite: SuiteSpec) -> None:
        chosen = choose(spam, suite, 16, 0)
        assert {c.record.key for c in chosen} == {r.key for r in spam.runs()}
        for runs in (0, -1, 17):
            with pytest.raises(TlbenchError, match=r"--runs must be 1 to 16"):
                choose(spam, suite, runs, 0)

    def test_fresh_seeds_are_distinct_and_outside(self, spam: Submission, suite: SuiteSpec) -> None:
        seeds = [c.seed for c in choose(spam, suite, 5, 0, fresh=True)]
        assert len(set(seeds)) == 5
        assert min(seeds) >= FIRST_FRESH_SEED > suite.seeds
        assert seeds != [c.seed for c in choose(spam, suite, 5, 1, fresh=True)]


class TestVerdict:
    def test_equal_runs_are_identical_whatever_was_timed(self, spam: Submission, suite: SuiteSpec) -> None:
        chosen = choose(spam, suite, 3, 0)
        again = [c.record.model_copy(update={"provenance": {**STATED, "wall_seconds": 9.0}}) for c in chosen]
        runs, test = judge(suite, spam, chosen, again)
        assert [r.verdict for r in runs] == ["identical"] * 3
        assert test is None
        assert all(r.recorded == r.found for r in runs)

    def test_a_difference_in_an_equal_environment_is_different(self, suite: SuiteSpec) -> None:
        spam = submission_of(suite)
        records = tuple(r.model_copy(update={"provenance": STATED}) for r in spam.records)
        spam = Submission(spam.metadata, records)
        chosen = choose(spam, suite, 2, 0)
        again = [shifted(c.record, 0.001) for c in chosen]
        assert [r.verdict for r in judge(suite, spam, chosen, again)[0]] == ["different"] * 2
        again = [r.model_copy(update={"provenance": {**STATED, "cpu_capability": "AVX512"}}) for r in again]
        runs, test = judge(suite, spam, chosen, again)
        assert [r.verdict for r in runs] == ["consistent"] * 2
        assert test is not None
        assert test.p_value > 0.05

    def test_another_environment_is_left_to_the_test(self, spam: Submission, suite: SuiteSpec) -> None:
        chosen = choose(spam, suite, 4, 0)
        near, far = ([shifted(c.record, by) for c in chosen] for by in (0.1, 300.0))
        assert {r.verdict for r in judge(suite, spam, chosen, near)[0]} == {"consistent"}
        runs, test = judge(suite, spam, chosen, far)
        assert {r.verdict for r in runs} == {"different"}
        assert test is not None
        assert test.p_value == test.least_p_value <= 0.05

    def test_one_run_cannot_tell(self, spam: Submission, suite: SuiteSpec) -> None:
        chosen = choose(spam, suite, 1, 0)
        runs, _ = judge(suite, spam, chosen, [shifted(chosen[0].record, 300.0)])
        assert [r.verdict for r in runs] == ["undecided"]

    def test_all_runs_at_once(self, spam: Submission, suite: SuiteSpec) -> None:
        chosen = choose(spam, suite, 16, 0)
        for by, verdict in ((0.1, "consistent"), (300.0, "different")):
            runs, test = judge(suite, spam, chosen, [shifted(c.record, by) for c in chosen])
            assert {r.verdict for r in runs} == {verdict}
            assert test is not None


def shifted(record: Any, by: float) -> Any:
    points = tuple(p.model_copy(update={"returns": tuple(x + by for x in p.returns)}) for p in record.curve)
    return record.model_copy(update={"curve": points})


def test_environments() -> None:
    assert same_environment(STATED, dict(STATED))
    assert same_environment({**STATED, "wall_seconds": 1}, {**STATED, "wall_seconds": 2})
    for change in ({"python": "3.12.0"}, {"packages": {"torch": "2.7"}}, {"device": "cuda"}, {"git_commit": None}):
        assert not same_environment(STATED, {**STATED, **change})
    for promise in ({"git_dirty": True}, {"device": "cuda"}):  # equal, and yet nothing follows
        assert not same_environment({**STATED, **promise}, {**STATED, **promise})
    assert not same_environment(PROVENANCE, PROVENANCE)  # most of it is not stated
    assert fingerprint(STATED)["torch"] == "2.6"
    assert fingerprint({**STATED, "git_commit": None, "git_dirty": True})["git_dirty"] == "true"
