"""Where a record comes from: versions, commit, device. Nothing personal: no names of people, machines or folders."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("tlbench", "torch", "stable-baselines3", "sb3-contrib", "gymnasium", "mujoco", "ale-py", "numpy")


@cache
def environment() -> dict[str, Any]:
    """Versions, processor features and the commit of a checkout; equal environments give equal records."""
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "packages": {name: found for name in PACKAGES if (found := _version(name)) is not None},
        **_commit(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> dict[str, Any]:
    folder = Path(__file__).parents[2]
    if not (folder / ".git").exists():
        return {"git_commit": None, "git_dirty": None}
    try:
        head = _git(folder, "rev-parse", "HEAD")
        return {"git_commit": head, "git_dirty": bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return {"git_commit": None, "git_dirty": None}


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()
