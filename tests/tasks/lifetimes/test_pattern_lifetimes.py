"""Patterns to complete: how a lifetime is laid out, what is erased, what a score is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tlbench.protocol.errors import TlbenchError
from tlbench.tasks.lifetimes.binary_patterns import BinaryPatterns
from tlbench.tasks.lifetimes.natural_images import NaturalImages
from tlbench.tasks.lifetimes.photographs import photograph
from tlbench.tasks.lifetimes.schedules import Completion

FAMILIES: list[Any] = [
    BinaryPatterns(),
    BinaryPatterns(size=30, patterns=3, cycles=2, erased=0.7, erasure="block"),
    NaturalImages(),
    NaturalImages(part="temple+portrait", side=9, patterns=3),
]


@pytest.mark.parametrize("lifetimes", FAMILIES)
def test_equal_generators_give_equal_lifetimes_that_fit_the_spaces(lifetimes: Any) -> None:
    one, two = (lifetimes.draw(20, np.random.default_rng(3)) for _ in range(2))
    other = lifetimes.draw(20, np.random.default_rng(4))
    for name in ("inputs", "targets", "mask"):
        np.testing.assert_array_equal(one[name], two[name])
    assert not np.array_equal(one["inputs"], other["inputs"])
    assert one["inputs"].shape == one["targets"].shape == (len(one["mask"]), 20, *lifetimes.observation_space.shape)
    assert one["inputs"].dtype == np.float32
    assert all(lifetimes.observation_space.contains(x) for x in one["inputs"][:, 0])
    assert all(lifetimes.action_space.contains(x) for x in one["targets"][:, 0])
    assert one["mask"].sum(axis=0).tolist() == [1] * 20
    assert one["mask"][-1].all()


@pytest.mark.parametrize("lifetimes", FAMILIES)
def test_the_target_was_shown_and_is_partly_erased_at_the_end(lifetimes: Any) -> None:
    batch = lifetimes.draw(50, np.random.default_rng(0))
    inputs, target, erased = batch["inputs"], batch["targets"][-1], batch["erased"]
    shown = (inputs[:-3] == target).all(axis=2).sum(axis=0)
    schedule = lifetimes._schedule
    assert (shown == schedule.cycles * schedule.show_steps).all()
    np.testing.assert_array_equal(inputs[-1], np.where(erased, 0, target))
    np.testing.assert_array_equal(inputs[-3], inputs[-1])


@pytest.mark.parametrize("lifetimes", FAMILIES)
def test_the_right_answer_scores_one_and_others_less(lifetimes: Any) -> None:
    batch = lifetimes.draw(400, np.random.default_rng(1))
    right = batch["targets"]
    np.testing.assert_allclose(lifetimes.score(right, batch), 1)
    assert lifetimes.score(-right, batch).max() < 1
    uniform = np.random.default_rng(0).uniform(-1, 1, right.shape)
    assert lifetimes.score(uniform, batch).mean() < 0.6


def test_the_published_lifetime_of_binary_patterns() -> None:
    batch = BinaryPatterns().draw(100, np.random.default_rng(0))
    inputs = batch["inputs"]
    assert len(inputs) == 11
    for steps in ((0, 1, 2), (4, 5, 6)):
        for step in steps:
            np.testing.assert_array_equal(np.abs(inputs[step]), 1)
            np.testing.assert_array_equal(inputs[step], inputs[steps[0]])
            assert not inputs[step].sum(axis=1).any()  # as many +1 as -1
    assert not inputs[[3, 7]].any()
    assert (batch["erased"].sum(axis=1) == 25).all()


def test_guessing_the_erased_bits_scores_three_quarters() -> None:
    lifetimes = BinaryPatterns()
    batch = lifetimes.draw(2000, np.random.default_rng(0))
    coins = np.random.default_rng(1).choice([-1.0, 1.0], batch["targets"].shape)
    guess = np.where(batch["inputs"] == 0, coins, batch["inputs"])
    assert lifetimes.score(guess, batch).mean() == pytest.approx(0.75, abs=0.01)


def test_smaller_patterns_leave_the_rest_blank_and_uncounted() -> None:
    lifetimes = BinaryPatterns(size=20)
    batch = lifetimes.draw(10, np.random.default_rng(0))
    assert not batch["inputs"][:, :, 20:].any()
    assert (batch["erased"].sum(axis=1) == 10).all()
    outputs = batch["targets"].copy()
    outputs[..., 20:] = 0.7
    np.testing.assert_array_equal(lifetimes.score(outputs, batch), 1)


def test_a_block_is_made_of_neighbours() -> None:
    erased = BinaryPatterns(erasure="block").draw(2000, np.random.default_rng(0))["erased"]
    borders = (erased != np.roll(erased, 1, axis=1)).sum(axis=1)
    assert (borders == 2).all()
    assert len({row.tobytes() for row in erased}) == 50


def test_images_are_centred_and_stretched_and_a_half_is_erased() -> None:
    lifetimes = NaturalImages(side=12)
    batch = lifetimes.draw(200, np.random.default_rng(0))
    target = batch["targets"][-1]
    np.testing.assert_allclose(target.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(np.abs(target).max(axis=1), 1, atol=1e-5)
    halves = {row.tobytes() for row in batch["erased"]}
    assert len(halves) == 4
    assert (batch["erased"].sum(axis=1) == 72).all()
    only_erased = np.where(batch["erased"], batch["targets"], 0)
    np.testing.assert_allclose(lifetimes.score(only_erased, batch), 1)


def test_photographs_are_grey_and_differ() -> None:
    shapes = [photograph(name).shape for name in ("temple", "flower", "portrait")]
    assert shapes == [(214, 320), (214, 320), (300, 256)]
    assert not np.array_equal(photograph("temple"), photograph("flower"))


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: BinaryPatterns(size=51), "size"),
        (lambda: BinaryPatterns(erased=0.0), "erased"),
        (lambda: BinaryPatterns(erasure="holes"), "erasure"),  # type: ignore[arg-type]
        (lambda: BinaryPatterns(patterns=0), "patterns"),
        (lambda: NaturalImages(part="cat"), "there are: temple"),
        (lambda: NaturalImages(data="imagenet"), "data"),  # type: ignore[arg-type]
        (lambda: NaturalImages(side=300), "side"),
        (lambda: Completion(1, 1, 1, -1, 1), "delay_steps"),
    ],
)
def test_wrong_settings_are_told_in_one_line(make: Any, what: str) -> None:
    with pytest.raises(TlbenchError, match=what) as error:
        make()
    assert "\n" not in str(error.value)
