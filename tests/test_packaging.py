"""The package as users get it: what is in it, what its metadata says, what the first page promises."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = {"tlbench": "tlbench", "tlbench.tasks": "tasks", "tlbench.baselines": "baselines"}
ROOMS["tlbench.leaderboard"] = "leaderboard"


def pyproject() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_package_is_listed():
    found = set()
    for name, folder in ROOMS.items():
        for init in (ROOT / folder).rglob("__init__.py"):
            inside = init.parent.relative_to(ROOT / folder).parts
            found.add(".".join((name, *inside)))
    assert found == set(pyproject()["tool"]["setuptools"]["packages"])


def test_versions_agree():
    version = pyproject()["project"]["version"]
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"version: {version}" in citation
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()


def test_citation_is_valid():
    done = subprocess.run(
        [Path(sys.executable).parent / "cffconvert", "--validate", "-i", ROOT / "CITATION.cff"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_dependency_is_used():
    """Nothing is required that no file imports."""
    imported = {"stable-baselines3": "stable_baselines3"}
    names = [re.split(r"[\[<>=;, ]", line)[0] for line in pyproject()["project"]["dependencies"]]
    sources = [p for folder in ROOMS.values() for p in (ROOT / folder).rglob("*.py")]
    sources += [*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "tests").rglob("*.py")]
    text = "\n".join(p.read_text() for p in sources if p != Path(__file__))
    unused = [n for n in names if not re.search(rf"(import|from) {imported.get(n, n).replace('-', '_')}\b", text)]
    assert unused == []


def test_the_readme_method_works(tmp_path):
    """The method on the README's first page passes the conformance test as it stands there."""
    code = re.search(r"```python\n(import tlbench\n.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert code is not None
    file = tmp_path / "carry_body.py"
    file.write_text(code.group(1))
    done = subprocess.run(
        [sys.executable, "-m", "tlbench", "check", str(file)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_wheel_works_without_the_checkout(tmp_path):
    """A wheel holds all rooms and data, puts nothing else into site-packages, and evaluates."""
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True)
    wheel = next(tmp_path.glob("*.whl"))
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(install, check=True)
    assert {p.name for p in site.iterdir() if not p.name.endswith(".dist-info")} <= {"tlbench", "bin"}
    environment = {**os.environ, "PYTHONPATH": str(site)}
    code = "import tlbench.tasks, tlbench; print(tlbench.__file__); print(tlbench.tasks.__file__)"
    where = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert all(line.startswith(str(site)) for line in where.stdout.split())
    command = ["evaluate", "--method", "finetune-vpg", "--quick", "--tasks", "cartpole-self", "--seeds", "0"]
    done = subprocess.run(
        [sys.executable, "-m", "tlbench", *command], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "cartpole-self" in done.stdout
