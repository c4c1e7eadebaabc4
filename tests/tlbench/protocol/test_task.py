"""The harness's side of a task: what is metered, what is evaluated when, what ends in the training bins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tlbench.protocol.discovery import learners
from tlbench.protocol.errors import BudgetExhausted, DivergedError, ProtocolViolationError
from tlbench.protocol.interface import Learner
from tlbench.protocol.metered import TrainingBins
from tlbench.protocol.sources import offline_transitions
from tlbench.protocol.specs import Schedule, SuiteSpec, TaskSpec
from tlbench.protocol.task import HarnessTask, agent_seed

LEFT, RIGHT = 0, 1


class Always:
    """Chooses one action; ``value`` may be changed while it is published."""

    def __init__(self, value: Any, calls: list[int] | None = None) -> None:
        self.value = value
        self.calls = [] if calls is None else calls

    def act(self, obs: Any, state: Any, first: Any) -> tuple[Any, Any]:
        self.calls.append(len(obs))
        return np.array([self.value] * len(first)), state

    def frozen(self) -> Always:
        return Always(self.value, self.calls)


class StackableAlways(Always):
    """The same, stackable."""

    def frozen(self) -> StackableAlways:
        return StackableAlways(self.value, self.calls)

    @classmethod
    def stack(cls, policies: Any) -> Any:
        values = np.array([p.value for p in policies])

        class Stack:
            def act(self, obs: Any, state: Any, first: Any) -> tuple[Any, Any]:
                return np.repeat(values[:, None], obs.shape[1], axis=1), state

        return Stack()


def cartpole(tiny: SuiteSpec, **schedule: int) -> TaskSpec:
    wanted = {"budget": 120, "points": 4, "episodes": 2, **schedule}
    return tiny.tasks["cartpole"].model_copy(update={"target": Schedule(**wanted), "source": Schedule(**wanted)})


def opened(spec: TaskSpec, lanes: int, policy: Any = None, **kwargs: Any) -> tuple[HarnessTask, Any]:
    task = HarnessTask(spec, "target", 0, **kwargs)
    task.publish(Always(LEFT) if policy is None else policy)
    return task, task.envs(lanes)


def lefts(lanes: int) -> np.ndarray:
    return np.zeros(lanes, dtype=np.int64)


def test_a_policy_is_published_before_the_first_metered_call(tiny: SuiteSpec) -> None:
    task = HarnessTask(cartpole(tiny), "target", 0)
    with pytest.raises(ProtocolViolationError, match="publish a policy"):
        task.envs(2).reset()
    with pytest.raises(ProtocolViolationError, match="publish a policy"):
        task.finish()
    with pytest.raises(ProtocolViolationError, match="needs act"):
        task.publish(object())  # type: ignore[arg-type]
    assert task.spent == 0


def test_the_first_reset_is_free_and_every_other_one_costs_its_lanes(tiny: SuiteSpec) -> None:
    task, env = opened(cartpole(tiny), 3)
    env.reset()
    assert task.spent == 0
    env.step(lefts(3))
    env.reset()
    assert task.spent == 6
    other = task.envs(4)  # opening more lanes is no way around it
    other.reset()
    assert task.spent == 10
    other.reset()
    assert task.spent == 14


def test_a_step_that_would_exceed_the_budget_is_not_taken(tiny: SuiteSpec) -> None:
    task, env = opened(cartpole(tiny, budget=10), 4)
    env.reset()
    env.step(lefts(4))
    env.step(lefts(4))
    with pytest.raises(BudgetExhausted):
        env.step(lefts(4))
    assert task.spent == 8
    with pytest.raises(BudgetExhausted):
        env.reset()
    one = task.envs(1)
    one.reset()
    assert task.spent == 9


def test_a_step_is_counted_before_it_can_be_taken(tiny: SuiteSpec) -> None:
    task, env = opened(cartpole(tiny), 2)
    env.reset()
    env.step_async(lefts(2))
    assert task.spent == 2
    env.step_wait()
    with pytest.raises(ProtocolViolationError, match="step_async"):
        env.step_wait()
    assert task.spent == 2


def test_lanes_are_idle_or_not_they_cost_a_unit_each(tiny: SuiteSpec) -> None:
    task, env = opened(cartpole(tiny, budget=1000), 7)
    env.reset()
    for step in range(1, 31):
        env.step(lefts(7))
        assert task.spent == 7 * step


def test_evaluation_is_of_what_the_data_up_to_the_count_taught(tiny: SuiteSpec) -> None:
    """Points are due at 0, 40, 80 and 120 units; the policy published last when the next call is entered is scored."""
    policy = StackableAlways(LEFT)  # evaluated later: the values needn't be actions
    task, env = opened(cartpole(tiny), 20, policy)
    policy.value = RIGHT  # before the first metered call: warm-up counts for 0 %
    env.reset()
    for step in range(6):
        env.step(lefts(20))
        policy.value = 100 + step  # learned from this step's data
    with pytest.raises(BudgetExhausted):
        env.step(lefts(20))
    policy.value = LEFT  # learning from the last data, after the budget has ended
    task.meter.finish()
    scored = [(s.count, s.policy.value) for s in task._snapshots]  # type: ignore[attr-defined]
    assert scored == [(0, RIGHT), (40, 101), (80, 103), (120, LEFT)]


def test_checkpoints_are_taken_when_points_are_due(tiny: SuiteSpec) -> None:
    points: list[int] = []
    task = HarnessTask(cartpole(tiny), "source", 0, on_point=points.append)
    task.publish(Always(LEFT))
    env = task.envs(60)
    env.reset()
    assert points == []
    env.step(lefts(60))
    env.step(lefts(60))
    assert points == [0, 1]  # 30 and 60 of 120
    task.finish()
    assert points == [0, 1, 2, 3]


def test_a_policy_that_changes_its_kind_is_scored_point_by_point(tiny: SuiteSpec) -> None:
    """Stackable copies are evaluated later, others at once; both must end at their own point."""

    def curve(kinds: list[type[Always]]) -> list[tuple[float, ...] | None]:
        spec = tiny.tasks["pendulum"].model_copy(update={"target": Schedule(budget=120, points=4, episodes=2)})
        task, env = opened(spec, 40, kinds[0]([0.0]))
        env.reset()
        for kind, action in zip(kinds[1:], (0.5, 1.0, 1.5), strict=True):
            env.step(np.zeros((40, 1), np.float32))
            task.publish(kind([action]))
        return [outcome and outcome.returns for _, outcome in task.finish()]

    plain = curve([Always] * 4)
    assert len(set(plain)) == 4
    for kinds in (
        [StackableAlways] * 4,
        [StackableAlways, Always, StackableAlways, Always],
        [Always, StackableAlways, StackableAlways, Always],
    ):
        assert curve(kinds) == plain


def test_a_method_and_its_control_meet_the_same_lanes_and_start_states(tiny: SuiteSpec) -> None:
    spec = cartpole(tiny)
    first, second = opened(spec, 5), opened(spec, 5)
    assert np.array_equal(first[1].reset(), second[1].reset())
    first[1].step(lefts(5))
    first[1].reset()  # one of them may go another way ...
    again = first[0].envs(5), second[0].envs(5)
    assert np.array_equal(again[0].reset(), again[1].reset())
    assert first[0].finish()[3][1] == second[0].finish()[3][1]  # ... evaluation is the same
    other = HarnessTask(spec, "target", 1)
    other.publish(Always(LEFT))
    assert not np.array_equal(other.envs(5).reset(), opened(spec, 5)[1].reset())
    assert agent_seed(spec, "target", 0) != agent_seed(spec, "target", 1)


def test_every_point_has_start_states_of_its_own(tiny: SuiteSpec) -> None:
    task, _ = opened(cartpole(tiny, points=6, episodes=10), 1)
    outcomes = [outcome for _, outcome in task.finish()]
    assert len({outcome.returns for outcome in outcomes if outcome}) == 6
    fresh = task.fresh_evaluation(Always(LEFT), 10)
    assert fresh is not None
    assert fresh not in outcomes


def test_learning_that_returns_early_is_scored_as_it_is_then(tiny: SuiteSpec) -> None:
    task, env = opened(cartpole(tiny), 10)
    env.reset()
    env.step(lefts(10))
    points = task.finish()
    assert [count for count, _ in points] == [0, 10, 10, 10]
    assert all(outcome is not None and len(outcome.returns) == 2 for _, outcome in points)


@pytest.mark.parametrize(
    ("actions", "error", "part"),
    [
        (np.array([0, 2]), ProtocolViolationError, "outside the action space"),
        (np.array([-1, 0]), ProtocolViolationError, "outside the action space"),
        (np.array([0]), ProtocolViolationError, r"shape \(1,\)"),
        (np.array([[0], [1]]), ProtocolViolationError, "shape"),
        (np.array([0.0, 1.0]), ProtocolViolationError, "expects integers"),
        (np.array([0.0, np.nan]), DivergedError, "not finite"),
    ],
)
def test_wrong_discrete_actions_are_refused(tiny: SuiteSpec, actions: Any, error: type[Exception], part: str) -> None:
    _, env = opened(cartpole(tiny), 2)
    env.reset()
    with pytest.raises(error, match=part):
        env.step(actions)


@pytest.mark.parametrize(
    ("actions", "error", "part"),
    [
        (np.array([[0.0], [2.1]]), ProtocolViolationError, "outside the action space"),
        (np.array([[0.0], [-np.inf]]), DivergedError, "not finite"),
        (np.array([[0.0], [np.nan]]), DivergedError, "not finite"),
        (np.array([0.0, 0.0]), ProtocolViolationError, "shape"),
        (np.zeros((1, 1)), ProtocolViolationError, "shape"),
        (np.zeros((0, 1)), ProtocolViolationError, "shape"),
    ],
)
def test_wrong_continuous_actions_are_refused(tiny: SuiteSpec, actions: Any, error: type[Exception], part: str) -> None:
    _, env = opened(tiny.tasks["pendulum"], 2, Always([0.0]))
    env.reset()
    with pytest.raises(error, match=part):
        env.step(actions)


def test_actions_may_be_any_sequence_of_the_right_shape(tiny: SuiteSpec) -> None:
    _, env = opened(tiny.tasks["pendulum"], 2, Always([0.0]))
    env.reset()
    assert np.array_equal(env.step([[0.0], [2.0]])[1].shape, (2,))


def test_training_bins_are_means_of_the_episodes_that_ended_in_them() -> None:
    bins = TrainingBins(1000)
    bins.add(1, [1.0])
    bins.add(10, [3.0, 5.0])
    bins.add(11, [7.0])
    bins.add(1000, [9.0])
    means, episodes = bins.as_lists()
    assert (means[0], episodes[0]) == (3.0, 3)
    assert (means[1], episodes[1]) == (7.0, 1)
    assert (means[99], episodes[99]) == (9.0, 1)
    assert means[2] is None
    assert sum(episodes) == 5


def test_training_episodes_are_noted_with_their_returns(tiny: SuiteSpec) -> None:
    task, env = opened(cartpole(tiny, budget=4000, points=2), 4)
    env.reset()
    ended: list[float] = []
    lengths = np.zeros(4)
    for step in range(400):
        if step == 200:
            env.reset()  # what was under way doesn't count as an episode
            lengths[:] = 0
        _, _, dones, _ = env.step(np.full(4, step % 2))
        lengths += 1
        ended += lengths[dones].tolist()
        lengths[dones] = 0
    means, episodes = task.bins.as_lists()
    assert sum(episodes) == len(ended)
    assert sum(m * n for m, n in zip(means, episodes, strict=True) if m is not None) == pytest.approx(sum(ended))


def test_extraction_is_metered_without_evaluation(tiny: SuiteSpec) -> None:
    task = HarnessTask(cartpole(tiny), "source", 0, budget=9)
    env = task.envs(3)
    env.reset()
    for _ in range(3):
        env.step(lefts(3))
    with pytest.raises(BudgetExhausted):
        env.step(lefts(3))
    assert (task.budget, task.spent) == (9, 9)


def test_units_that_the_task_does_not_have_are_refused(tiny: SuiteSpec) -> None:
    task, _ = opened(cartpole(tiny), 1)
    for attempt in (lambda: task.samples(4), lambda: task.episodes(4)):
        with pytest.raises(ProtocolViolationError, match="metered in env_steps"):
            next(attempt())
    with pytest.raises(ProtocolViolationError, match="at least one lane"):
        task.envs(0)


@pytest.mark.parametrize("size", [-5, 0])
def test_no_call_gives_units_back(tiny: SuiteSpec, size: int) -> None:
    offline = TaskSpec.model_validate(
        {**cartpole(tiny).model_dump(), "unit": "samples", "offline": {"transitions": 50, "lanes": 4}}
    )
    task = HarnessTask(offline, "target", 0)
    task.publish(Always(LEFT))
    next(task.samples(5))
    with pytest.raises(ProtocolViolationError, match="at least one"):
        next(task.samples(size))
    assert task.spent == 5


def test_offline_samples_are_metered_rows_of_the_suites_data(tiny: SuiteSpec) -> None:
    offline = TaskSpec.model_validate(
        {**cartpole(tiny).model_dump(), "unit": "samples", "offline": {"transitions": 50, "lanes": 4}}
    )

    def batches() -> list[Any]:
        task = HarnessTask(offline, "target", 0)
        task.publish(Always(LEFT))
        found = []
        with pytest.raises(BudgetExhausted):  # noqa: PT012
            for batch in task.samples(32):
                found.append(batch)
        assert task.spent == 96
        with pytest.raises(ProtocolViolationError, match="no environments"):
            task.envs(1)
        return found

    first, second = batches(), batches()
    assert len(first) == 3
    assert first[0]["obs"].shape == (32, 4)
    for a, b in zip(first, second, strict=True):
        assert all(np.array_equal(a[name], b[name]) for name in a)


def test_offline_samples_may_be_collected_under_options_of_their_own(tiny: SuiteSpec) -> None:
    def ends(**options: int) -> list[int]:
        offline = {"transitions": 60, "lanes": 1, "options": options}
        changes = {"discrete_actions": None, "unit": "samples", "offline": offline}
        task = TaskSpec.model_validate({**tiny.tasks["pendulum"].model_dump(), **changes})
        data = offline_transitions(task, discrete=False)
        pairs = enumerate(zip(data["next_obs"][:-1], data["obs"][1:], strict=True))
        return [i + 1 for i, (following, then) in pairs if not np.array_equal(following, then)]

    assert ends(max_episode_steps=20) == [20, 40]
    assert ends() == []


@pytest.mark.parametrize("learner", learners().values(), ids=list(learners()))
@pytest.mark.parametrize("name", ["cartpole", "pendulum"])
def test_how_often_is_evaluated_does_not_change_what_is_learned(tiny: SuiteSpec, learner: Learner, name: str) -> None:
    def trained(points: int) -> dict[str, torch.Tensor]:
        spec = tiny.tasks[name].model_copy(update={"target": Schedule(budget=4800, points=points, episodes=2)})
        task = HarnessTask(spec, "target", 0, discrete=learner.discrete_only)
        # the lanes' seeds derive from the schedule too: hold them fixed
        task._identity = ("fixed", "target", 0)
        if learner.unsupported(task.interface):
            pytest.skip(f"{learner.id} does not support {name}")
        agent = learner.build(task.interface, learner.Config(), 7, "cpu")
        agent.train(task)
        assert len(task.finish()) == points
        assert agent.gradient_steps > 0 or learner.id == "neuroevolution"  # it takes none
        return agent.params()

    two, eleven = trained(2), trained(11)
    assert two.keys() == eleven.keys()
    assert all(torch.equal(two[role], eleven[role]) for role in two)


def test_plain_gymnasium_environments_train_and_evaluate(vary: Callable[..., SuiteSpec]) -> None:
    suite = vary(('environment = "tlbench/Pendulum-v1"', 'environment = "Pendulum-v1"'))
    ours = HarnessTask(vary().tasks["pendulum"], "target", 0)
    plain = HarnessTask(suite.tasks["pendulum"], "target", 0)
    results = []
    for task in (ours, plain):
        task._identity = ("fixed", "target", 0)
        task.publish(Always([0.5]))
        env = task.envs(3)
        observations = [env.reset()]
        for step in range(205):
            obs, rewards, dones, _ = env.step(np.full((3, 1), np.sin(step), np.float32))
            observations += [obs, rewards, dones]
        results.append((observations, task.finish(), task.bins.as_lists()))
    for a, b in zip(results[0][0], results[1][0], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    for (count_a, a), (count_b, b) in zip(results[0][1], results[1][1], strict=True):
        assert count_a == count_b
        assert a is not None
        assert b is not None
        assert a.lengths == b.lengths
        np.testing.assert_allclose(a.returns, b.returns, rtol=1e-6)
    assert results[0][2][1] == results[1][2][1]


def test_no_public_way_leads_around_the_meter(tiny: SuiteSpec) -> None:
    """SB3's wrappers call what they wrap ``venv``, and unwrapping is a common idiom."""
    task, env = opened(cartpole(tiny), 2)
    env.reset()
    inner = env.unwrapped
    while hasattr(inner, "venv"):
        inner = inner.venv
    inner.step(lefts(2))
    assert task.spent == 2
