from __future__ import annotations

import re
import socket
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.leaderboard.server.conftest import Apart, HTTPClient, wait_for
from tlbench import leaderboard
from tlbench.cli.app import app
from tlbench.leaderboard.submission import Submission


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["leaderboard", *arguments])


def told(result: Result) -> str:
    assert result.exit_code == 1, result.output
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "no tokens yet" in call("token", "list").stdout
    made = call("token", "create", "--name", "A. Reader", "--expires", "2099-01-31")
    assert re.fullmatch(r"tlb_[0-9a-f]{12}_[0-9a-f]{64}\n", made.stdout)
    shown = call("token", "list").stdout
    public = made.stdout.split("_")[1]
    assert re.search(rf"{public} +A. Reader +submit +active +\S+ +2099-01-31T23:59:59Z", shown)
    assert made.stdout.split("_")[2].strip() not in shown
    assert "revoked the token of A. Reader" in call("token", "revoke", public).stdout
    assert "revoked" in call("token", "list").stdout
    assert "no such token" in told(call("token", "revoke", "0" * 12))
    assert "name is one line" in told(call("token", "create", "--name", ""))
    assert "is over already" in told(call("token", "create", "--name", "x", "--expires", "2020-01-01"))
    assert "is no URL" in told(call("token", "list", "--database", "x"))
    monkeypatch.setenv("TLBENCH_DATABASE", "mysql://host/x")
    assert "mysql is not supported" in told(call("token", "list"))


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(leaderboard.server, "find_spec", lambda name: None)
    for command in (["serve"], ["token", "list"]):
        assert "pip install 'tlbench[server]'" in told(call(*command))


def test_a_port_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"can't listen on 127.0.0.1 port {port}" in told(call("serve", "--port", port))


@pytest.mark.slow
def test_serve_with_the_real_site(apart: Callable[..., Apart], bundles: list[Submission], tmp_path: Path) -> None:
    board = str(tmp_path / "board")
    token = call("token", "create", "--name", "x", "--board", board).stdout.strip()
    server = apart(quick=False)
    client = HTTPClient(server.url)
    answer = client.submit(bundles[0].to_bytes(), token)
    assert answer.status_code == 201
    page = wait_for(lambda: (a := client.get(answer.json()["url"])).status_code == 200 and a, 300)
    assert "SPAM 0" in page.text
    ranking = client.get("/api/v1/suites/small-v1/ranking").json()
    assert ranking["snapshot"] == answer.json()["snapshot"]
    assert "one at a time" in told(call("serve", "--board", board, "--port", "0"))
    with urllib.request.urlopen(f"{server.url}/") as first:
        assert b"<script" in first.read()
    assert server.stop() == 130
    assert not [line for line in server.lines if "Traceback" in line], server.lines
