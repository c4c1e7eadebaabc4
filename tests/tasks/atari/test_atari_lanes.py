"""Atari games: against Gymnasium's preprocessing, one against many lanes, seeds, lost lives."""

from __future__ import annotations

from typing import Any

import ale_py
import numpy as np
import pytest
from ale_py import roms
from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation, TimeLimit

import tlbench.tasks.environments  # noqa: F401
from tests.tasks.atari.opening import FIRE, LEFT, NOOP, RIGHT, ale_of, make, single
from tlbench.tasks.environments import atari_emulator
from tlbench.tasks.environments.atari_emulator import import_ale
from tlbench.tasks.environments.atari_game import DRAWS, AtariGame, AtariOptions


def stock(size: int, skip: int, limit: int, life_loss: bool, **options: Any) -> Any:
    """Gymnasium's own way to the same observations."""
    import_ale()
    env = ale_py.AtariEnv(frameskip=1, repeat_action_probability=0.0, **options)
    small = AtariPreprocessing(
        env, noop_max=0, frame_skip=skip, screen_size=size, terminal_on_life_loss=life_loss, grayscale_obs=True
    )
    return TimeLimit(FrameStackObservation(small, 4, padding_type="zero"), limit)


@pytest.mark.parametrize(
    ("game", "size", "skip", "choice"),
    [
        ("breakout", 42, 4, {"mode": 12, "difficulty": 1}),
        ("qbert", 84, 4, {}),
        ("beam_rider", 84, 3, {"full_action_space": True}),
        ("freeway", 20, 1, {"mode": 1, "difficulty": 1}),
        ("demon_attack", 210, 2, {"mode": 3}),
    ],
)
def test_every_frame_equals_gymnasiums_preprocessing(game: str, size: int, skip: int, choice: dict[str, Any]) -> None:
    limit = 120
    theirs = stock(size, skip, limit, False, game=game, **choice)
    full = choice.pop("full_action_space", False)
    ours = single(
        game=game, screen_size=size, frame_skip=skip, noop_max=0, max_episode_steps=limit,
        action_set="full" if full else "minimal", **choice,
    )  # fmt: skip
    assert ours.action_space == theirs.action_space
    rng = np.random.default_rng(0)
    for seed in (3, None, None):  # what a reset starts depends, in some games, on how many there were
        np.testing.assert_array_equal(ours.reset(seed=seed)[0], theirs.reset(seed=seed)[0])
        while True:
            action = rng.integers(ours.action_space.n)
            got, want = ours.step(action), theirs.step(action)
            np.testing.assert_array_equal(got[0], want[0])
            assert got[1:4] == want[1:4]
            if got[2] or got[3]:
                break


def test_the_last_frames_of_a_game_equal_gymnasiums_too() -> None:
    ours, theirs = single(game="breakout", noop_max=0), stock(84, 4, 10**6, False, game="breakout")
    ours.reset(seed=0), theirs.reset(seed=0)
    rng, points = np.random.default_rng(1), 0.0
    for step in range(4000):
        action = FIRE if step % 10 == 0 else rng.integers(4)
        got, want = ours.step(action), theirs.step(action)
        np.testing.assert_array_equal(got[0], want[0])
        assert got[1:4] == want[1:4]
        points += got[1]
        if got[2]:
            break
    assert got[2]
    assert points > 0


def assert_equal_to_singles(envs: Any, singles: list[Any], steps: int) -> int:
    seeds = [11 + 5 * lane for lane in range(envs.num_envs)]
    observations, infos = envs.reset(seed=seeds)
    assert infos == {}
    firsts = [env.reset(seed=seed)[0] for env, seed in zip(singles, seeds, strict=True)]
    np.testing.assert_array_equal(observations, firsts)
    rng, ends = np.random.default_rng(2), 0
    for _ in range(steps):
        actions = rng.integers(envs.single_action_space.n, size=envs.num_envs)
        observations, rewards, terminations, truncations, infos = envs.step(actions)
        for lane, (env, action) in enumerate(zip(singles, actions, strict=True)):
            want = env.step(action)
            finished = want[2] or want[3]
            seen = infos["final_obs"][lane] if finished else observations[lane]
            np.testing.assert_array_equal(seen, want[0])
            assert (rewards[lane], terminations[lane], truncations[lane]) == want[1:4]
            if finished:
                ends += 1
                np.testing.assert_array_equal(observations[lane], env.reset()[0])
    return ends


@pytest.mark.parametrize(
    "options",
    [
        {"game": "breakout", "fire_reset": True, "inverse": True, "paint": "moving-square", "max_episode_steps": 60},
        {"game": "breakout", "fire_reset": True, "terminal_on_life_loss": True, "screen_size": 42},
        {"game": "qbert", "level": 2, "terminal_on_life_loss": True, "frame_stack": 2, "max_episode_steps": 70},
        {"game": "beam_rider", "repeat_action_probability": 0.25, "max_episode_steps": 50, "frame_skip": 2},
    ],
)
def test_every_transition_of_many_lanes_equals_the_single_environments(options: dict[str, Any]) -> None:
    lanes = 3
    envs = make(lanes, **options)
    assert envs.single_observation_space == single(**options).observation_space
    assert assert_equal_to_singles(envs, [single(**options) for _ in range(lanes)], 160) > lanes


@pytest.mark.parametrize("game", ["beam_rider", "demon_attack", "qbert"])
def test_a_seeded_reset_forgets_what_was_before(game: str) -> None:
    used, fresh = make(3, "disabled", game=game), make(3, "disabled", game=game)
    rng = np.random.default_rng(0)
    for _ in range(2):
        used.reset(seed=0)
        for _ in range(15):
            used.step(rng.integers(6, size=3))
        used.reset()
    mask = np.array([True, False, True])
    before = used.step(rng.integers(6, size=3))[0]
    got = used.reset(seed=[7, 8, 9], options={"reset_mask": mask})[0]
    np.testing.assert_array_equal(got[1], before[1])
    np.testing.assert_array_equal(got[mask], fresh.reset(seed=[7, 8, 9])[0][mask])
    for _ in range(40):
        actions = rng.integers(6, size=3)
        for ours, theirs in zip(used.step(actions)[:4], fresh.step(actions)[:4], strict=True):
            np.testing.assert_array_equal(ours[mask], theirs[mask])


@pytest.mark.slow
def test_in_every_game_a_seeded_reset_starts_what_loading_starts() -> None:
    ale = import_ale().ALEInterface
    atari_emulator._idle.clear()
    played = 0
    for game in roms.get_all_rom_ids():
        if ale.isSupportedROM(roms.get_rom_path(game)) is None:  # for two players
            continue
        env = AtariGame(AtariOptions(game, noop_max=0, frame_skip=2), np.zeros((4, 84, 84), np.uint8))

        def play(seed: int, steps: int, env: AtariGame = env) -> list[tuple[Any, bytes]]:
            actions = np.random.default_rng(seed).integers(env.action_space.n, size=steps)
            return [(env.step(action), env.frames[-1].tobytes()) for action in actions]

        games: list[list[Any]] = []
        for used in (False, True, True):
            env.reset(np.zeros(DRAWS), seeded=used)  # at first the emulator is as it was loaded
            first = play(1, 100)
            env.reset(np.zeros(DRAWS), seeded=False)
            games.append([first, play(1, 100)])
            play(2, 50 + 7 * used)
        assert games[0] == games[1] == games[2], game
        played += 1
    assert played > 100


def test_a_lane_does_not_depend_on_the_others() -> None:
    actions = np.random.default_rng(0).integers(4, size=(60, 3))
    runs = []
    for lanes in (1, 3):
        envs = make(lanes, game="breakout", max_episode_steps=25, fire_reset=True)
        run = [envs.reset(seed=4)[0][0]]
        run += [envs.step(row[:lanes])[0][0] for row in actions]
        runs.append(np.array(run))
    np.testing.assert_array_equal(*runs)


def test_a_finished_lane_waits_when_autoreset_is_disabled() -> None:
    envs = make(2, "disabled", game="freeway", max_episode_steps=3)
    envs.reset(seed=0)
    for _ in range(3):
        observations, _, _, truncations, _ = envs.step(np.array([1, 1]))
    assert truncations.all()
    again = envs.reset(options={"reset_mask": np.array([False, True])})[0]
    np.testing.assert_array_equal(again[0], observations[0])
    after, rewards, _, truncations, _ = envs.step(np.array([1, 1]))
    np.testing.assert_array_equal(after[0], observations[0])
    assert not np.array_equal(after[1], again[1])
    assert (truncations.tolist(), rewards[0]) == ([True, False], 0)


def test_seeds_draw_the_number_of_no_ops() -> None:
    lanes, waits, pictures = 5, [], []
    envs = make(lanes, game="freeway", noop_max=30)
    for seed in range(0, 6 * lanes, lanes):
        pictures += list(envs.reset(seed=seed)[0])
        waits += [ale_of(envs, lane).getEpisodeFrameNumber() for lane in range(lanes)]
    assert min(waits) >= 1
    assert max(waits) <= 30
    assert len(set(waits)) > 10
    assert len({picture.tobytes() for picture in pictures}) == len(set(waits))
    np.testing.assert_array_equal(envs.reset(seed=0)[0], pictures[:lanes])
    envs.reset()
    assert waits[:lanes] != [ale_of(envs, lane).getEpisodeFrameNumber() for lane in range(lanes)]
    at_once = make(1, game="freeway", noop_max=0)
    at_once.reset(seed=0)
    assert ale_of(at_once).getEpisodeFrameNumber() == 0


def test_repeated_actions_are_seeded() -> None:
    def run(seed: int, probability: float) -> Any:
        envs = make(1, game="breakout", noop_max=0, repeat_action_probability=probability)
        envs.reset(seed=seed)
        return np.array([envs.step(np.array([(FIRE, 2, 3)[step % 3]]))[0] for step in range(60)])

    np.testing.assert_array_equal(run(5, 0.5), run(5, 0.5))
    assert not np.array_equal(run(5, 0.5), run(6, 0.5))
    np.testing.assert_array_equal(run(5, 0.0), run(6, 0.0))


def test_who_never_fires_never_ends_unless_fire_is_pressed_for_it() -> None:
    stuck, served = make(1, game="breakout"), make(1, "disabled", game="breakout", fire_reset=True)
    stuck.reset(seed=0), served.reset(seed=0)
    assert not any(stuck.step(np.array([NOOP]))[2][0] for _ in range(400))
    assert ale_of(stuck).lives() == 5
    lengths = 0
    while not served.step(np.array([NOOP]))[2][0]:
        lengths += 1
        assert lengths < 1000
    assert ale_of(served).lives() == 0


@pytest.mark.parametrize("fire", [False, True])
def test_a_lost_life_ends_an_episode_of_training_and_the_game_goes_on(fire: bool) -> None:
    options = {"game": "breakout", "terminal_on_life_loss": True, "fire_reset": fire}
    training, evaluation = make(1, **options), make(1, "disabled", **options)
    training.reset(seed=0), evaluation.reset(seed=0)
    lives = []
    for step in range(2000):
        action = np.array([FIRE if step % 5 == 0 else NOOP])
        observations, _, terminations, _, infos = training.step(action)
        evaluation.step(action)
        if terminations[0]:
            lives.append(ale_of(training).lives())
            assert not observations[0, :3].any()  # pictures from before the episode are black
            assert infos["final_obs"][0, :3].any()
        if len(lives) == 6:
            break
    assert lives == [4, 3, 2, 1, 5, 4]
    whole = make(1, "disabled", **options)
    whole.reset(seed=0)
    for step in range(2000):
        if whole.step(np.array([FIRE if step % 5 == 0 else NOOP]))[2][0]:
            break
    assert ale_of(whole).lives() == 0


def test_closed_lanes_lend_their_emulators_to_the_next() -> None:
    first = make(2, game="qbert", difficulty=1)
    emulators = {id(ale_of(first, lane)) for lane in range(2)}
    start = first.reset(seed=1)[0]
    first.step(np.array([RIGHT, LEFT]))
    first.close()
    again = make(2, game="qbert", difficulty=1)
    assert {id(ale_of(again, lane)) for lane in range(2)} == emulators
    np.testing.assert_array_equal(again.reset(seed=1)[0], start)
    one = single(game="qbert", difficulty=1)
    one.close()
    one.close()
