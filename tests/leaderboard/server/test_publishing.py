from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.leaderboard.server import builds
from tests.leaderboard.server.conftest import Here, wait_for
from tlbench.leaderboard.server.publishing import Build
from tlbench.leaderboard.submission import Submission


def test_pages_are_served_while_a_build_runs_and_changes_wait_for_one(
    start: Callable[..., Here], bundles: list[Submission]
) -> None:
    here = start(build=builds.slow)
    log, go = here.board.folder / "builds", here.board.folder / "go"
    wait_for(log.exists)
    assert here.client.get("/").status_code == 503
    go.touch()
    wait_for(lambda: "0 submissions" in here.client.get("/").text)
    go.unlink()
    token = here.token()
    here.submit(bundles[0].to_bytes(), token)
    wait_for(lambda: len(log.read_text()) == 2)  # under way
    for bundle in bundles[1:4]:
        assert here.submit(bundle.to_bytes(), token).status_code == 201
        assert "0 submissions" in here.client.get("/").text
    go.touch()
    wait_for(lambda: "4 submissions" in here.client.get("/").text)
    assert len(log.read_text()) == 3  # one for all that came meanwhile
    assert len([p for p in (here.board.folder / "site").iterdir() if p.name.isdecimal()]) <= 3


@pytest.mark.parametrize("build", [builds.failing, builds.dying])
def test_a_build_that_fails_changes_nothing(
    start: Callable[..., Here], bundles: list[Submission], build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    here = start(build=build)
    wait_for(lambda: "0 submissions" in here.client.get("/").text)
    assert here.submit(bundles[0].to_bytes(), here.token()).status_code == 201
    wait_for(lambda: "could not be built" in caplog.text)
    assert "0 submissions" in here.client.get("/").text
    assert "submissions" in here.client.get("/api/v1/health").text


def test_the_last_site_is_there_after_a_restart(start: Callable[..., Here], bundles: list[Submission]) -> None:
    first = start()
    first.submit(bundles[0].to_bytes(), first.token())
    wait_for(lambda: "1 submissions" in first.client.get("/").text)
    first.close()
    again = start(build=builds.slow)
    assert "1 submissions" in again.client.get("/").text
