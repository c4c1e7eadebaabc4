"""Tasks scored by the alignment of embeddings: scores, pairs, base models, diagnostics."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tlbench.protocol.alignment import ALIGNED, alignment_facts, alignment_scores, mirrored_axes, unlike_source
from tlbench.protocol.discovery import find_suite, suites
from tlbench.protocol.errors import ProtocolViolationError, TlbenchError
from tlbench.protocol.specs import SuiteSpec, TaskSpec
from tlbench.protocol.task import HarnessTask

POINTS = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 1.0], [0.0, 1.0]])


class Squares:
    """Four states in a row, of which the target shows the negative; fewer than asked for from four on."""

    def __init__(self, **options: Any) -> None:
        self.sign = options.get("observation_sign", 1)

    def draw(self, n: int, rng: np.random.Generator) -> dict[str, Any]:
        states = np.eye(4)[:n]
        return {"base": states, "transfer": self.sign * states}


class Embedding:
    """Embeds a state at its point, times ``factors``; ``sign`` says what the observations look like."""

    def __init__(self, sign: float = 1.0, factors: tuple[float, float] = (1.0, 1.0)) -> None:
        self.sign, self.factors = sign, factors

    def act(self, obs: np.ndarray, state: Any, first: np.ndarray) -> tuple[np.ndarray, Any]:
        return np.zeros(len(obs), dtype=int), state

    def frozen(self) -> Embedding:
        return Embedding(self.sign, self.factors)

    def embed(self, obs: np.ndarray) -> np.ndarray:
        embedded: np.ndarray = (self.sign * obs) @ (POINTS * self.factors)
        return embedded


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = ModuleType("toy_pairs")
    module.Squares = Squares
    monkeypatch.setitem(sys.modules, "toy_pairs", module)


@pytest.fixture
def spec(tiny: SuiteSpec) -> Callable[..., TaskSpec]:
    def make(**changes: Any) -> TaskSpec:
        fields = tiny.tasks["negated"].model_dump()
        target = {"budget": 20, "points": 3, "episodes": 4}
        update = {"evaluator": "alignment", "pairs": "toy_pairs:Squares", "target": target, **changes}
        return TaskSpec.model_validate({**fields, **update})

    return make


def test_scores_by_hand() -> None:
    spread = (2 + 1 + 5**0.5) / 3  # the mean distance of two corners of a 2 x 1 rectangle
    moved = POINTS + np.array([[0, 0], [spread / 4, 0], [0, spread / 2], [9, 9]])
    assert alignment_scores(POINTS, moved) == pytest.approx([1, 0.75, 0.5, 0])
    assert alignment_scores(POINTS, POINTS[:, :1]).tolist() == [0, 0, 0, 0]
    assert alignment_scores(np.zeros((3, 2)), np.zeros((3, 2))).tolist() == [0, 0, 0]  # a collapsed base model


@pytest.mark.parametrize(
    ("factors", "axes"), [((1, 1), []), ((-1, 1), [0]), ((1, -1), [1]), ((-1, -1), [0, 1]), ((-0.8, 0.9), [0])]
)
def test_mirror_images_are_told(factors: tuple[float, float], axes: list[int]) -> None:
    centre = POINTS.mean(axis=0)
    assert mirrored_axes(POINTS, centre + (POINTS - centre) * factors) == axes


def test_a_run_is_scored_against_its_base_model(spec: Callable[..., TaskSpec]) -> None:
    task = HarnessTask(spec(), "target", 0, base=Embedding())
    policy = Embedding()
    task.publish(policy)
    envs = task.envs(5)
    envs.reset()
    envs.step(np.zeros(5, dtype=int))
    policy.sign = -1.0  # learned that the target shows the negative
    points = task.finish()
    assert [count for count, _ in points] == [0, 5, 5]
    scores = [outcome.returns for _, outcome in points if outcome]
    assert max(scores[0]) <= 1
    assert np.mean(scores[0]) < ALIGNED
    assert scores[2] == (1.0,) * 4
    facts = task.alignment()
    assert facts is not None
    assert facts["aligned"] is True
    assert facts["l2"] == 0
    assert facts["mirrored"] == []
    assert facts["transfer"] == facts["base"] == POINTS.tolist()


def test_without_a_base_model_the_score_is_0(spec: Callable[..., TaskSpec]) -> None:
    task = HarnessTask(spec(), "target", 0)
    task.publish(Embedding(-1.0))
    assert [o.returns for _, o in task.finish() if o] == [(0.0,) * 4] * 3
    assert task.alignment() is None


def test_what_is_not_finite_diverged(spec: Callable[..., TaskSpec]) -> None:
    task = HarnessTask(spec(), "target", 0, base=Embedding())
    task.publish(Embedding(float("nan")))
    assert [outcome for _, outcome in task.finish()] == [None] * 3
    assert alignment_facts(Embedding(float("nan")), Embedding(), Squares(), 0) is None


def test_policies_without_an_embedding_are_told(spec: Callable[..., TaskSpec]) -> None:
    class Blind:
        act = Embedding.act

        def frozen(self) -> Blind:
            return self

    task = HarnessTask(spec(), "target", 0, base=Embedding())
    task.publish(Blind())
    with pytest.raises(ProtocolViolationError, match="no embed"):
        task.finish()
    assert task.alignment() is None


def test_embeddings_of_another_shape_are_told(spec: Callable[..., TaskSpec], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Embedding, "embed", lambda self, obs: np.zeros(len(obs)))
    task = HarnessTask(spec(), "target", 0, base=Embedding())
    task.publish(Embedding())
    with pytest.raises(ProtocolViolationError, match=r"\(4,\) for 4 observations"):
        task.finish()


def test_more_pairs_than_there_are(spec: Callable[..., TaskSpec]) -> None:
    task = HarnessTask(spec(target={"budget": 20, "points": 3, "episodes": 5}), "target", 0, base=Embedding())
    task.publish(Embedding())
    with pytest.raises(TlbenchError, match="only 4"):
        task.finish()


def test_predictions_are_recorded_where_a_policy_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = alignment_facts(Embedding(), Embedding(), Squares(), 0)
    assert facts is not None
    assert not any("predicted" in name for name in facts)

    def one_to_the_right(self: Embedding, obs: np.ndarray) -> np.ndarray:
        return self.embed(obs)[:, None] + np.array([[0.0, 0.0], [1.0, 0.0]])

    monkeypatch.setattr(Embedding, "predict_embeddings", one_to_the_right, raising=False)
    facts = alignment_facts(Embedding(factors=(2.0, 1.0)), Embedding(), Squares(), 0)
    assert facts is not None
    assert np.array(facts["base_predicted"])[:, 1].tolist() == (POINTS + np.array([1, 0])).tolist()
    assert np.array(facts["transfer_predicted"])[:, 1].tolist() == (POINTS * [2, 1] + np.array([1, 0])).tolist()

    monkeypatch.setattr(Embedding, "predict_embeddings", lambda self, obs: self.embed(obs) * np.nan)
    facts = alignment_facts(Embedding(), Embedding(), Squares(), 0)
    assert facts is not None
    assert not any("predicted" in name for name in facts)


@pytest.mark.parametrize("pairs", ["toy_pairs:Circles", "no_such_module:Squares", "toy_pairs", ":"])
def test_pairs_that_cannot_be_had(spec: Callable[..., TaskSpec], pairs: str) -> None:
    with pytest.raises(TlbenchError, match="module:Class"):
        HarnessTask(spec(pairs=pairs), "target", 0)


@pytest.mark.parametrize("name", [n for n, s in suites().items() if any(t.pairs for t in s.tasks.values())])
def test_the_pairs_of_suites_show_their_sources(name: str) -> None:
    suite = find_suite(name)
    for transfer in suite.transfers.values():
        for target in (suite.tasks[t] for t in transfer.targets if suite.tasks[t].pairs):
            assert unlike_source(target, suite.tasks[transfer.sources[0]]) is None


@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [
        ({"inverse": True}, {}, "inverse = False, which has True"),
        ({"palette": "recoloured"}, {"inverse": True}, "palette = standard, which has recoloured"),
        ({"colour": True}, {"inverse": True}, "colour = False, which has True"),
        ({}, {"tile_size": 1}, "tile_size = 1, which has 6"),
        ({"walls": 3, "action_order": "durl"}, {"walls": 12}, None),
    ],
)
def test_pairs_that_show_another_source(
    spec: Callable[..., TaskSpec], source: dict[str, Any], target: dict[str, Any], reason: str | None
) -> None:
    pairs = "tlbench.tasks.environments.meta_labyrinth:MetaLabyrinthPairs"
    made = unlike_source(spec(pairs=pairs, options=target), spec(pairs=pairs, options=source))
    assert made == (reason and f"its pairs show the source with {reason}")


def test_pairs_give_diagnostics_to_tasks_scored_by_returns(spec: Callable[..., TaskSpec]) -> None:
    task = HarnessTask(spec(evaluator="return"), "target", 0, base=Embedding())
    task.publish(Embedding(-1.0, (-1.0, 1.0)))
    assert max(r for _, o in task.finish() if o for r in o.returns) >= 8  # steps of an episode
    facts = task.alignment()
    assert facts is not None
    assert facts["mirrored"] == [0]
    assert facts["l2"] == pytest.approx(2)
    assert facts["score"] == pytest.approx(0.5)


def test_specs(spec: Callable[..., TaskSpec], tiny: SuiteSpec) -> None:
    with pytest.raises(ValueError, match="needs pairs"):
        spec(pairs=None)
    plain, scored = spec(evaluator="return", pairs=None), spec()
    assert {"evaluator", "pairs"} & set(plain.identity("target")) == set()
    assert scored.identity("target")["evaluator"] == "alignment"
    assert tiny.tasks["negated"].identity("target").keys() == plain.identity("target").keys()
