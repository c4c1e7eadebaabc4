"""What a user types for settings, seeds and transfer tasks."""

from __future__ import annotations

import pytest

from tlbench.execution.selection import find_learner, parse_seeds, parse_settings, parse_transfers
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.specs import SuiteSpec


@pytest.mark.parametrize(
    ("text", "seeds"),
    [(None, (0, 1, 2)), ("0", (0,)), ("2,0", (0, 2)), ("0-2", (0, 1, 2)), (" 1 , 1-2", (1, 2)), ("1-1", (1,))],
)
def test_seeds(tiny: SuiteSpec, text: str | None, seeds: tuple[int, ...]) -> None:
    assert parse_seeds(text, tiny) == seeds


@pytest.mark.parametrize(
    "text", ["", "a", "-1", "1-", "2-1", "0,,1", "0;1", "1.0", "0-1-2", "3", "0-3", "1e0", "99999"]
)
def test_wrong_seeds(tiny: SuiteSpec, text: str) -> None:
    with pytest.raises(TlbenchError, match="--seeds") as caught:
        parse_seeds(text, tiny)
    assert "\n" not in str(caught.value)


def test_transfers_come_in_the_suites_order(tiny: SuiteSpec) -> None:
    assert parse_transfers(None, tiny) == ("self", "inversion", "far")
    assert parse_transfers("far, self,far", tiny) == ("self", "far")
    with pytest.raises(TlbenchError, match=r"no transfer task 'fra'; it has: self, inversion, far"):
        parse_transfers("self,fra", tiny)
    with pytest.raises(TlbenchError, match="names no transfer task"):
        parse_transfers(" , ", tiny)


def test_settings_are_json_where_they_parse() -> None:
    pairs = ["a=1", "b=0.5", "c=true", "d=null", "e=[1,2]", "f=relu", "g=x=y", 'h="1"', "i=", "learner.j=1e-3"]
    assert parse_settings(pairs) == {
        "a": 1, "b": 0.5, "c": True, "d": None, "e": [1, 2], "f": "relu", "g": "x=y", "h": "1", "i": "",
        "learner.j": 0.001,
    }  # fmt: skip


@pytest.mark.parametrize("pairs", [["a"], ["=1"], ["a=1", "a=2"], [""]])
def test_wrong_settings(pairs: list[str]) -> None:
    with pytest.raises(TlbenchError, match="--set"):
        parse_settings(pairs)


def test_an_unknown_learner_lists_those_there_are() -> None:
    with pytest.raises(TlbenchError, match=r"unknown learner 'vgp'; known: .*vpg"):
        find_learner("vgp")
