"""Evaluations of the tiny suite through real worker processes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tlbench.cli.api import Evaluation, evaluate
from tlbench.protocol.records import Record
from tlbench.protocol.specs import SuiteSpec


@pytest.fixture
def run(tiny: SuiteSpec, tmp_path: Path) -> Callable[..., Evaluation]:
    """Evaluates a method on the tiny suite (seeds 0 and 1 of the transfer task ``self``, unless told otherwise)."""

    def start(method: str, **kwargs: Any) -> Evaluation:
        wanted = {"suite": tiny, "out": tmp_path / "runs", "seeds": "0,1", "tasks": "self", "jobs": 2, **kwargs}
        return evaluate(method, **wanted, progress=False)

    return start


@pytest.fixture
def contents() -> Callable[[Path], dict[str, Any]]:
    """All files of a store by their relative path, without what may differ between equal runs."""

    def read(root: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for path in sorted(root.rglob("*")):
            if path.is_dir() or path.name == ".lock":
                continue
            data: Any = path.read_bytes()
            if path.suffix == ".json":
                data = {k: v for k, v in json.loads(data).items() if k != "provenance"}
            found[str(path.relative_to(root))] = data
        return found

    return read


@pytest.fixture
def own_runs() -> Callable[[Evaluation], list[Record]]:
    """The records of the method itself, by seed."""

    def pick(evaluation: Evaluation) -> list[Record]:
        keys = {run.key for run in evaluation.plan.runs}
        return sorted((r for r in evaluation.records() if r.key in keys), key=lambda r: (r.transfers, r.seed))

    return pick
