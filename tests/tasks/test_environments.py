"""The vectorised environments against Gymnasium's own, and the semantics of lanes, seeds, resets and ends."""

import copy
import pickle

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode

OPTIONS = {
    "tlbench/Acrobot-v1": [{}],
    "tlbench/Ant-v5": [{}, {"reset_noise_scale": 0.02}],
    "tlbench/AntDirection-v1": [{"angle": 2.0}, {"crippled_leg": 3, "reset_noise_scale": 0.02}],
    "tlbench/AntGoal-v1": [{"goal_x": -2.0, "goal_y": 0.5}, {"crippled_leg": 2, "reset_noise_scale": 0.02}],
    "tlbench/CartPole-v1": [
        {},
        {"pole_half_length": 1.0},
        {"observation_sign": -1},
        {"pole_half_length": 1.0, "observation_sign": -1},
    ],
    "tlbench/HalfCheetah-v5": [{}, {"reset_noise_scale": 0.02}],
    "tlbench/HalfCheetahDirection-v1": [{"direction": -1}, {"reset_noise_scale": 0.02}],
    "tlbench/HalfCheetahVelocity-v1": [{"velocity": 1.5}, {"reset_noise_scale": 0.02}],
    "tlbench/Hopper-v5": [
        {},
        {"reset_noise_scale": 0.02},
        {"mass_scale": 1.5, "damping_scale": 0.5, "gravity_scale": 0.8},
    ],
    "tlbench/HiddenGoalMaze-v1": [
        {},
        {"side": 13, "wall_reward": 0.0, "step_scale": 200.0, "last_action": True},
        {"side": 9, "layouts": 20, "first_layout": 1000, "extra_walls": 5},
    ],
    "tlbench/InvertedDoublePendulum-v5": [{}, {"healthy_reward": 3.0, "reset_noise_scale": 0.02, "frame_skip": 2}],
    "tlbench/InvertedPendulum-v5": [{}, {"reset_noise_scale": 0.05, "frame_skip": 3}],
    "tlbench/MetaLabyrinth-v1": [
        {},
        {"tile_size": 1, "inverse": True},
        {"tile_size": 2, "palette": "recoloured", "walls": 14, "keys": 1},
        {"tile_size": 3, "action_order": "uldr", "walls": 0, "keys": 11},
        {"tile_size": 1, "walls": 24, "colour": True},
        {"tile_size": 4, "colour": True, "palette": "recoloured", "inverse": True},
        {"tile_size": 5},
    ],
    "tlbench/Pendulum-v1": [{}, {"g": 9.81}],
    "tlbench/PointGoal-v1": [{}, {"goal_x": -0.2, "goal_y": 0.05, "start_range": 0.5}, {"unit_actions": True}],
    "tlbench/SimpleMaze-v1": [
        {},
        {"tile_size": 3, "inverse": True, "action_order": "drul"},
        {"random_start": False},
    ],
}

UNSEEN_STARTS = {"tlbench/HiddenGoalMaze-v1"}
"""Environments whose start states differ in what can't be seen at the start."""


def make(env_id, num_envs, mode="same_step", **options):
    return gymnasium.make_vec(
        env_id, num_envs=num_envs, vectorization_mode="vector_entry_point", autoreset_mode=mode, **options
    )


def make_singles(env_id, num_envs, **options):
    if gymnasium.spec(env_id).entry_point is None:
        pytest.skip("has no single environment")
    return [gymnasium.make(env_id, disable_env_checker=True, **options) for _ in range(num_envs)]


class Actions:
    """Random actions held for random times, so that they drive the states far; beyond the bounds of a box."""

    def __init__(self, space, seed):
        self.rng = np.random.default_rng(seed)
        self.space = space
        self.actions = self.draw()

    def draw(self):
        if isinstance(self.space, Box):
            return (1.5 * self.rng.uniform(self.space.low, self.space.high)).astype(self.space.dtype)
        return self.rng.integers(self.space.nvec)

    def __call__(self):
        change = self.rng.random(len(self.actions)) < 0.3
        self.actions = np.where(change.reshape(-1, *[1] * (self.actions.ndim - 1)), self.draw(), self.actions)
        return self.actions


def assert_same(ours, theirs):
    """Equal bit for bit, type and shape included."""
    theirs = np.asarray(theirs, dtype=ours.dtype)
    assert ours.shape == theirs.shape
    assert ours.tobytes() == theirs.tobytes(), np.abs(np.asarray(ours, float) - np.asarray(theirs, float)).max()


def assert_equal_to_singles(envs, singles, steps, seed):
    """Step both; return how many lanes terminated, how many were truncated."""
    seeds = [seed + 17 * lane for lane in range(envs.num_envs)]
    observations, infos = envs.reset(seed=seeds)
    assert infos == {}
    firsts = [single.reset(seed=s)[0] for single, s in zip(singles, seeds, strict=True)]
    assert observations.dtype == firsts[0].dtype
    assert_same(observations, firsts)
    next_actions = Actions(envs.action_space, seed)
    ends = np.zeros(2, int)
    for _ in range(steps):
        actions = next_actions()
        observations, rewards, terminations, truncations, infos = envs.step(actions)
        results = [single.step(action) for single, action in zip(singles, actions, strict=True)]
        finished = terminations | truncations
        if finished.any():
            assert set(infos) == {"final_obs", "_final_obs"}
            assert_same(infos["_final_obs"], finished)
            final = np.where(finished.reshape(-1, *[1] * (observations.ndim - 1)), infos["final_obs"], observations)
        else:
            assert infos == {}
            final = observations
        assert_same(final, [result[0] for result in results])
        assert_same(rewards, [result[1] for result in results])
        assert_same(terminations, [result[2] for result in results])
        assert_same(truncations, [result[3] for result in results])
        for lane in np.flatnonzero(finished):
            assert_same(observations[lane], singles[lane].reset()[0])
        assert rewards.dtype == np.float64
        assert observations in envs.observation_space
        ends += terminations.sum(), truncations.sum()
    return ends


def test_importing_the_package_registers_the_classic_environments():
    assert set(OPTIONS) <= set(gymnasium.registry)
    for env_id in OPTIONS:
        assert gymnasium.spec(env_id).to_json()


@pytest.mark.parametrize("limit", [None, 5])
def test_every_transition_equals_gymnasiums(env_id, limit):
    limits = {} if limit is None else {"max_episode_steps": limit}
    for number, options in enumerate(OPTIONS.get(env_id, [{}])):
        lanes = 3 if "Ant" in env_id else 16  # it is slow to simulate
        envs = make(env_id, lanes, **options, **limits)
        singles = make_singles(env_id, lanes, **options, **limits)
        terminated, truncated = assert_equal_to_singles(envs, singles, 1010 if limit is None else 100, 100 * number)
        assert terminated + truncated > 0
        if limit is not None:
            assert truncated > 0


def test_the_single_environment_is_gymnasiums(env_id):
    original = env_id.removeprefix("tlbench/")
    if original not in gymnasium.registry:
        pytest.skip("Gymnasium has no environment of this name")
    ours, theirs = gymnasium.spec(env_id), gymnasium.spec(original)
    assert ours.max_episode_steps == theirs.max_episode_steps
    assert ours.reward_threshold == theirs.reward_threshold
    envs = make(env_id, 4)
    singles = [gymnasium.make(original, disable_env_checker=True) for _ in range(4)]
    assert envs.single_observation_space == singles[0].observation_space
    assert envs.single_action_space == singles[0].action_space
    assert_equal_to_singles(envs, singles, 520, seed=7)


@pytest.mark.parametrize(
    ("name", "limit", "bounds"),
    [
        ("CartPole", 500, [2.6, 4, 0.3, 4]),
        ("Pendulum", 200, [30, 8]),
        ("Acrobot", 500, [np.pi, np.pi, 4 * np.pi, 9 * np.pi]),
    ],
)
def test_one_step_from_any_state_equals_gymnasiums(name, limit, bounds):
    lanes = 3000
    envs = make(f"tlbench/{name}-v1", lanes)
    envs.reset(seed=0)
    states = np.random.default_rng(0).uniform(-1, 1, (lanes, len(bounds))) * bounds
    order = [0, 2, 1, 3] if name == "CartPole" else slice(None)
    envs._state[:] = states.T[order]
    actions = Actions(envs.action_space, 0)()
    observations, rewards, terminations, truncations, infos = envs.step(actions)
    if infos:
        observations = np.where(terminations[:, None], infos["final_obs"], observations)
    single = gymnasium.make(f"{name}-v1", max_episode_steps=limit).unwrapped
    single.reset(seed=0)
    results = []
    for state, action in zip(states, actions, strict=True):
        single.state, single.steps_beyond_terminated = state, None
        results.append(single.step(action))
    assert_same(observations, [result[0] for result in results])
    assert_same(rewards, [result[1] for result in results])
    assert_same(terminations, [result[2] for result in results])
    assert not truncations.any()


def test_no_time_limit(env_id):
    envs = make(env_id, 2, max_episode_steps=-1)
    envs.reset(seed=0)
    assert not any(envs.step(envs.action_space.sample())[3].any() for _ in range(30))


def test_an_integer_seeds_consecutive_lanes_and_none_goes_on(env_id):
    a, b, c = make(env_id, 4), make(env_id, 4), make(env_id, 4)
    first = a.reset(seed=5)[0]
    assert_same(first, b.reset(seed=[5, 6, 7, 8])[0])
    assert_same(first, c.reset(seed=np.arange(5, 9))[0])
    for _ in range(40):  # more than one draw ahead
        second = a.reset()[0]
        assert_same(second, b.reset(seed=None)[0])
        assert env_id in UNSEEN_STARTS or not np.array_equal(first, second)
    mixed = a.reset(seed=[5, None, None, None])[0]
    assert_same(mixed[0], first[0])
    assert_same(mixed[1:], b.reset()[0][1:])
    one, other = make(env_id, 4).reset()[0], make(env_id, 4).reset()[0]
    assert env_id in UNSEEN_STARTS or not np.array_equal(one, other)


def test_lanes_do_not_depend_on_their_number(env_id):
    trajectories = []
    for num_envs in (1, 5, 64):
        envs = make(env_id, num_envs, max_episode_steps=50)
        trajectory = [envs.reset(seed=30)[0][0]]
        next_actions = Actions(make(env_id, 1).action_space, 3)
        others = Actions(envs.action_space, 4)
        for _ in range(120):
            actions = others()
            actions[0] = next_actions()[0]
            observations, rewards, terminations, truncations, _ = envs.step(actions)
            trajectory += [observations[0], rewards[0], terminations[0], truncations[0]]
        trajectories.append(b"".join(np.asarray(x).tobytes() for x in trajectory))
    assert trajectories[0] == trajectories[1] == trajectories[2]


def test_disabled_equals_same_step_until_the_end_and_then_freezes(env_id):
    limit = 40
    envs, reference = make(env_id, 12, "disabled", max_episode_steps=limit), make(env_id, 12, max_episode_steps=limit)
    assert_same(envs.reset(seed=2)[0], reference.reset(seed=2)[0])
    next_actions = Actions(envs.action_space, 5)
    frozen = np.zeros(12, bool)
    last = None
    for _ in range(limit + 5):
        actions = next_actions()
        got = envs.step(actions)
        want = reference.step(actions)
        assert got[4] == {}
        final = want[0].copy()
        if want[4]:
            final[want[4]["_final_obs"]] = want[4]["final_obs"][want[4]["_final_obs"]]
        for ours, theirs in zip(got[:4], (final, *want[1:4]), strict=True):
            assert_same(ours[~frozen], theirs[~frozen])
        if frozen.any():
            assert_same(got[0][frozen], last[0][frozen])
            assert not got[1][frozen].any()
            assert_same(got[2][frozen], last[2][frozen])
            assert_same(got[3][frozen], last[3][frozen])
        frozen |= got[2] | got[3]
        last = copy.deepcopy(got)
        for array in got[:4]:  # what the caller does to them stays with the caller
            array[:] = 1
    assert frozen.all()
    again = envs.reset(seed=2)[0]
    assert_same(again, reference.reset(seed=2)[0])
    assert not (envs.step(actions)[2:4][1]).any()


def test_reset_mask(env_id):
    envs, reference = make(env_id, 6, "disabled", max_episode_steps=10), make(env_id, 6, "disabled")
    envs.reset(seed=0)
    next_actions = Actions(envs.action_space, 6)
    for _ in range(4):
        observations = envs.step(next_actions())[0]
    mask = np.array([True, False, False, True, False, True])
    seeds = [50, None, None, 51, None, 52]
    reset, infos = envs.reset(seed=seeds, options={"reset_mask": mask})
    assert infos == {}
    assert_same(reset[~mask], observations[~mask])
    starts = reference.reset(seed=[50, 1, 2, 51, 4, 52])[0]
    assert_same(reset[mask], starts[mask])
    for step in range(10):
        actions = next_actions()
        got, want = envs.step(actions), reference.step(actions)
        for ours, theirs in zip(got[:3], want[:3], strict=True):
            assert_same(ours[mask], theirs[mask])
        if step == 5:  # the lanes that were not reset are at their tenth step
            assert (got[2] | got[3])[~mask].all()
        if step == 7:  # frozen lanes come back, and the others go on where they were
            reset = envs.reset(seed=[9] * 6, options={"reset_mask": ~mask})[0]
            assert_same(reset[mask], got[0][mask])
            assert_same(reset[~mask], make(env_id, 6).reset(seed=[9] * 6)[0][~mask])
    assert got[3][mask].all() or got[2][mask].any()


def test_masked_reset_with_same_step_autoreset(env_id):
    envs = make(env_id, 3)
    first = envs.reset(seed=0)[0]
    mask = np.array([False, True, False])
    again = envs.reset(seed=0, options={"reset_mask": mask})[0]
    assert_same(again, first)
    stepped = envs.step(envs.action_space.sample())[0]
    again = envs.reset(seed=0, options={"reset_mask": mask})[0]
    assert_same(again[1], first[1])
    assert_same(again[~mask], stepped[~mask])


def test_returned_arrays_belong_to_the_caller(env_id):
    envs, reference = make(env_id, 5, max_episode_steps=20), make(env_id, 5, max_episode_steps=20)
    kept = [envs.reset(seed=1)[0]]
    copies = [kept[0].copy()]
    reference.reset(seed=1)
    next_actions = Actions(envs.action_space, 7)
    for _ in range(60):
        actions = next_actions()
        got = envs.step(actions)
        kept += got[:4]
        copies += [array.copy() for array in got[:4]]
        for array in (want := reference.step(actions))[:4]:
            array[:] = 1
        if want[4]:
            want[4]["final_obs"][:] = 1
    for array, kept_copy in zip(kept, copies, strict=True):
        assert_same(array, kept_copy)
    assert_same(envs.step(actions)[0], reference.step(actions)[0])


def test_the_order_of_actions_in_memory_makes_no_difference(env_id):
    envs, reference = make(env_id, 5), make(env_id, 5)
    for made in (envs, reference):
        made.reset(seed=3)
    next_actions = Actions(envs.action_space, 5)
    for _ in range(20):
        actions = next_actions()
        for ours, theirs in zip(envs.step(np.asfortranarray(actions))[:4], reference.step(actions)[:4], strict=True):
            assert_same(ours, theirs)


def test_autoreset_modes(env_id):
    for mode in ("next_step", AutoresetMode.NEXT_STEP, "sometimes"):
        with pytest.raises(ValueError, match="autoreset_mode must be 'same_step' or 'disabled'"):
            make(env_id, 2, mode)
    for mode, member in (("same_step", AutoresetMode.SAME_STEP), ("disabled", AutoresetMode.DISABLED)):
        assert make(env_id, 2, mode).metadata["autoreset_mode"] is member
        assert make(env_id, 2, member).metadata["autoreset_mode"] is member
    assert gymnasium.make_vec(env_id, num_envs=2).metadata["autoreset_mode"] is AutoresetMode.SAME_STEP


def test_wrong_actions(env_id):
    envs = make(env_id, 3)
    envs.reset(seed=0)
    good = envs.action_space.sample()
    bad = [good[:2], good[0], np.full(good.shape, np.nan)]
    if isinstance(envs.action_space, Box):
        bad += [np.full(good.shape, np.inf), good[..., None]]
        envs.step(good.astype(np.float64))
    else:
        bad += [good - 1 - good.min(), good + envs.action_space.nvec, good.astype(float), good[:, None]]
        envs.step(good.astype(np.int8))
    for actions in bad:
        with pytest.raises(ValueError, match="actions"):
            envs.step(actions)
    envs.step(good.tolist())


def test_wrong_resets(env_id):
    envs = make(env_id, 3)
    with pytest.raises(ResetNeeded):
        envs.step(envs.action_space.sample())
    with pytest.raises(ValueError, match="the first reset must be of all lanes"):
        envs.reset(options={"reset_mask": np.array([True, False, True])})
    with pytest.raises(ValueError, match="2 seeds for 3 lanes"):
        envs.reset(seed=[1, 2])
    for mask in (np.ones(2, bool), np.ones(3), np.zeros(3, bool)):
        with pytest.raises(ValueError, match="reset_mask"):
            envs.reset(options={"reset_mask": mask})
    with pytest.raises(ValueError, match="unknown reset options"):
        envs.reset(options={"low": 0})


def test_wrong_arguments(env_id):
    with pytest.raises(ValueError, match="num_envs"):
        make(env_id, 0)
    for limit in (0, -2):
        with pytest.raises(ValueError, match="max_episode_steps"):
            make(env_id, 2, max_episode_steps=limit)


@pytest.mark.parametrize("options", [{"pole_half_length": 0.0}, {"pole_half_length": np.nan}, {"observation_sign": 2}])
def test_wrong_cartpole_options(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        make("tlbench/CartPole-v1", 2, **options)
    with pytest.raises(ValueError, match=next(iter(options))):
        gymnasium.make("tlbench/CartPole-v1", **options)


def test_copies_are_refused(env_id):
    envs = make(env_id, 2)
    with pytest.raises(TypeError, match="can't be copied"):
        copy.deepcopy(envs)
    with pytest.raises(TypeError, match="can't be copied"):
        pickle.dumps(envs)


def test_single_environments_pass_gymnasiums_checker(env_id):
    for options in OPTIONS.get(env_id, [{}]):
        if gymnasium.spec(env_id).entry_point is None:
            pytest.skip("has no single environment")
        single = gymnasium.make(env_id, **options)  # warns, which is an error here, where its checker objects
        single.reset(seed=0)
        for _ in range(20):
            if any(single.step(single.action_space.sample())[2:4]):
                single.reset()
        single.close()
