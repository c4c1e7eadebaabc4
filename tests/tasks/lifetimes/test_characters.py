"""Characters: what is drawn, how a lifetime goes, and that scripts don't share classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tlbench.protocol.errors import TlbenchError
from tlbench.tasks.lifetimes.characters import Characters
from tlbench.tasks.lifetimes.glyphs import DRAWN, SCRIPTS, drawings
from tlbench.tasks.lifetimes.warping import bilinear, warped


@pytest.fixture(scope="module")
def greek() -> Characters:
    return Characters(part="greek")


def test_a_lifetime(greek: Characters) -> None:
    batch = greek.draw(60, np.random.default_rng(0))
    inputs, targets = batch["inputs"], batch["targets"]
    assert inputs.shape == (6, 60, 405)
    assert inputs.dtype == np.float32
    assert all(greek.observation_space.contains(x) for x in inputs[:, 0])
    np.testing.assert_array_equal(inputs[:-1, :, 400:], targets[:-1])
    assert not inputs[-1, :, 400:].any()
    assert (np.sort(targets[:-1].argmax(axis=2), axis=0) == np.arange(5)[:, None]).all()
    assert batch["mask"].sum(axis=0).tolist() == [1] * 60
    assert batch["mask"][-1].all()
    assert (inputs[..., :400].max(axis=2) > 0.3).all()


def test_without_warping_the_question_is_one_of_the_examples(greek: Characters) -> None:
    batch = Characters(part="greek", warp=0.0).draw(40, np.random.default_rng(0))
    images, targets = batch["inputs"][..., :400], batch["targets"]
    same = (images[:-1] == images[-1]).all(axis=2)
    assert (same.sum(axis=0) == 1).all()
    rows = np.arange(40)
    np.testing.assert_array_equal(targets[same.argmax(axis=0), rows], targets[-1])
    warp = greek.draw(40, np.random.default_rng(0))["inputs"][..., :400]
    assert not (warp[:-1] == warp[-1]).all(axis=2).any()


def test_the_nearest_example_is_right_more_often_than_by_chance(greek: Characters) -> None:
    """What makes it learnable: drawings of one character are alike."""
    batch = greek.draw(300, np.random.default_rng(0))
    images = batch["inputs"][..., :400]
    images = images - images.mean(axis=2, keepdims=True)
    images /= np.linalg.norm(images, axis=2, keepdims=True)
    nearest = (images[:-1] * images[-1]).sum(axis=2).argmax(axis=0)
    outputs = np.zeros((6, 300, 5))
    outputs[-1] = batch["targets"][nearest, np.arange(300)]
    assert 0.5 < greek.score(outputs, batch).mean() < 0.95


def test_scores_are_right_or_wrong(greek: Characters) -> None:
    batch = greek.draw(50, np.random.default_rng(2))
    assert greek.score(batch["targets"], batch).tolist() == [1.0] * 50
    assert greek.score(1 - batch["targets"], batch).tolist() == [0.0] * 50


def test_equal_generators_give_equal_lifetimes(greek: Characters) -> None:
    one, two = (greek.draw(10, np.random.default_rng(5)) for _ in range(2))
    assert all(np.array_equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_has_characters_of_full_size(script: str) -> None:
    drawn = drawings((script,))
    assert len(drawn) >= 50
    assert drawn.shape[1:] == (DRAWN, DRAWN)
    assert drawn.min() == 0
    assert (drawn.max(axis=(1, 2)) > 0.5).all()
    assert len({image.tobytes() for image in drawn}) == len(drawn)


def test_letters_that_look_alike_are_one_class() -> None:
    both = len(drawings(("latin", "greek")))
    assert both < len(drawings(("latin",))) + len(drawings(("greek",)))


def test_no_warp_is_a_change_of_resolution() -> None:
    image = np.zeros((1, 8, 8), np.float32)
    image[0, 2:4, 4:6] = 1
    rng = np.random.default_rng(0)
    np.testing.assert_allclose(warped(image, 8, 0.0, rng), image, atol=1e-6)
    np.testing.assert_allclose(warped(image, 4, 0.0, rng)[0], np.eye(4)[1][:, None] * np.eye(4)[2], atol=1e-6)


def test_bilinear_by_hand() -> None:
    image = np.array([[[0.0, 1.0], [2.0, 4.0]]], np.float32)
    where = np.array([[[0.0, 0.5, 0.5, -1.0, 5.0, 1.0], [0.0, 0.5, 1.0, 0.0, 0.0, 1.0]]], np.float32)
    np.testing.assert_allclose(bilinear(image, where), [[0, 1.75, 2.5, 0, 0, 4]])


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"part": "klingon"}, "there are: latin"),
        ({"data": "emnist"}, "data"),
        ({"ways": 1}, "ways"),
        ({"ways": 10_000}, "ways"),
        ({"side": 3}, "side"),
        ({"warp": -1.0}, "warp"),
        ({"data": "omniglot", "part": "all"}, "background or evaluation"),
    ],
)
def test_wrong_settings_are_told_in_one_line(options: Any, what: str) -> None:
    with pytest.raises(TlbenchError, match=what) as error:
        Characters(**options)
    assert "\n" not in str(error.value)
