"""Methods that bring their own learner, or have none, or are their own control."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tlbench.cli.api import Evaluation
from tlbench.protocol.discovery import find_method, learners
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.records import Record

Run = Callable[..., Evaluation]

OWN_LEARNER = """
import tlbench
from tlbench.baselines.learners.vpg import VPG


class Mine(VPG):
    id = "mine"


class Carry(tlbench.StartingPointMethod):
    id = "carry"
    learners = ("mine",)
"""

NO_LEARNER = """
import numpy as np
import torch
import tlbench
from tlbench import BudgetExhausted, Knowledge


class Constant:
    def __init__(self, action):
        self.action = action

    def act(self, obs, state, first):
        return np.full(len(first), self.action), state

    def frozen(self):
        return self


class Push(tlbench.Method):
    id = "push"
    learners = ()
    experts = 0
    control = "self"

    def unsupported(self, interface):
        return None if hasattr(interface.action_space, "n") else "it pushes left or right only"

    def learn_source(self, sources, experts, ctx):
        return {returned}

    def learn_target(self, target, knowledge, ctx):
        target.publish(Constant(0 if knowledge is None else int(knowledge.tensors["action"])))
"""


def write(tmp_path: Path, text: str, name: str = "own.py") -> str:
    path = tmp_path / name
    path.write_text(text)
    return str(path)


def test_a_file_may_bring_its_learner(run: Run, tmp_path: Path) -> None:
    reference = write(tmp_path, OWN_LEARNER)
    evaluation = run(reference)
    assert not evaluation.outcome.failed
    records = evaluation.records()
    assert {r.learner.id for r in records if r.learner} == {"mine"}
    assert {r.method.id for r in records if r.method} == {"carry", "scratch-mine"}
    codes = {r.learner.code for r in records if r.learner}
    assert codes == {find_method(reference).code}
    assert "mine" in learners()


def test_a_learner_may_not_take_the_name_of_another(tmp_path: Path) -> None:
    reference = write(tmp_path, OWN_LEARNER.replace('id = "mine"', 'id = "vpg"'))
    with pytest.raises(TlbenchError, match="a learner called 'vpg' already"):
        find_method(reference)


def test_a_method_without_a_learner_is_its_own_control(
    run: Run, tmp_path: Path, own_runs: Callable[[Evaluation], list[Record]]
) -> None:
    knowledge = 'Knowledge({"action": torch.tensor(1)})'
    evaluation = run(write(tmp_path, NO_LEARNER.replace("{returned}", knowledge)))
    assert not evaluation.outcome.failed
    runs = own_runs(evaluation)
    assert len(runs) == 2
    assert len(evaluation.records()) == 4
    by_key = {r.key: r for r in evaluation.records()}
    for record in runs:
        control = by_key[record.control_key or ""]
        assert control.key != record.key
        assert control.knowledge_key is None
        assert [p.returns for p in control.curve] != [p.returns for p in record.curve]
    assert evaluation.to_frame()["seeds"].tolist() == [2]


def test_a_method_without_a_learner_may_abstain(run: Run, tmp_path: Path) -> None:
    evaluation = run(write(tmp_path, NO_LEARNER.replace("{returned}", "None")))
    assert not evaluation.outcome.failed
    assert evaluation.to_frame()["abstained"].tolist() == [2]
    assert evaluation.to_frame()["transfer_gain"].tolist() == [0.0]


def test_a_method_says_what_it_does_not_support(run: Run, tmp_path: Path) -> None:
    reference = write(tmp_path, NO_LEARNER.replace("{returned}", "None"))
    with pytest.raises(TlbenchError, match="push can't run on pendulum: it pushes left or right only"):
        run(reference, tasks="far")


def test_experts_need_a_learner(run: Run, tmp_path: Path) -> None:
    text = NO_LEARNER.replace("{returned}", "None").replace("experts = 0", "experts = 1")
    with pytest.raises(TlbenchError, match="wants experts but has no learner"):
        run(write(tmp_path, text))


@pytest.mark.parametrize("content", ["{1: 2}", '{"x": (1, 2)}', '{"x": float("nan")}', '{"x": object()}'])
def test_knowledge_must_be_json(run: Run, tmp_path: Path, content: str) -> None:
    knowledge = f'Knowledge({{"action": torch.tensor(1)}}, {content})'
    evaluation = run(write(tmp_path, NO_LEARNER.replace("{returned}", knowledge)))
    assert all("knowledge data must be finite JSON" in error for error in evaluation.outcome.failed.values())
    assert evaluation.outcome.failed


@pytest.mark.parametrize("name", ["../escape", "a b", "", 3])
def test_an_id_names_files(tmp_path: Path, name: object) -> None:
    text = OWN_LEARNER.replace('id = "carry"', f"id = {name!r}")
    with pytest.raises(TlbenchError, match=r"letters, digits and hyphens|has an id|no method"):
        find_method(write(tmp_path, text))


OWN_ENVIRONMENT = """
import gymnasium
from gymnasium.envs.classic_control import CartPoleEnv


class HeavyCart(CartPoleEnv):
    pass


gymnasium.register("HeavyCart-v0", entry_point=HeavyCart, max_episode_steps=100)
"""


def test_an_environment_of_ones_own_is_found_where_the_runs_are(
    run: Run, vary: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "heavy_carts.py").write_text(OWN_ENVIRONMENT)
    monkeypatch.syspath_prepend(str(tmp_path))
    usual = 'environment = "tlbench/CartPole-v1"'
    suite = vary((usual, 'environment = "heavy_carts:HeavyCart-v0"'))
    evaluation = run("scratch-vpg", suite=suite, seeds="0")
    assert evaluation.outcome.failed == {}
    assert max(length for point in evaluation.records()[0].curve for length in point.lengths) <= 100
    with pytest.raises(TlbenchError, match=r"no_such_module:HeavyCart-v0 can't be built: No module named"):
        run(
            "scratch-vpg",
            suite=vary((usual, 'environment = "no_such_module:HeavyCart-v0"')),
        )
