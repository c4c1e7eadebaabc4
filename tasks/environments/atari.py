"""Atari 2600 games: `tlbench/Atari-v1`."""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from tlbench.tasks.environments.atari_game import DRAWS, AtariGame, AtariOptions
from tlbench.tasks.environments.batched import BatchedEnv, Floats, Lanes, Transition

MAX_EPISODE_STEPS = 27_000
"""108,000 frames, half an hour of play, at 4 frames per step."""


class AtariEnv(gymnasium.Env[NDArray[np.uint8], np.int64]):
    """One game, step by step, with the options of `AtariVectorEnv`."""

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, **options: Any) -> None:
        """Create the environment; the options are those of `AtariVectorEnv`.

        Raises:
            AtariError: If the game can't be opened as it was asked for.
        """
        chosen = AtariOptions(**options)
        self.observation_space = chosen.observation_space  # type: ignore[assignment]
        self._game = AtariGame(chosen, np.zeros(chosen.observation_space.shape, np.uint8))
        self.action_space = self._game.action_space
        self._started = self._closed = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Start a game; after a lost life that ended the episode, and without a seed, go on with the game."""
        super().reset(seed=seed)
        draws = self.np_random.random(DRAWS)
        if seed is None and self._game.ends_on_life_loss and self._game.lost_life:
            self._game.resume()
        else:
            self._game.reset(draws, seeded=seed is not None or not self._started)
        self._started = True
        return self._game.frames.copy(), {}

    def step(self, action: Any) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Take an action for `frame_skip` frames."""
        reward, terminated = self._game.step(int(action))
        return self._game.frames.copy(), reward, terminated, False, {}

    def close(self) -> None:
        """Give the emulator back; it can be called again."""
        if not self._closed:
            self._game.close()
        self._closed = True


class AtariVectorEnv(BatchedEnv):
    """Atari 2600 games in the Arcade Learning Environment, many copies in one process.

    ## Description
    A loop over ale-py's emulators with the preprocessing of Mnih et al. (2015): an action is taken for `frame_skip`
    frames, the last two of them are pooled by their maximum, in grey, made square by averaging, and the last
    `frame_stack` pictures are the observation. Frame for frame it equals Gymnasium's `AtariPreprocessing` under
    `FrameStackObservation` with zero padding. Unlike ale-py's own vector environment it has the games' modes and
    difficulties, Q*bert's levels, shared action sets, inverted and painted pictures: what transfer tasks are made of.
    dqn-layer-copying.txt has the games and pairs. Rewards are the game's points; clipping them is the learner's.

    ## Action Space
    `Discrete(n)`: the game's minimal action set, or what `action_set` says. An action that a game doesn't know does
    what its console did: mostly nothing.

    ## Observation Space
    `Box(0, 255, (frame_stack, screen_size, screen_size), uint8)`, the newest picture last.

    ## Rewards
    The points of the step's frames.

    ## Starting State
    The start of a game, after 1 to `noop_max` frames without action (drawn for every episode). Before the first
    picture come black ones (white ones with `inverse`). A seeded reset starts the first game after switching the
    console on; others start the next, which in some games is another one.

    ## Episode End
    Termination when the game is over. Truncation after 27,000 steps.

    ## Arguments
    - `game`: the ROM's name, such as `"breakout"` or `"space_invaders"`.
    - `mode`, `difficulty` (None: the game's default): the switches of the console.
    - `level` (1): 2 starts Q*bert at its second level, where a cube takes two hops.
    - `action_set` (`"minimal"`): or `"full"` for all 18, or names such as `"NOOP FIRE RIGHT LEFT"`, so that source and
      target have the same actions.
    - `inverse` (False): observations are 255 minus what they would be.
    - `paint` (`""`): for Breakout `"constant-rectangle"`, `"moving-square"`, `"green-lines"` or `"diagonals"`; see
      `atari_paint`.
    - `screen_size` (84), `frame_stack` (4), `frame_skip` (4), `noop_max` (30): see above.
    - `fire_reset` (False): press FIRE for `frame_skip` frames at the start and after each lost life, for games that
      wait for it: a greedy policy could wait until the time limit. After a lost life these frames belong to the step
      that lost it.
    - `terminal_on_life_loss` (False): with same-step autoreset, which is training, a lost life terminates the
      episode and the next one goes on with the game, after a no-op. With autoreset disabled, which is evaluation,
      episodes are whole games all the same.
    - `repeat_action_probability` (0.0): per frame, the probability that the console repeats the previous action.
    - `autoreset_mode` (`"same_step"`), `max_episode_steps` (27,000): see `BatchedEnv`.

    ## Version History
    - v1: first version.
    """

    _games: Sequence[AtariGame] = ()  # Gymnasium may close what couldn't be made

    def __init__(
        self,
        num_envs: int = 1,
        *,
        max_episode_steps: int = MAX_EPISODE_STEPS,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
        **options: Any,
    ) -> None:
        """Create the lanes; the class lists the arguments.

        Raises:
            AtariError: If the game can't be opened as it was asked for.
        """
        chosen = AtariOptions(**options)
        space = chosen.observation_space
        self._frames = np.zeros((max(1, num_envs), *space.shape), np.uint8)
        self._games = [AtariGame(chosen, frames) for frames in self._frames]
        super().__init__(
            num_envs,
            space,
            self._games[0].action_space,
            max_episode_steps=max_episode_steps,
            autoreset_mode=autoreset_mode,
        )
        for game in self._games:
            game.ends_on_life_loss &= self.autoreset_mode is AutoresetMode.SAME_STEP
        self._seeded_by: list[np.random.Generator | None] = [None] * num_envs
        self._ids: Lanes = np.arange(num_envs)

    def close_extras(self, **kwargs: Any) -> None:
        """Give the emulators back."""
        del kwargs
        for game in self._games:
            game.close()
        self._games = []

    def _draw_starts(self, generator: np.random.Generator, count: int) -> Floats:
        return generator.random((count, DRAWS))

    def _begin(self, lanes: Lanes, starts: Floats) -> NDArray[Any]:
        for lane, draws in zip(lanes.tolist(), starts, strict=True):
            game, generator = self._games[lane], self._generators[lane]
            seeded = self._seeded_by[lane] is not generator
            self._seeded_by[lane] = generator
            if game.ends_on_life_loss and game.lost_life and not seeded:
                game.resume()
            else:
                game.reset(draws, seeded)
        return self._frames[lanes]

    def _select(self, lanes: Lanes | None) -> None:
        self._ids = np.arange(self.num_envs) if lanes is None else lanes

    def _advance(self, actions: NDArray[Any]) -> Transition:
        rewards = np.zeros(len(self._ids))
        terminations = np.zeros(len(self._ids), np.bool_)
        for row, (lane, action) in enumerate(zip(self._ids.tolist(), actions.tolist(), strict=True)):
            rewards[row], terminations[row] = self._games[lane].step(action)
        return self._frames[self._ids], rewards, terminations


gymnasium.register(
    id="tlbench/Atari-v1",
    entry_point=f"{__name__}:AtariEnv",
    vector_entry_point=f"{__name__}:AtariVectorEnv",
    max_episode_steps=MAX_EPISODE_STEPS,
)
