"""Atari games: against Gymnasium's preprocessing, one against many lanes, Q*bert's levels, pictures, wrong options."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import ale_py
import gymnasium
import numpy as np
import pytest
from ale_py import roms
from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation, TimeLimit

import tlbench.tasks.environments  # noqa: F401
from tlbench.protocol.errors import TlbenchError
from tlbench.tasks.environments import atari_emulator
from tlbench.tasks.environments.atari_emulator import AtariError, Cartridge, Emulator, import_ale
from tlbench.tasks.environments.atari_game import DRAWS, AtariGame, AtariOptions
from tlbench.tasks.environments.atari_paint import PAINTS, Painter

ID = "tlbench/Atari-v1"
NOOP, FIRE, UP, RIGHT, LEFT, DOWN = range(6)  # of Q*bert


opened: list[Any] = []


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    """Loading a game takes longer than most tests: closed environments give their emulators to the next."""
    yield
    for env in opened:
        env.close()
    opened.clear()


def make(lanes: int, autoreset: str = "same_step", **options: Any) -> Any:
    opened.append(
        gymnasium.make_vec(
            ID, num_envs=lanes, vectorization_mode="vector_entry_point", autoreset_mode=autoreset, **options
        )
    )
    return opened[-1]


def single(**options: Any) -> Any:
    opened.append(gymnasium.make(ID, disable_env_checker=True, **options))
    return opened[-1]


def ale_of(envs: Any, lane: int = 0) -> Any:
    return envs._games[lane]._ale


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


def hops(envs: Any, *actions: int) -> list[float]:
    """What each hop of Q*bert's pays: two steps with the action, then waiting until it has landed."""
    return [sum(float(envs.step(np.array([action]))[1][0]) for action in [hop, hop] + [NOOP] * 6) for hop in actions]


def wait(envs: Any, steps: int) -> None:
    for _ in range(steps):
        envs.step(np.array([NOOP]))


INTRO = 38
"""Steps before Q*bert can be moved."""


def test_a_cube_of_qberts_second_level_takes_two_hops() -> None:
    one, two = (make(1, game="qbert", level=level, noop_max=0) for level in (1, 2))
    for envs in (one, two):
        envs.reset(seed=0)
        wait(envs, INTRO)
    path = (RIGHT, LEFT, RIGHT, LEFT)  # to a cube and back to the top, twice
    assert hops(one, *path) == [25, 25, 0, 0]
    assert hops(two, *path) == [0, 0, 25, 25]
    assert ale_of(two).getRAM()[[57, 99]].tolist() == [4, 4]


def test_qberts_second_level_survives_a_lost_life_and_a_reset() -> None:
    envs = make(1, game="qbert", level=2, noop_max=0)
    envs.reset(seed=0)
    ale = ale_of(envs)
    wait(envs, INTRO)
    for lives in (3, 2):  # jump off, twice
        hops(envs, UP)
        wait(envs, 90)
        assert ale.lives() == lives
    assert hops(envs, RIGHT, LEFT, RIGHT, LEFT) == [0, 0, 25, 25]
    ale.reset_game()
    assert ale.getRAM()[[57, 99]].tolist() == [0, 0]  # cleared, so it has to be written after every reset
    envs.reset(seed=0)
    wait(envs, INTRO)
    assert hops(envs, RIGHT, LEFT, RIGHT, LEFT) == [0, 0, 25, 25]
    for _ in range(2000):  # to the end of the game
        if envs.step(np.array([UP]))[2][0]:
            break
    assert ale.getEpisodeFrameNumber() == 0  # autoreset
    wait(envs, INTRO)
    assert hops(envs, RIGHT, LEFT, RIGHT, LEFT) == [0, 0, 25, 25]


def test_inverse_is_the_complement_of_every_pixel_and_nothing_else() -> None:
    plain, inverse = make(2, game="breakout", fire_reset=True), make(2, game="breakout", fire_reset=True, inverse=True)
    np.testing.assert_array_equal(inverse.reset(seed=1)[0], 255 - plain.reset(seed=1)[0])
    rng = np.random.default_rng(0)
    for _ in range(80):
        actions = rng.integers(4, size=2)
        got, want = inverse.step(actions), plain.step(actions)
        np.testing.assert_array_equal(got[0], 255 - want[0])
        np.testing.assert_array_equal(got[1], want[1])


def painted(paint: str, step: int = 0) -> Any:
    frame = np.zeros((210, 160), np.uint8)
    Painter(paint, frame.shape)(frame, step)
    return frame


def extent(picture: Any) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(picture)
    return rows.min(), rows.max(), columns.min(), columns.max()


def test_what_is_painted() -> None:
    rectangle = painted("constant-rectangle")
    assert extent(rectangle) == (154, 157, 120, 127)
    assert np.count_nonzero(rectangle) == 4 * 8
    squares = [painted("moving-square", step) for step in (0, 999, 1000, 2000, 3000)]
    assert [extent(square) for square in squares] == [
        (154, 159, column, column + 5) for column in (40, 40, 80, 120, 40)
    ]
    lines, diagonals = painted("green-lines"), painted("diagonals")
    starts = [98, 114, 130, 146, 162, 178]
    assert sorted(set(np.nonzero(lines)[0])) == sorted(row + below for row in starts for below in (0, 1))
    assert [np.count_nonzero(lines[row]) for row in starts] == [2 * (77 - row) for row in range(32, 77, 8)]
    assert extent(diagonals) == (98, 187, 8, 97)
    assert np.count_nonzero(diagonals) == np.count_nonzero(lines)
    for diagonal in range(0, 90, 2):
        assert diagonals[98 + diagonal, 8 + diagonal]
    assert len({painted(paint).max() for paint in PAINTS}) == len(PAINTS)


@pytest.mark.parametrize("paint", PAINTS)
def test_paint_changes_the_picture_alone(paint: str) -> None:
    plain, other = make(1, game="breakout", fire_reset=True), make(1, game="breakout", fire_reset=True, paint=paint)
    differs = plain.reset(seed=3)[0] != other.reset(seed=3)[0]
    assert differs[0, 3].any()
    assert not differs[0, :3].any()  # the black pictures from before the start
    seen = np.zeros((210, 160), bool)
    for step in (0, 1000, 2000):
        seen |= painted(paint, step) > 0
    rows, columns = np.nonzero(seen)
    allowed = np.zeros((84, 84), bool)
    for row, column in zip(rows, columns, strict=True):  # pixels of the small picture that a painted one falls into
        allowed[
            int(row * 0.4) : int((row + 1) * 0.4 - 1e-9) + 1, int(column * 0.525) : int(column * 0.525 + 0.525) + 1
        ] = True
    rng = np.random.default_rng(0)
    for _ in range(60):
        actions = rng.integers(4, size=1)
        got, want = other.step(actions), plain.step(actions)
        different = got[0][0, 3] != want[0][0, 3]
        assert different.any()
        assert not different[~allowed].any()
        np.testing.assert_array_equal(got[1:4], want[1:4])


def test_the_moving_square_starts_in_a_drawn_place_and_moves() -> None:
    envs = make(2, game="breakout", paint="moving-square", noop_max=0, frame_skip=1, screen_size=40)
    starts = [picture for seed in range(0, 10, 2) for picture in envs.reset(seed=seed)[0]]
    assert len({picture.tobytes() for picture in starts}) == 3
    for _ in range(999):
        before = envs.step(np.zeros(2, int))[0]
    after = envs.step(np.zeros(2, int))[0]
    assert (before[:, 3] != after[:, 3]).any(axis=(1, 2)).all()


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


def test_shared_action_sets() -> None:
    shared = "NOOP FIRE UP RIGHT LEFT DOWN"
    breakout, qbert = make(1, game="breakout", action_set=shared), make(1, game="qbert")
    assert breakout.single_action_space == qbert.single_action_space
    own = make(1, game="breakout")
    np.testing.assert_array_equal(breakout.reset(seed=0)[0], own.reset(seed=0)[0])
    rng = np.random.default_rng(0)
    for _ in range(60):
        action = rng.integers(4, size=1)
        translated = np.array([(NOOP, FIRE, RIGHT, LEFT)[action[0]]])
        np.testing.assert_array_equal(breakout.step(translated)[0], own.step(action)[0])
    for unknown in (UP, DOWN):  # does nothing in Breakout
        breakout.reset(seed=1), own.reset(seed=1)
        breakout.step(np.array([FIRE])), own.step(np.array([FIRE]))
        for _ in range(30):
            np.testing.assert_array_equal(breakout.step(np.array([unknown]))[0], own.step(np.array([NOOP]))[0])
    assert make(1, game="breakout", action_set="full").single_action_space.n == 18


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"game": "SpaceInvaders"}, "there is no Atari game 'SpaceInvaders': did you mean space_invaders"),
        ({"game": "qqqqq"}, "there is no Atari game 'qqqqq': names are those of ale_py.roms"),
        ({"game": "combat"}, "combat is a game that ale-py can't play alone"),
        ({"game": 3}, "game must be a text"),
        ({"game": "breakout", "mode": 3}, "breakout has no mode 3; it has: 0, 4, 8"),
        ({"game": "breakout", "difficulty": 2}, "breakout has no difficulty 2; it has: 0, 1"),
        ({"game": "demon_attack", "mode": 0}, "demon_attack has no mode 0; it has: 1, 3, 5, 7"),
        ({"game": "breakout", "level": 2}, "level must be 1 or 2 for qbert, and 1 for other games, got 2 for breakout"),
        ({"game": "qbert", "level": 3}, "level must be 1 or 2 for qbert"),
        ({"game": "breakout", "paint": "pink"}, "there is no paint 'pink'; there are constant-rectangle"),
        ({"game": "pong", "paint": "diagonals"}, "paint is for breakout"),
        ({"game": "freeway", "fire_reset": True}, "fire_reset needs a game with the action FIRE"),
        ({"game": "breakout", "action_set": "NOOP JUMP"}, "action_set must be 'minimal', 'full' or different names"),
        ({"game": "breakout", "action_set": "NOOP NOOP"}, "action_set must be"),
        ({"game": "breakout", "action_set": ""}, "action_set must be"),
        ({"game": "breakout", "screen_size": 0}, "screen_size must be at least 1"),
        ({"game": "breakout", "screen_size": 84.0}, "screen_size must be a whole number"),
        ({"game": "breakout", "noop_max": -1}, "noop_max must be at least 0"),
        ({"game": "breakout", "inverse": 1}, "inverse must be true or false"),
        ({"game": "breakout", "repeat_action_probability": 1.0}, r"repeat_action_probability must lie in \[0, 1\)"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    for build in (lambda: make(2, **options), lambda: single(**options)):
        with pytest.raises(TlbenchError, match=message) as caught:
            build()
        assert "\n" not in str(caught.value)


def test_unknown_options_are_named() -> None:
    with pytest.raises(TypeError, match="gmae"):
        make(1, gmae="breakout")


@pytest.mark.parametrize("module", ["ale_py", "cv2"])
def test_a_missing_package_is_named(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(AtariError, match=r"pip install 'tlbench\[atari\]'$"):
        make(1, game="breakout")


def test_a_missing_or_damaged_rom_is_told(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        monkeypatch.setenv("ALE_ROMS_DIR", str(folder))
        with pytest.raises(AtariError, match="the ROM of breakout is missing"):
            Emulator(Cartridge("breakout"))
    (tmp_path / "breakout.bin").write_bytes(b"\0" * 2048)
    monkeypatch.setenv("ALE_ROMS_DIR", str(tmp_path))
    with pytest.raises(AtariError, match="the ROM of breakout is missing"):
        Emulator(Cartridge("breakout"))


def test_wrong_numbers_of_lanes_limits_and_modes() -> None:
    with pytest.raises(ValueError, match="num_envs"):
        make(0, game="breakout")
    with pytest.raises(ValueError, match="max_episode_steps"):
        make(1, game="breakout", max_episode_steps=0)
    with pytest.raises(ValueError, match="autoreset_mode must be"):
        make(1, "next_step", game="breakout")


def test_the_single_environment_passes_gymnasiums_checker() -> None:
    env = gymnasium.make(ID, game="breakout")  # warns, which is an error here, where its checker objects
    env.reset(seed=0)
    for _ in range(10):
        env.step(env.action_space.sample())
    env.close()
