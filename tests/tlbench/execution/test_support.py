"""What can't run on a suite is refused before anything runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tlbench.execution.selection import MethodChoice
from tlbench.execution.support import check_settings, check_support, unsupported
from tlbench.protocol.discovery import find_suite
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.specs import SuiteSpec

STUDY = """
[transfers.study]
sources = ["cartpole"]
targets = ["pendulum"]
relation = "far"
scored = false
learner.vpg = { learning_rate = 0.001 }
"""


def test_a_setting_that_the_study_makes_itself_is_refused(vary: Callable[..., SuiteSpec]) -> None:
    suite = vary(extra=STUDY)
    setting = {"learner.learning_rate": 0.5}
    with pytest.raises(TlbenchError, match="learning_rate would change nothing: the suite sets learning_rate"):
        check_settings(suite, MethodChoice("spam", setting), ("study",))
    check_settings(suite, MethodChoice("spam", setting), ("far", "study"))  # it changes the other one
    check_settings(suite, MethodChoice("spam-ppo", setting), ("study",))  # and another learner


@pytest.mark.parametrize("method", ["scratch-vpg", "maml"])
def test_units_that_a_method_cannot_learn_from_are_refused(method: str) -> None:
    suite = find_suite("memory")
    with pytest.raises(TlbenchError, match=f"is in episodes, {method} learns from env_steps"):
        check_support(suite, MethodChoice(method), tuple(suite.transfers))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("sign = -1", 'sign = "x"', "environment tlbench/CartPole-v1 can't be built with the task's options "),
        ("sign = -1", "sign = 3", "environment tlbench/CartPole-v1 can't be built with the task's options "),
        ("{ observation_sign = -1 }", "{ wheels = 4 }", "with the task's options (wheels = 4): "),
        ("options = { observation_sign = -1 }", "observation_map = { indices = [9] }", "observation_map does not fit"),
    ],
)
def test_what_the_suite_does_wrong_is_not_put_down_to_the_method(
    vary: Callable[..., SuiteSpec], old: str, new: str, said: str
) -> None:
    suite = vary((old, new))
    for method in ("scratch-vpg", "finetune-dqn", "random"):
        with pytest.raises(TlbenchError) as caught:
            check_support(suite, MethodChoice(method), ("self", "inversion"))
        assert str(caught.value).startswith("tiny-v1: task negated: ")
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", ["scratch-plastic", "spam-plastic", "random"])
def test_units_that_a_method_learns_from_are_taken(method: str) -> None:
    suite = find_suite("memory")
    assert unsupported(suite, MethodChoice(method), tuple(suite.transfers)) is None


def test_pairs_that_show_another_source_are_refused() -> None:
    suite = find_suite("simple-maze")
    source = suite.tasks["simple-maze"]
    turned = source.model_copy(update={"options": {**source.options, "inverse": True}})
    wrong = suite.model_copy(update={"tasks": {**suite.tasks, "simple-maze": turned}})
    with pytest.raises(
        TlbenchError, match="simple-maze-to-inverse: inverse-simple-maze: its pairs show the source with "
    ):
        check_support(wrong, MethodChoice("component"), ("simple-maze-to-inverse",))
    check_support(suite, MethodChoice("component"), ("simple-maze-to-inverse",))
