"""The package as users get it: what is in it, what its metadata says, what the first page promises."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
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
    """Nothing is required that no file imports, or reads the data of."""
    imported = {"pillow": "PIL", "stable-baselines3": "stable_baselines3"}
    names = [re.split(r"[\[<>=;, ]", line)[0] for line in pyproject()["project"]["dependencies"]]
    sources = [p for folder in ROOMS.values() for p in (ROOT / folder).rglob("*.py")]
    sources += [*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "tests").rglob("*.py")]
    text = "\n".join(p.read_text() for p in sources if p != Path(__file__))
    unused = [n for n in names if not re.search(rf"(import|from) {imported.get(n, n).replace('-', '_')}\b", text)]
    assert unused == ["scikit-learn"]  # its photographs are read, without importing it
    assert 'find_spec("sklearn")' in text


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


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The wheel, built from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(build, check=True)
    return next(folder.glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_works_without_the_checkout(tmp_path, wheel):
    """A wheel holds all rooms and data, puts nothing else into site-packages, and evaluates."""
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


@pytest.mark.faults
def test_the_installed_wheel_passes_the_tests(tmp_path, wheel):
    """In a fresh environment whose tlbench is the wheel, away from the checkout, all quick tests pass.

    What tlbench depends on is taken from this environment: it is put on the fresh one's path as a plain folder, so that
    an editable install in it, which is a hook and no folder, is not seen.
    """
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH" and not k.startswith("PYTEST_")}
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(install, check=True, env=environment)
    fresh, here = (Path(sysconfig.get_path("purelib", vars=v)) for v in ({"base": str(tmp_path / "venv")}, None))
    (fresh / "dependencies.pth").write_text(f"{here}\n")
    away = tmp_path / "away"
    shutil.copytree(ROOT / "tests", away / "tests", ignore=shutil.ignore_patterns("__pycache__", "test_packaging.py"))
    shutil.copytree(ROOT / "docs", away / "docs")
    for name in ("pyproject.toml", "CITATION.cff"):
        shutil.copy(ROOT / name, away)
    where = subprocess.run(
        [python, "-c", "import tlbench, tlbench.tasks; print(tlbench.__file__); print(tlbench.tasks.__file__)"],
        cwd=away,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(line.startswith(str(fresh)) for line in where.stdout.split())
    quick = ["-m", "not slow and not faults and not browser", "-n", "auto", "-p", "no:cacheprovider"]
    done = subprocess.run([python, "-m", "pytest", *quick], cwd=away, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert re.search(r"[1-9]\d\d+ passed", done.stdout)
