"""The meter, against points computed by hand."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlbench.protocol import budget as budget_module
from tlbench.protocol.budget import Meter
from tlbench.protocol.errors import BudgetExhausted

Calls = list[tuple[int, int, int]]


def metered(budget: int, fractions: list[float]) -> tuple[Meter, Calls]:
    calls: Calls = []
    return Meter(budget, fractions, lambda first, last, count: calls.append((first, last, count))), calls


def test_points_are_reported_on_entry_to_the_next_call() -> None:
    meter, calls = metered(100, [0, 0.25, 0.5, 1])
    meter.charge(25)
    assert calls == [(0, 1, 0)]  # 0 % before anything was counted
    meter.charge(24)
    assert calls[1:] == [(1, 2, 25)]  # due at 25, on entry to the call after it
    meter.charge(1)
    assert len(calls) == 2  # 49 units when it was entered: not due
    meter.charge(50)
    assert calls[2:] == [(2, 3, 50)]
    with pytest.raises(BudgetExhausted):
        meter.charge(1)
    assert len(calls) == 3  # the last point waits for learning to return
    meter.finish()
    assert calls[3:] == [(3, 4, 100)]
    meter.finish()
    assert len(calls) == 4
    assert meter.spent == 100


def test_a_chunk_may_jump_over_several_points() -> None:
    meter, calls = metered(100, [0, 0.1, 0.2, 0.3, 0.4, 1])
    meter.charge(35)
    meter.charge(10)
    meter.charge(10)
    assert calls == [(0, 1, 0), (1, 4, 35), (4, 5, 45)]


def test_a_budget_that_is_no_multiple_of_the_lanes_is_never_exceeded() -> None:
    meter, calls = metered(100, [0, 0.5, 1])
    for _ in range(14):
        meter.charge(7)
    with pytest.raises(BudgetExhausted):
        meter.charge(7)
    assert meter.spent == 98
    meter.charge(2)  # a smaller call still fits
    assert meter.spent == 100
    meter.finish()
    assert calls == [(0, 1, 0), (1, 2, 56), (2, 3, 100)]


def test_points_between_units_are_due_at_the_next_unit() -> None:
    meter, calls = metered(10, [i / 4 for i in range(5)])  # 2.5 -> 3, 5, 7.5 -> 8
    for _ in range(10):
        meter.charge(1)
    meter.finish()
    assert calls == [(0, 1, 0), (1, 2, 3), (2, 3, 5), (3, 4, 8), (4, 5, 10)]


def test_learning_that_stops_early_reports_the_rest_at_its_count() -> None:
    meter, calls = metered(100, [0, 0.5, 1])
    meter.charge(10)
    meter.finish()
    assert calls == [(0, 1, 0), (1, 3, 10)]


def test_without_points_nothing_is_reported() -> None:
    meter, calls = metered(3, [])
    meter.charge(3)
    with pytest.raises(BudgetExhausted):
        meter.charge(1)
    meter.finish()
    assert calls == []


def test_nothing_fits_into_an_empty_budget() -> None:
    meter, _ = metered(0, [])
    meter.charge(0)
    with pytest.raises(BudgetExhausted):
        meter.charge(1)


def test_due_points_are_exact_whatever_floating_point_makes_of_fractions() -> None:
    for points in (11, 21, 51, 101):
        for budget in (100, 1000, 60_000, 240_000):
            meter, calls = metered(budget, [i / (points - 1) for i in range(points)])
            for _ in range(budget // 10):
                meter.charge(10)
            meter.finish()
            exact = [math.ceil(Fraction(i * budget, points - 1) / 10) * 10 for i in range(points)]
            reported = {first: count for first, last, count in calls for first in range(first, last)}
            assert [reported[i] for i in range(points)] == exact


@given(
    budget=st.integers(1, 300),
    points=st.integers(2, 40),
    chunks=st.lists(st.integers(0, 60), max_size=40),
)
def test_every_point_is_reported_once_in_order_and_not_before_it_is_due(
    budget: int, points: int, chunks: list[int]
) -> None:
    fractions = [i / (points - 1) for i in range(points)]
    meter, calls = metered(budget, fractions)
    for chunk in chunks:
        before = meter.spent
        try:
            meter.charge(chunk)
        except BudgetExhausted:
            assert before + chunk > budget
            assert meter.spent == before
    meter.finish()
    reported = [(point, count) for first, last, count in calls for point in range(first, last)]
    assert [point for point, _ in reported] == list(range(points))
    assert all(count >= Fraction(point * budget, points - 1) for point, count in reported[:-1] if count < meter.spent)
    assert meter.spent <= budget


def test_a_method_that_never_stops_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ended(BaseException):
        pass

    def end(status: int) -> None:
        raise Ended(status)

    monkeypatch.setattr(budget_module.os, "_exit", end)
    meter, _ = metered(1, [])
    refused = 0
    with pytest.raises(Ended) as caught:  # noqa: PT012
        while True:
            try:
                meter.charge(2)
            except BudgetExhausted:
                refused += 1
    assert refused == budget_module.REFUSALS
    assert caught.value.args == (budget_module.EXIT_REFUSED,)


def test_an_except_exception_does_not_swallow_the_end() -> None:
    meter, _ = metered(0, [])
    with pytest.raises(BudgetExhausted):  # noqa: PT012
        try:
            meter.charge(1)
        except Exception:
            pytest.fail("swallowed")
