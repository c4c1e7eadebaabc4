"""Opens Atari 2600 games in the Arcade Learning Environment, and says in one line why one can't be opened."""

from __future__ import annotations

import difflib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlbench.protocol.errors import TlbenchError

if TYPE_CHECKING:
    from ale_py import ALEInterface

ROUND_BYTES = (57, 99)
"""Q*bert's RAM bytes that count rounds from 0: the second governs how many hops a cube needs, the first follows it."""
ROUNDS_PER_LEVEL = 4
LEVELS = (1, 2)


class AtariError(TlbenchError):
    """An Atari game can't be opened as it was asked for."""


@dataclass(frozen=True)
class Cartridge:
    """A game, and how the console's switches are set.

    Args:
        game: The ROM's name, as in `ale_py.roms`.
        mode: The game's mode; None for its default.
        difficulty: The difficulty switch; None for the game's default.
        level: Q*bert's level at the start of a game, 1 or 2; 1 for other games.
        repeat_action_probability: The probability, per frame, of repeating the previous action.
    """

    game: str
    mode: int | None = None
    difficulty: int | None = None
    level: int = 1
    repeat_action_probability: float = 0.0


class Emulator:
    """One Atari 2600 with a game in it; take it from `borrow` and bring it back by `give_back`."""

    def __init__(self, cartridge: Cartridge) -> None:
        """Load the game, which takes a tenth of a second.

        Args:
            cartridge: Which, and how.

        Raises:
            AtariError: If a package or the ROM is missing, or the game has no such mode, difficulty or level.
        """
        ale_py = import_ale()
        game, level = cartridge.game, cartridge.level
        self._rom = _find_rom(game)
        if level != LEVELS[0] and (game != "qbert" or level not in LEVELS):
            raise AtariError(f"level must be 1 or 2 for qbert, and 1 for other games, got {level} for {game}")
        self.cartridge = cartridge
        self.ale: ALEInterface = ale_py.ALEInterface()
        self.ale.setFloat("repeat_action_probability", cartridge.repeat_action_probability)
        self._load(0)
        self._loaded = self.ale.cloneSystemState()

    def reset(self) -> None:
        """Start a game, at the level."""
        self.ale.reset_game()
        if self.cartridge.level != LEVELS[0]:
            for byte in ROUND_BYTES:  # a reset has cleared them
                self.ale.setRAM(byte, ROUNDS_PER_LEVEL * (self.cartridge.level - 1))

    def reset_as_loaded(self, seed: int) -> None:
        """Start the game that the first reset after loading starts.

        What `reset` starts depends, in many games (Beam Rider is one), on how many resets there were before: they go
        on drawing from one generator. Restoring the state from after loading brings that back. It is safe only since a
        reset follows: Q*bert doesn't go on from a restored state as it went on before.

        Args:
            seed: Seeds the repetition of actions; without repetition it has no effect.
        """
        if self.cartridge.repeat_action_probability:
            self._load(seed)
        else:
            self.ale.restoreSystemState(self._loaded)
        self.reset()

    def _load(self, seed: int) -> None:
        self.ale.setInt("random_seed", seed)
        self.ale.loadROM(self._rom)
        mode, difficulty = self.cartridge.mode, self.cartridge.difficulty
        if mode is not None:
            self._check("mode", mode, self.ale.getAvailableModes())
            self.ale.setMode(mode)
        if difficulty is not None:
            self._check("difficulty", difficulty, self.ale.getAvailableDifficulties())
            self.ale.setDifficulty(difficulty)

    def actions(self, action_set: str) -> list[Any]:
        """The emulator's actions, in the order of the action space.

        Args:
            action_set: "minimal", "full" or the names of actions, separated by spaces.

        Raises:
            AtariError: If a name isn't one of an action, or is there twice.
        """
        if action_set == "minimal":
            return list(self.ale.getMinimalActionSet())
        legal = {action.name: action for action in self.ale.getLegalActionSet()}
        if action_set == "full":
            return list(legal.values())
        names = action_set.split()
        if not names or len(set(names)) < len(names) or not set(names) <= set(legal):
            raise AtariError(
                "action_set must be 'minimal', 'full' or different names of actions, separated by spaces, "
                f"among {' '.join(legal)}: got {action_set!r}"
            )
        return [legal[name] for name in names]

    def _check(self, what: str, value: int, available: list[int]) -> None:
        if value not in available:
            has = ", ".join(str(number) for number in sorted(available)) or "none"
            raise AtariError(f"{self.cartridge.game} has no {what} {value}; it has: {has}")


_idle: dict[Cartridge, list[Emulator]] = {}


def borrow(cartridge: Cartridge) -> Emulator:
    """An emulator with this game, one that was given back if there is one; `reset_as_loaded` has to follow.

    Raises:
        AtariError: As `Emulator`.
    """
    idle = _idle.get(cartridge)
    return idle.pop() if idle else Emulator(cartridge)


def give_back(emulator: Emulator) -> None:
    """Keep an emulator for the next who wants its game: every evaluation opens its lanes anew."""
    _idle.setdefault(emulator.cartridge, []).append(emulator)


def import_ale() -> Any:
    """The module `ale_py`, quiet.

    Raises:
        AtariError: If it isn't installed.
    """
    try:
        import ale_py
    except ImportError:
        raise AtariError("Atari games need the package ale-py: pip install 'tlbench[atari]'") from None
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    return ale_py


def import_opencv() -> Any:
    """The module `cv2`, with one thread: its own threads cost more than they give on frames this small.

    Raises:
        AtariError: If it isn't installed.
    """
    try:
        import cv2
    except ImportError:
        raise AtariError("Atari games need OpenCV to resize frames: pip install 'tlbench[atari]'") from None
    cv2.setNumThreads(1)
    return cv2


def _find_rom(game: str) -> Path:
    from ale_py import ALEInterface, roms

    known = roms.get_all_rom_ids()
    if game not in known:
        near = difflib.get_close_matches(game.lower(), known, n=1)
        hint = f"did you mean {near[0]}?" if near else "names are those of ale_py.roms, such as space_invaders"
        raise AtariError(f"there is no Atari game {game!r}: {hint}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rom = roms.get_rom_path(game)
    except OSError:  # no folder, no file, or a file with other content
        rom = None
    if rom is None:
        raise AtariError(f"the ROM of {game} is missing or not the known one: unset ALE_ROMS_DIR or reinstall ale-py")
    if ALEInterface.isSupportedROM(rom) is None:  # loading it would end the process
        raise AtariError(f"{game} is a game that ale-py can't play alone: choose another")
    return rom
