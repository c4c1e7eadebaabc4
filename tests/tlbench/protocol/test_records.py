"""Records survive writing and reading unchanged; anything else is told in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.records import Record, from_json, read_record, to_json


def record(**changes: Any) -> Record:
    content: dict[str, Any] = {
        "kind": "run",
        "key": "k" * 64,
        "suite": "tiny-v1",
        "digest": "d" * 64,
        "submittable": True,
        "transfers": ["self"],
        "sources": ["cartpole"],
        "target": "cartpole",
        "method": {"id": "spam-vpg", "version": "1", "config": {"layers": [256, 128]}},
        "learner": {"id": "vpg", "version": "1", "config": {"learning_rate": 0.01}},
        "config_hash": "c",
        "seed": 0,
        "expert_seed": 0,
        "knowledge_key": "n",
        "control_key": "o",
        "experts": [{"key": "e", "task": "cartpole", "mean_return": 31.25}],
        "steps": {"unit": "env_steps", "source": 10, "extraction": 0, "target": 20},
        "gradient_steps": 3,
        "curve": [{"fraction": 0.1, "count": 2, "returns": [1.5, 0.1], "lengths": [1, 2]}],
        "training": {"returns": [None, 0.3], "episodes": [0, 1]},
        "diagnostics": {"zero_ratio": 0.6, "none": None},
        "provenance": {"wall_seconds": 1.5},
    }
    return Record.model_validate({**content, **changes})


def test_round_trip() -> None:
    text = to_json(record())
    assert from_json(text, "x") == record()
    assert to_json(from_json(text, "x")) == text


@given(st.floats(allow_nan=False, allow_infinity=False), st.text(), st.integers(-(2**62), 2**62))
def test_round_trip_of_any_number_and_text(number: float, text: str, count: int) -> None:
    original = record(
        diagnostics={text: [number, count, text]},
        curve=[{"fraction": 0.5, "count": count, "returns": [number], "lengths": [1]}],
    )
    assert from_json(to_json(original), "x") == original


def test_provenance_is_not_part_of_the_outcome() -> None:
    one = json.loads(to_json(record()))
    other = json.loads(to_json(record(provenance={"wall_seconds": 9.0, "device": "cuda"})))
    assert one["checksum"] == other["checksum"]
    assert one["checksum"] != json.loads(to_json(record(seed=1)))["checksum"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_not_written(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        record(experts=[{"key": "e", "task": "cartpole", "mean_return": value}])


GOOD = to_json(record())


@pytest.mark.parametrize("cut", [0, 1, len(GOOD) // 3, len(GOOD) // 2, len(GOOD) - 3])
def test_a_truncated_record_is_one_line(cut: int) -> None:
    with pytest.raises(TlbenchError, match=r"some\.json is damaged or truncated") as caught:
        from_json(GOOD[:cut], "some.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ('"seed": 0', '"seed": 1', "checksum"),
        ("31.25", "31.5", "checksum"),
        ("0.6", "0.7", "checksum"),
        ('"seed": 0', '"seed": "zero"', "seed"),
        ('"seed": 0', '"sead": 0', "sead|seed"),
        ("31.25", "NaN", "NaN is not allowed"),
        ("31.25", "1e999", "finite"),
        ("0.6", "1e999", "checksum"),
        ('"checksum"', '"check"', "check"),
        ('"schema_version": 1', '"schema_version": 2', "schema_version"),
        (GOOD, "[]", "not a valid record"),
        (GOOD, "[" * 100_000, "damaged"),
        (GOOD, "null", "not a valid record"),
    ],
)
def test_a_changed_record_is_refused_in_one_line(old: str, new: str, part: str) -> None:
    assert old in GOOD
    with pytest.raises(TlbenchError, match=part) as caught:
        from_json(GOOD.replace(old, new, 1), "some.json")
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe")
    for path in (tmp_path / "absent.json", tmp_path / "binary.json", tmp_path):
        with pytest.raises(TlbenchError, match="can't be read"):
            read_record(path)
