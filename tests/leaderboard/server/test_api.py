from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.leaderboard.conftest import submission_of
from tests.leaderboard.server.conftest import SUBMISSIONS, SUITE, Here, sending, wait_for
from tests.leaderboard.test_verification import checked, document
from tlbench.leaderboard.server.intake import Intake
from tlbench.leaderboard.submission import Submission


def test_submit_twice_and_read_back(here: Here, bundles: list[Submission]) -> None:
    token, spam = here.token(), bundles[0]
    first = here.submit(spam.to_bytes(), token)
    assert first.status_code == 201
    told = first.json()
    assert told["id"] == spam.id
    assert told["url"] == f"/small-v1/submissions/{spam.id[:12]}.html"
    assert len(told["snapshot"]) == 64
    assert here.submit(bundles[1].to_bytes(), token).status_code == 201
    again = here.submit(spam.to_bytes(), token)
    assert (again.status_code, again.json()) == (200, told)
    assert [e.id for e in here.board.entries()] == [spam.id, bundles[1].id]
    listed = here.client.get(f"{SUBMISSIONS}?suite=small-v1").json()
    assert [(s["id"], s["active"], s["badge"]) for s in listed] == [
        (spam.id, False, "self-reported"),
        (bundles[1].id, True, "self-reported"),
    ]
    assert [s["name"] for s in here.client.get(f"{SUBMISSIONS}?active=true&method=spam-vpg").json()] == ["SPAM 1"]
    assert [s["name"] for s in here.client.get(f"{SUBMISSIONS}?start=1&limit=1").json()] == ["SPAM 1"]
    one = here.client.get(f"{SUBMISSIONS}/{spam.id[:12]}").json()
    assert one["contact"] == "someone@example.org"
    bundle = here.client.get(one["bundle"])
    assert hashlib.sha256(bundle.content).hexdigest() == one["bundle_sha256"]
    assert bundle.headers["content-type"] == "application/zip"
    assert not list((here.board.folder / "uploads").iterdir())


def test_the_site_follows(here: Here, bundles: list[Submission]) -> None:
    ranking = "/api/v1/suites/small-v1/ranking"
    wait_for(lambda: here.client.get(ranking).status_code == 200)
    assert here.client.get(ranking).json() == {"submissions": 0}
    here.submit(bundles[0].to_bytes(), here.token())
    wait_for(lambda: "1 submissions" in here.client.get("/").text)
    assert here.client.get(ranking).json() == {"submissions": 1}
    assert here.client.get("/api/v1/health").json() == {"status": "ok", "submissions": 1, "site": "built"}
    for path in ("/.secret", "/../server.sqlite", "/%2e%2e/%2e%2e/server.sqlite", "/small-v1/../../../server.sqlite"):
        assert here.client.get(path).status_code == 404


def test_suites(here: Here) -> None:
    (suite,) = here.client.get("/api/v1/suites").json()
    assert (suite["id"], suite["digest"]) == ("small-v1", SUITE.digest)


@pytest.mark.parametrize("path", ["/", "/nothing", SUBMISSIONS, "/openapi.json", "/api/v1/health"])
def test_headers_of_every_answer(here: Here, path: str) -> None:
    answer = here.client.get(path, headers={"Origin": "https://elsewhere.example"})
    assert answer.headers["content-security-policy"].startswith("default-src 'self'")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/nothing", 404),
        ("GET", f"{SUBMISSIONS}/{'0' * 64}", 404),
        ("GET", f"{SUBMISSIONS}/..%2f..%2fserver.sqlite", 404),
        ("GET", f"{SUBMISSIONS}/spam-vpg/bundle", 404),
        ("GET", f"{SUBMISSIONS}?suite=other", 404),
        ("GET", f"{SUBMISSIONS}?limit=100000", 422),
        ("GET", "/api/v1/suites/other/ranking", 404),
        ("DELETE", SUBMISSIONS, 405),
        ("TRACE", "/", 405),
        ("GET", "/docs", 404),
    ],
)
def test_errors_are_one_line_of_json(here: Here, method: str, path: str, status: int) -> None:
    wait_for(lambda: here.client.get("/").status_code == 200)
    answer = here.client.request(method, path)
    assert answer.status_code == status
    (error,) = answer.json().values()
    assert error.isprintable()


def test_a_mistake_of_the_server_is_not_shown(
    here: Here, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def entries() -> None:
        raise RuntimeError("secret path /srv/x")

    monkeypatch.setattr(here.board, "entries", entries)
    answer = here.client.get(SUBMISSIONS)
    assert answer.status_code == 500
    assert "secret" not in answer.text
    number = answer.json()["error"].split()[-1]
    assert f"problem {number}" in caplog.text
    assert "secret path" in caplog.text  # for the maintainer


def test_a_folder_that_cannot_be_written(here: Here, bundles: list[Submission]) -> None:
    token = here.token()
    here.board.folder.joinpath("submissions").write_text("in the way")
    answer = here.submit(bundles[0].to_bytes(), token)
    assert answer.status_code == 503
    assert str(here.board.folder) not in answer.text
    here.board.folder.joinpath("submissions").unlink()
    assert here.submit(bundles[0].to_bytes(), token).status_code == 201


class TestWhoMay:
    @pytest.mark.parametrize("header", [None, "Basic abc", "Bearer", "Bearer x", "Bearer tlb_1_2"])
    def test_without_a_token(self, here: Here, bundles: list[Submission], header: str | None) -> None:
        headers = {"Content-Type": "application/zip", **({"Authorization": header} if header else {})}
        answer = here.client.post(SUBMISSIONS, content=bundles[0].to_bytes(), headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert here.board.entries() == []

    def test_replace(self, here: Here, bundles: list[Submission]) -> None:
        owner, other, boss = here.token(), here.token(), here.token("maintain")
        assert here.submit(bundles[0].to_bytes(), owner).status_code == 201
        refused = here.submit(bundles[1].to_bytes(), other)
        assert refused.status_code == 403
        assert "first submitted by someone else" in refused.json()["error"]
        assert here.submit(bundles[0].to_bytes(), other).status_code == 200  # it is there: nothing to refuse
        assert here.submit(bundles[2].to_bytes(), boss).status_code == 201
        assert here.submit(bundles[3].to_bytes(), owner).status_code == 201  # the first entry of the line is theirs
        assert len(here.board.entries()) == 3

    def test_replace_what_the_maintainer_added_by_hand(self, here: Here, bundles: list[Submission]) -> None:
        here.board.add(bundles[0].to_bytes(), {SUITE.id: SUITE})
        assert here.submit(bundles[1].to_bytes(), here.token()).status_code == 403
        assert here.submit(bundles[1].to_bytes(), here.token("maintain")).status_code == 201

    def test_learners_from_scratch(self, here: Here, control: Submission) -> None:
        assert "only maintainers" in here.submit(control.to_bytes(), here.token()).json()["error"]
        assert here.submit(control.to_bytes(), here.token("maintain")).status_code == 201


class TestVerifications:
    def send(self, here: Here, found: Submission, data: bytes, token: str | None) -> Any:
        path = f"{SUBMISSIONS}/{found.id}/verifications"
        return here.client.post(path, content=data, headers=sending(token, "application/json"))

    def test_who_may(self, here: Here, bundles: list[Submission]) -> None:
        owner, other, boss = here.token(), here.token(), here.token("maintain")
        spam = bundles[0]
        here.submit(spam.to_bytes(), owner)
        made, checked = document(spam).to_bytes(), document(spam, kind="verified").to_bytes()
        assert self.send(here, spam, made, None).status_code == 401
        assert "nobody reproduces" in self.send(here, spam, made, owner).json()["error"]
        assert "only a token of scope maintain" in self.send(here, spam, checked, other).json()["error"]
        assert here.client.get(f"{SUBMISSIONS}/{spam.id}").json()["badge"] == "self-reported"
        first = self.send(here, spam, made, other)
        assert first.status_code == 201
        again = self.send(here, spam, made, other)
        assert (again.status_code, again.json()) == (200, first.json())
        assert here.client.get(f"{SUBMISSIONS}/{spam.id}").json()["badge"] == "reproduced"
        assert self.send(here, spam, checked, boss).status_code == 201
        assert here.client.get(f"{SUBMISSIONS}/{spam.id}").json()["badge"] == "verified"
        assert len(here.client.get(f"{SUBMISSIONS}/{spam.id}/verifications").json()) == 2

    def test_bad_documents(self, here: Here, bundles: list[Submission]) -> None:
        spam, other = bundles[0], here.token()
        here.submit(spam.to_bytes(), here.token())
        good = document(spam, by="A. Reader").to_bytes()
        assert self.send(here, bundles[1], good, other).status_code == 404
        here.submit(bundles[2].to_bytes(), here.token("maintain"))
        for data, reason in [
            (good.replace(b"A. Reader", b"B. Reader"), "digest is wrong"),
            (good.replace(b"0.5", b"NaN", 1), "not a finite number"),
            (b'{"by": 1, "by": 2}', "appears twice"),
            (b"[" * 100_000, "nested too deeply"),
            (b"", "not valid JSON"),
            (document(bundles[2]).to_bytes(), "of another submission"),
            (document(spam, runs=[checked()]).to_bytes(), "is not a run of the submission"),
        ]:
            answer = self.send(here, spam, data, other)
            assert answer.status_code == 422
            assert reason in answer.json()["error"]
        wrong = here.client.post(f"{SUBMISSIONS}/{spam.id}/verifications", content=good, headers=sending(other))
        assert wrong.status_code == 415
        assert here.board.verifications(here.board.entries()[0]) == ()


def test_tokens_end_at_once(here: Here, bundles: list[Submission]) -> None:
    token = here.token()
    assert here.submit(bundles[0].to_bytes(), token).status_code == 201
    here.tokens.revoke(token)
    answer = here.submit(bundles[1].to_bytes(), token)
    assert answer.status_code == 401
    assert "was revoked" in answer.json()["error"]


def test_two_submissions_at_the_same_snapshot_are_told_their_own(here: Here, bundles: list[Submission]) -> None:
    token = here.token()
    told = [here.submit(b.to_bytes(), token).json()["snapshot"] for b in bundles[:3]]
    assert len(set(told)) == 3
    assert told == [here.submit(b.to_bytes(), token).json()["snapshot"] for b in bundles[:3]]


class TestUnfinished:
    """What a crash between folder and log leaves is settled at the next start, or when the same is sent again."""

    @pytest.mark.parametrize("kept", [True, False])
    @pytest.mark.parametrize("restart", [True, False])
    def test_pending(
        self, start: Callable[..., Here], tmp_path: Path, bundles: list[Submission], kept: bool, restart: bool
    ) -> None:
        here = start(folder=tmp_path / "one")
        first, second = here.token(), here.token()
        leave_pending(here, bundles[0], first)
        if kept:
            here.board.keep(bundles[0])
        if restart:
            assert Intake(here.board, here.database).settle() == 1
        assert here.submit(bundles[0].to_bytes(), second).status_code == (200 if kept else 201)
        assert here.submit(bundles[1].to_bytes(), first if kept else second).status_code == 201
        assert here.submit(bundles[2].to_bytes(), second if kept else first).status_code == 403
        assert Intake(here.board, here.database).settle() == 0


def leave_pending(here: Here, submission: Submission, token: str) -> None:
    from tlbench.leaderboard.server.database import now
    from tlbench.leaderboard.server.schema import PENDING, Submitted

    with here.database.write() as session:
        session.add(Submitted(id=submission.id, token=token.split("_")[1], state=PENDING, created=now()))


def test_a_method_of_another_version_is_another_line(here: Here) -> None:
    owner, other = here.token(), here.token()
    assert here.submit(submission_of(SUITE).to_bytes(), owner).status_code == 201
    assert here.submit(submission_of(SUITE, "random", name="R").to_bytes(), other).status_code == 201
