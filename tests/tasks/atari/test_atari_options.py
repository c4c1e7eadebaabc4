"""Options of Atari games: shared action sets, and what is told of wrong ones."""

from __future__ import annotations

import sys
from typing import Any

import gymnasium
import numpy as np
import pytest

import tlbench.tasks.environments  # noqa: F401
from tests.tasks.atari.opening import DOWN, FIRE, ID, LEFT, NOOP, RIGHT, UP, make, single
from tlbench.protocol.errors import TlbenchError
from tlbench.tasks.environments.atari_emulator import AtariError, Cartridge, Emulator


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
