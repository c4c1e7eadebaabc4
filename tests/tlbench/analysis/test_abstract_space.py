"""Embeddings from records, and the pictures of them."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from tlbench.analysis.embeddings import Embedding, embeddings, has_swapped_sides, is_mirror_image
from tlbench.analysis.figures.abstract_space import abstract_spaces
from tlbench.analysis.figures.drawing import paper
from tlbench.analysis.figures.style import save

POSITIONS = [[1, 1], [1, 2], [2, 1], [2, 2]]
FACTS = {
    "score": 0.8,
    "aligned": True,
    "mirrored": [],
    "positions": POSITIONS,
    "base": [[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]],
    "transfer": [[-1.0, -0.9], [0.9, -1.0], [-1.0, 1.0], [1.0, 1.0]],
}


def record(seed=0, expert_seed=None, method="component", **facts):
    return SimpleNamespace(
        method=SimpleNamespace(id=method),
        config_hash="a",
        transfers=("inversion",),
        seed=seed,
        expert_seed=expert_seed,
        diagnostics={"alignment": {**FACTS, **facts}},
    )


MIRROR = [[-x, y] for x, y in FACTS["transfer"]]


def test_embeddings_of_records():
    flipped = record(0, 5, score=0.2, aligned=False, mirrored=[0], transfer=MIRROR)
    found = embeddings([record(1, 5), flipped, record(3)])
    assert [(e.base_model, e.seed, e.score, e.aligned, e.mirrored) for e in found] == [
        (3, 3, 0.8, True, False),
        (5, 0, 0.2, False, True),
        (5, 1, 0.8, True, False),
    ]
    assert found[0].transfer.tolist() == FACTS["transfer"]


def test_what_no_reflection_brings_halfway_is_no_mirror_image():
    facts = {**FACTS, "aligned": False, "transfer": MIRROR}
    assert is_mirror_image(facts)
    moved = np.array(MIRROR) + 3
    assert is_mirror_image({**facts, "transfer": moved.tolist()})  # about its own centre
    distorted = [np.multiply(MIRROR, shrunk).tolist() for shrunk in (0.6, 0.2)]
    assert [is_mirror_image({**facts, "transfer": points}) for points in distorted] == [True, False]
    assert not is_mirror_image({**facts, "aligned": True})
    assert not is_mirror_image({"aligned": False})


@pytest.mark.parametrize(
    ("degrees", "mirrored"), [(0, False), (30, False), (60, False), (120, True), (180, True), (-120, True)]
)
def test_turned_by_a_right_angle_or_more_is_mirrored_turned_by_less_is_not(degrees, mirrored):
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = np.random.default_rng(0).normal(size=(20, 2))
    facts = {"aligned": False, "base": points.tolist(), "transfer": (points @ turn + 1).tolist()}
    assert is_mirror_image(facts) == mirrored


@pytest.mark.parametrize("degrees", [0, 45, 90, 135])
def test_a_reflection_about_any_line_is_a_mirror_image(degrees):
    angle = 2 * np.deg2rad(degrees)
    mirror = np.array([[np.cos(angle), np.sin(angle)], [np.sin(angle), -np.cos(angle)]])
    points = np.random.default_rng(0).normal(size=(20, 2))
    assert is_mirror_image({"aligned": False, "base": points.tolist(), "transfer": (points @ mirror).tolist()})


def test_halves_that_have_changed_sides_are_told_however_they_are_folded():
    facts = {**FACTS, "aligned": False}
    flat = [[-x, 0.0] for x, _ in FACTS["base"]]
    along = {
        **facts,
        "base": [[x, x] for x, _ in FACTS["base"]],
        "transfer": [[-x - y, y - x] for x, y in FACTS["base"]],
    }
    swapped = [{**facts, "transfer": MIRROR}, {**facts, "transfer": flat}, along]
    assert [has_swapped_sides(one) for one in swapped] == [True] * 3
    near = np.multiply(flat, 0.4).tolist()  # hardly apart
    upside_down = [[x, -y] for x, y in FACTS["base"]]
    others = [facts, {**facts, "transfer": near}, {**facts, "transfer": upside_down}, {**swapped[0], "aligned": True}]
    assert [has_swapped_sides(one) for one in others] == [False] * 4
    assert [has_swapped_sides({**facts, "positions": p}) for p in ([], [[1, 1]] * 4, [[0, 1]], "far")] == [None] * 4


@pytest.mark.parametrize(
    "facts",
    [
        {"base": [[0.0]] * 4, "transfer": [[0.0]] * 4},
        {"positions": [[0, 0]]},
        {"base": "far away"},
        {"score": None},
    ],
)
def test_other_diagnostics_of_that_name_are_passed_over(facts):
    assert embeddings([record(**facts)]) == ()
    without = record()
    without.diagnostics = {"alignment": 0.3}
    assert embeddings([without]) == ()


def data(*found, methods=("component",)):
    return SimpleNamespace(embeddings=found, methods=methods)


def test_base_best_and_worst_are_drawn():
    one = Embedding(
        "component",
        "inversion",
        0,
        0,
        0.9,
        True,
        False,
        False,
        *(np.array(FACTS[k], float) for k in ("positions", "base", "transfer")),
    )
    runs = [
        one,
        replace(one, seed=1, score=0.7),
        replace(one, base_model=1),
        replace(one, base_model=1, seed=1, score=0.1, aligned=False, mirrored=True),
    ]
    drawing = abstract_spaces(data(*runs))
    assert [panel.title for panel in drawing.panels] == [
        "base model 1",
        "seed 0: 0.90, aligned",
        "seed 1: 0.10, mirrored",
    ]
    axes = paper(drawing).axes[0]
    assert len(axes.lines) == 4  # a square of four states
    assert sum(len(c.get_offsets()) for c in axes.collections) == 4
    assert save(paper(drawing), "png") == save(paper(abstract_spaces(data(*runs))), "png")
    alone = abstract_spaces(data(one))
    assert [panel.title for panel in alone.panels] == ["base model 0", "seed 0: 0.90, aligned"]


def test_predictions_are_drawn_where_a_record_has_them():
    after = np.repeat(np.array(FACTS["base"])[:, None], 3, axis=1) + np.diag((0.1, 0.2, 0.3))[:, :2]
    found = embeddings([record(0, 5, base_predicted=after.tolist()), record(1, 5, score=0.7)])
    drawn, plain, _ = paper(abstract_spaces(data(*found))).axes
    assert len(plain.lines) == 4  # moves between neighbours
    lines = np.array([line.get_xydata() for line in drawn.lines])
    assert lines.shape == (4 * 3, 2, 2)
    assert lines[:3, 0].tolist() == [FACTS["base"][0]] * 3
    assert lines[:3, 1].tolist() == after[0].tolist()


@pytest.mark.parametrize("points", [[[0.0]], [[[0.0, 0.0]]] * 3, [0.0] * 4, None])
def test_predictions_of_another_shape_are_passed_over(points):
    (one,) = embeddings([record(transfer_predicted=points)])
    assert one.transfer_predicted is None


def test_nothing_is_drawn_without_embeddings_or_for_methods_that_are_not_shown():
    assert abstract_spaces(data()) is None
    one = embeddings([record()])
    assert abstract_spaces(data(*one, methods=("other",))) is None
