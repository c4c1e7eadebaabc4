"""One Atari game as an agent sees it: skipped frames, pooled, made small and stacked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

from tlbench.tasks.environments.atari_emulator import AtariError, Cartridge, borrow, give_back, import_opencv
from tlbench.tasks.environments.atari_paint import SQUARE_STEPS, Painter
from tlbench.tasks.environments.batched import Floats

DRAWS = 3
"""Uniform numbers that an episode needs: its no-ops, the seed of repeated actions, where the moving square starts."""
_SQUARE_PLACES = 3


@dataclass(frozen=True)
class AtariOptions:
    """What can be chosen; `AtariVectorEnv` says what each means.

    Raises:
        AtariError: If a value has the wrong type or range.
    """

    game: str
    mode: int | None = None
    difficulty: int | None = None
    level: int = 1
    action_set: str = "minimal"
    inverse: bool = False
    paint: str = ""
    screen_size: int = 84
    frame_stack: int = 4
    frame_skip: int = 4
    noop_max: int = 30
    fire_reset: bool = False
    terminal_on_life_loss: bool = False
    repeat_action_probability: float = 0.0

    def __post_init__(self) -> None:
        for name in ("game", "action_set", "paint"):
            _check(name, getattr(self, name), str)
        for name in ("inverse", "fire_reset", "terminal_on_life_loss"):
            _check(name, getattr(self, name), bool)
        for name in ("mode", "difficulty"):
            if getattr(self, name) is not None:
                _check(name, getattr(self, name), int)
        for name, least in (("level", 1), ("screen_size", 1), ("frame_stack", 1), ("frame_skip", 1), ("noop_max", 0)):
            _check(name, getattr(self, name), int)
            if getattr(self, name) < least:
                raise AtariError(f"{name} must be at least {least}, got {getattr(self, name)}")
        _check("repeat_action_probability", self.repeat_action_probability, int | float)
        if not 0 <= self.repeat_action_probability < 1:
            raise AtariError(f"repeat_action_probability must lie in [0, 1), got {self.repeat_action_probability}")
        if self.paint and self.game != "breakout":
            raise AtariError(f"paint is for breakout, got {self.paint!r} for {self.game}")

    @property
    def observation_space(self) -> Box:
        """The space of observations."""
        return Box(0, 255, (self.frame_stack, self.screen_size, self.screen_size), np.uint8)


class AtariGame:
    """A game that is played into a stack of frames which someone else owns."""

    def __init__(self, options: AtariOptions, frames: NDArray[np.uint8]) -> None:
        """Open the game; `reset` starts it.

        Args:
            options: What was chosen.
            frames: Where observations are written: [frame_stack, screen_size, screen_size].

        Raises:
            AtariError: If the game can't be opened.
        """
        self.frames = frames
        self.lost_life = False
        """Whether the last step lost a life, but not the game."""
        self.ends_on_life_loss = options.terminal_on_life_loss
        """Whether an episode ends when a life is lost; `resume` then goes on with the game."""
        self._opencv = import_opencv()
        self._emulator = borrow(
            Cartridge(options.game, options.mode, options.difficulty, options.level, options.repeat_action_probability)
        )
        self._ale = ale = self._emulator.ale
        self._actions = self._emulator.actions(options.action_set)
        self.action_space = Discrete(len(self._actions))
        by_name = {action.name: action for action in ale.getLegalActionSet()}
        self._noop, self._fire = by_name["NOOP"], by_name["FIRE"] if options.fire_reset else None
        if self._fire is not None and self._fire not in ale.getMinimalActionSet():
            raise AtariError(f"fire_reset needs a game with the action FIRE, which {options.game} doesn't have")
        self._watches_lives = options.terminal_on_life_loss or options.fire_reset
        self._skip, self._noop_max = options.frame_skip, options.noop_max
        self._inverse = options.inverse
        height, width = ale.getScreenDims()
        self._latest, self._previous = np.zeros((2, height, width), np.uint8)
        self._painted = np.zeros((height, width), np.uint8)
        self._painter = Painter(options.paint, (height, width)) if options.paint else None
        self._size = (options.screen_size, options.screen_size)
        self._lives = 0
        self._painter_step = 0

    def reset(self, draws: Floats, seeded: bool) -> None:
        """Start a game.

        Args:
            draws: Uniform numbers [DRAWS].
            seeded: Whether the game must not depend on the ones before.
        """
        if seeded:
            self._emulator.reset_as_loaded(int(draws[1] * 2**31))
        else:
            self._emulator.reset()
        for _ in range(1 + int(draws[0] * self._noop_max) if self._noop_max else 0):
            self._ale.act(self._noop)
            if self._ale.game_over():
                self._emulator.reset()
        self._painter_step = int(draws[2] * _SQUARE_PLACES) * SQUARE_STEPS
        self._ale.getScreenGrayscale(self._latest)
        self._previous.fill(0)
        self._begin()
        if self._fire is not None:
            self._act(self._fire)
            self._lives = self._ale.lives()
            self._begin()

    def resume(self) -> None:
        """Start an episode with the next life of the game that goes on: FIRE with `fire_reset`, else a no-op."""
        self._act(self._noop if self._fire is None else self._fire)
        self._lives = self._ale.lives()
        self.lost_life = False
        self._begin()

    def step(self, action: int) -> tuple[float, bool]:
        """Take an action for `frame_skip` frames; return the reward and whether the episode has ended."""
        reward = self._act(self._actions[action])
        over: bool = self._ale.game_over()
        self.lost_life = self._watches_lives and not over and self._life_was_lost()
        if self._watches_lives:
            self._lives = self._ale.lives()
        self._push()
        ended = over or (self.lost_life and self.ends_on_life_loss)
        if self.lost_life and not ended and self._fire is not None:
            reward += self._act(self._fire)
            self._push()
            self._lives = self._ale.lives()
            ended = self._ale.game_over()
        return reward, ended

    def close(self) -> None:
        """Give the emulator back; nothing else may be called after this."""
        give_back(self._emulator)
        del self._emulator, self._ale

    def _act(self, action: Any) -> float:
        """Take an action for `frame_skip` frames, of which the last two are kept; less if the episode ends."""
        ale, reward = self._ale, 0
        for left in range(self._skip - 1, -1, -1):
            reward += ale.act(action)
            if ale.game_over() or (self.ends_on_life_loss and self._life_was_lost()):
                break
            if left == 1:
                ale.getScreenGrayscale(self._previous)
            elif left == 0:
                ale.getScreenGrayscale(self._latest)
        return float(reward)

    def _life_was_lost(self) -> bool:
        # A game may show no lives for some frames before it is over: that is one end, not two.
        return 0 < self._ale.lives() < self._lives

    def _begin(self) -> None:
        """An episode's first observation: this frame, black ones before it."""
        self._lives = self._ale.lives()
        self.lost_life = False
        self.frames[:-1] = 255 if self._inverse else 0
        self._draw()

    def _push(self) -> None:
        """The next observation: this frame after the ones before it."""
        self.frames[:-1] = self.frames[1:]
        self._painter_step += 1
        self._draw()

    def _draw(self) -> None:
        """Pool, paint, resize and invert, into the newest frame."""
        frame = self._latest
        if self._skip > 1:
            np.maximum(frame, self._previous, out=frame)
        if self._painter is not None:
            np.copyto(self._painted, frame)
            frame = self._painted
            self._painter(frame, self._painter_step)
        newest = self.frames[-1]
        self._opencv.resize(frame, self._size, dst=newest, interpolation=self._opencv.INTER_AREA)
        if self._inverse:
            np.invert(newest, out=newest)


def _check(name: str, value: object, kind: Any) -> None:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        wanted = {str: "a text", bool: "true or false", int: "a whole number"}.get(kind, "a number")
        raise AtariError(f"{name} must be {wanted}, got {value!r}")
