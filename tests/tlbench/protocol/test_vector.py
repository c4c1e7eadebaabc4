"""The adapter from Gymnasium's VectorEnv to SB3's VecEnv, and the views a suite may put over a task."""

from __future__ import annotations

import re
from typing import Any, Literal

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.specs import ObservationMap, Schedule, TaskSpec
from tlbench.protocol.vector import DiscreteActions, IdleLanes, MappedObservations, VectorEnvAdapter, open_lanes

MODES = [AutoresetMode.SAME_STEP, AutoresetMode.DISABLED]


class Counter(VectorEnv[Any, Any, Any]):
    """Lanes that count their steps: lane i terminates at 2 + i steps, or is truncated there if i is odd."""

    def __init__(self, num_envs: int = 3, autoreset_mode: AutoresetMode = AutoresetMode.SAME_STEP) -> None:
        self.num_envs = num_envs
        self.metadata = {"autoreset_mode": autoreset_mode}
        self.single_observation_space = spaces.Box(-100, 100, (2,), np.float64)
        self.single_action_space = spaces.Box(-1, 1, (1,), np.float32)
        self.observation_space = gymnasium.vector.utils.batch_space(self.single_observation_space, num_envs)
        self.action_space = gymnasium.vector.utils.batch_space(self.single_action_space, num_envs)
        self.steps = np.zeros(num_envs, dtype=int)
        self.seeds: list[Any] = []
        self.secret = 42

    def observations(self) -> np.ndarray:
        return np.stack([self.steps, -10.0 * self.steps], axis=1)

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        self.seeds.append(seed)
        mask = np.ones(self.num_envs, dtype=bool) if options is None else options["reset_mask"]
        self.steps[mask] = 0
        return self.observations(), {}

    def step(self, actions: Any) -> Any:
        self.actions = actions
        self.steps += 1
        ended = self.steps >= 2 + np.arange(self.num_envs)
        odd = np.arange(self.num_envs) % 2 == 1
        final, infos = self.observations(), {}
        if self.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP and ended.any():
            infos = {"final_obs": [row if e else None for row, e in zip(final, ended, strict=True)]}
            self.steps[ended] = 0
        return self.observations(), np.ones(self.num_envs), ended & ~odd, ended & odd, infos


@pytest.mark.parametrize("mode", MODES)
def test_finished_lanes_give_their_last_observation_and_go_on_from_a_reset(mode: AutoresetMode) -> None:
    env = VectorEnvAdapter(Counter(autoreset_mode=mode))
    assert env.reset().tolist() == [[0, 0]] * 3
    actions = np.zeros((3, 1), np.float32)
    obs, rewards, dones, infos = env.step(actions)
    assert not dones.any()
    assert list(infos) == [{}] * 3
    assert rewards.tolist() == [1, 1, 1]
    obs, _, dones, infos = env.step(actions)
    assert dones.tolist() == [True, False, False]
    assert obs.tolist() == [[0, 0], [2, -20], [2, -20]]
    assert infos[0]["terminal_observation"].tolist() == [2, -20]
    assert infos[0]["TimeLimit.truncated"] is False
    assert infos[1] == infos[2] == {}
    obs, _, dones, infos = env.step(actions)
    assert dones.tolist() == [False, True, False]
    assert obs.tolist() == [[1, -10], [0, 0], [3, -30]]
    assert infos[1]["TimeLimit.truncated"] is True
    assert infos[1]["terminal_observation"].tolist() == [3, -30]
    last = infos[1]["terminal_observation"]
    env.step(actions)
    assert last.tolist() == [3, -30]  # a copy: later steps don't write into it


def test_next_step_autoreset_is_refused() -> None:
    with pytest.raises(ValueError, match="same-step autoreset"):
        VectorEnvAdapter(Counter(autoreset_mode=AutoresetMode.NEXT_STEP))
    with pytest.raises(ValueError, match="autoreset"):
        VectorEnvAdapter(gymnasium.make_vec("CartPole-v1", 2, vectorization_mode="vector_entry_point"))


def test_lanes_are_seeded_once_by_the_harness_and_not_by_a_method() -> None:
    venv = Counter()
    env = VectorEnvAdapter(venv)
    env.seed_lanes([5, 6, 7])
    assert list(env.seed(99)) == [None] * 3
    env.reset()
    env.reset()
    assert venv.seeds == [[5, 6, 7], None]


def test_inner_environments_can_be_neither_read_nor_changed() -> None:
    env = VectorEnvAdapter(Counter())
    assert env.get_attr("render_mode") == [None] * 3
    assert env.env_method("get_wrapper_attr", "render_mode", indices=[0]) == [None]
    assert env.env_is_wrapped(gymnasium.Wrapper) == [False] * 3
    for attempt in (
        lambda: env.get_attr("secret"),
        lambda: env.get_attr("steps", indices=0),
        lambda: env.set_attr("steps", 0),
        lambda: env.env_method("reset"),
        lambda: env.env_method("get_wrapper_attr", "secret"),
    ):
        with pytest.raises(AttributeError, match="benchmark environment"):
            attempt()


def test_discrete_actions_stand_for_the_suites_list() -> None:
    venv = Counter(num_envs=3)
    env = DiscreteActions(venv, [[-1.0], [0.5]])
    assert env.single_action_space == spaces.Discrete(2)
    env.reset()
    env.step(np.array([1, 0, 1]))
    assert venv.actions.dtype == np.float32
    assert venv.actions.tolist() == [[0.5], [-1.0], [0.5]]


def test_observation_map_applies_to_every_observation() -> None:
    mapping = ObservationMap(indices=(1, 0), signs=(-1, 1))
    env = MappedObservations(Counter(), mapping)
    assert env.single_observation_space.shape == (2,)
    adapter = VectorEnvAdapter(env)
    adapter.reset()
    for _ in range(2):
        obs, _, _, infos = adapter.step(np.zeros((3, 1), np.float32))
    assert obs[1].tolist() == [20, 2]
    assert infos[0]["terminal_observation"].tolist() == [20, 2]


def test_observation_map_turns_bounds_around() -> None:
    venv = Counter()
    venv.single_observation_space = spaces.Box(np.array([-1.0, 0.0]), np.array([5.0, 7.0]), dtype=np.float64)
    space = MappedObservations(venv, ObservationMap(indices=(0, 1, 0), signs=(-1, 1, 1))).single_observation_space
    assert isinstance(space, spaces.Box)
    assert space.low.tolist() == [-5, 0, -1]
    assert space.high.tolist() == [1, 7, 5]
    with pytest.raises(TlbenchError, match="does not fit"):
        MappedObservations(venv, ObservationMap(indices=(2,)))


def task(environment: str, **fields: Any) -> TaskSpec:
    schedule = Schedule(budget=100, points=2, episodes=2)
    common: dict[str, Any] = {"discount": 0.99, "random_return": 0.0, "expert_return": 1.0, "threshold": 1.0}
    return TaskSpec(environment=environment, **common, wall_limit=10.0, source=schedule, target=schedule, **fields)


SINGLE = ["Acrobot-v1", "CartPole-v1", "MountainCarContinuous-v0", "tlbench/CartPole-v1"]


@pytest.mark.parametrize("environment", SINGLE)
@pytest.mark.parametrize("autoreset", ["same_step", "disabled"])
def test_lanes_follow_gymnasiums_single_environment(
    environment: str, autoreset: Literal["same_step", "disabled"]
) -> None:
    lanes, seeds = 3, [11, 12, 13]
    venv = open_lanes(task(environment), lanes, autoreset)
    singles = [gymnasium.make(environment, disable_env_checker=True) for _ in range(lanes)]
    seeded: Any = seeds
    obs, _ = venv.reset(seed=seeded)
    for lane, (single, seed) in enumerate(zip(singles, seeds, strict=True)):
        assert np.array_equal(obs[lane], single.reset(seed=seed)[0])
    venv.action_space.seed(0)
    alive = np.ones(lanes, dtype=bool)
    for _ in range(60):
        actions = venv.action_space.sample()
        obs, rewards, terminated, truncated, infos = venv.step(actions)
        for lane, single in enumerate(singles):
            if not alive[lane]:
                assert rewards[lane] == 0 or autoreset == "same_step"
                continue
            expected = single.step(actions[lane])
            ended = expected[2] or expected[3]
            seen = infos["final_obs"][lane] if ended and autoreset == "same_step" else obs[lane]
            assert np.array_equal(seen, expected[0])
            assert (rewards[lane], terminated[lane], truncated[lane]) == expected[1:4]
            alive[lane] = not ended
    venv.close()


def test_idle_lanes_wait_until_they_are_reset() -> None:
    env = IdleLanes([gymnasium.make("CartPole-v1", disable_env_checker=True) for _ in range(2)])
    env.reset(seed=[0, 1])
    for _ in range(60):
        obs, rewards, terminated, _, _ = env.step(np.array([1, 1]))
    assert terminated.all()
    assert rewards.tolist() == [0, 0]
    kept = obs[1].copy()
    obs, _ = env.reset(options={"reset_mask": np.array([True, False])})
    assert np.array_equal(obs[1], kept)
    obs, rewards, terminated, _, _ = env.step(np.array([0, 0]))
    assert rewards.tolist() == [1, 0]
    assert terminated.tolist() == [False, True]
    assert np.array_equal(obs[1], kept)


def test_discretisation_is_shown_only_where_it_is_wanted_and_needed() -> None:
    continuous = task("MountainCarContinuous-v0", discrete_actions=((-1.0,), (1.0,)))
    assert open_lanes(continuous, 2, "same_step", discrete=True).single_action_space == spaces.Discrete(2)
    assert isinstance(open_lanes(continuous, 2, "same_step").single_action_space, spaces.Box)
    assert open_lanes(task("Acrobot-v1"), 2, "same_step", discrete=True).single_action_space == spaces.Discrete(3)
    with pytest.raises(ValueError, match="no discretisation"):
        open_lanes(task("MountainCarContinuous-v0"), 2, "same_step", discrete=True)


@pytest.mark.parametrize(
    "spec",
    [
        task("CartPoel-v1"),
        task("nosuchmodule:Thing-v0"),
        task("Acrobot-v1", options={"wheels": 4}),
        task("tlbench/CartPole-v1", options={"wheels": 4}),
    ],
)
def test_an_environment_that_cannot_be_built_is_one_line(spec: TaskSpec) -> None:
    for autoreset in ("same_step", "disabled"):
        with pytest.raises(TlbenchError, match="can't be built") as caught:
            open_lanes(spec, 2, autoreset)  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)
        assert spec.environment in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pole_half_length": -1.0}, "(pole_half_length = -1.0)"),
        ({"observation_sign": "x", "wheels": 4}, "(observation_sign = 'x', wheels = 4)"),
    ],
)
def test_options_that_an_environment_does_not_take_are_named(options: dict[str, Any], said: str) -> None:
    for autoreset in ("same_step", "disabled"):
        with pytest.raises(TlbenchError, match=re.escape(f"can't be built with the task's options {said}: ")):
            open_lanes(task("tlbench/CartPole-v1", options=options), 2, autoreset)  # type: ignore[arg-type]


def test_gymnasiums_own_same_step_vectorisation_fits_the_adapter() -> None:
    venv = SyncVectorEnv(
        [lambda: gymnasium.make("CartPole-v1", disable_env_checker=True)] * 2, autoreset_mode=AutoresetMode.SAME_STEP
    )
    env = VectorEnvAdapter(venv)
    env.seed_lanes([0, 1])
    env.reset()
    for _ in range(50):
        obs, _, dones, infos = env.step(np.array([1, 1]))
        for lane in np.flatnonzero(dones):
            final = infos[lane]["terminal_observation"]
            assert abs(final[2]) > 0.2
            assert abs(obs[lane][2]) < 0.06
