"""The base of the vectorised environments: lanes, seeds, autoreset and the time limit."""

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from gymnasium import Space
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box, Discrete
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]
Lanes: TypeAlias = NDArray[np.intp]
Transition: TypeAlias = tuple[NDArray[Any], Floats, Bools]
"""Observations, rewards and terminations of the selected lanes."""

KnownReward: TypeAlias = Callable[[NDArray[Any], NDArray[Any], NDArray[Any]], Floats]
KnownTermination: TypeAlias = Callable[[NDArray[Any], NDArray[Any], NDArray[Any]], Bools]

STARTS_PER_DRAW = 16
_ONE = np.array(1)


class BatchedEnv(VectorEnv[NDArray[Any], NDArray[Any], NDArray[Any]], ABC):
    """Many copies ("lanes") of one environment, stepped by array operations.

    Every lane has its own generator, so what a lane does depends on its seed and its actions alone, not on the number
    of lanes. Start states equal those of the single Gymnasium environment reset with the lane's seed. `reset` and
    `step` return new arrays, which the caller may keep and change.

    A subclass implements `_draw_starts`, `_begin`, `_select` and `_advance`. All of its randomness has to be in its
    start states: they are drawn ahead, `STARTS_PER_DRAW` at a time.
    """

    def __init__(
        self,
        num_envs: int,
        single_observation_space: Box,
        single_action_space: Box | Discrete,
        *,
        max_episode_steps: int,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
    ) -> None:
        """Set up the lanes; `reset` starts them.

        Args:
            num_envs: The number of lanes.
            single_observation_space: The observation space of one lane.
            single_action_space: The action space of one lane.
            max_episode_steps: The steps after which an episode is truncated; -1 for no limit, as in `gymnasium.make`.
            autoreset_mode: `"same_step"` resets a finished lane within the step that finished it; `"disabled"` freezes
                it until it is reset. Gymnasium's `AutoresetMode` is accepted too.

        Raises:
            ValueError: If the number of lanes, the time limit or the autoreset mode isn't one of these.
        """
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1, got {num_envs}")
        if max_episode_steps < 1 and max_episode_steps != -1:
            raise ValueError(f"max_episode_steps must be at least 1, or -1 for no limit, got {max_episode_steps}")
        self.num_envs = num_envs
        self.single_observation_space = single_observation_space
        self.single_action_space = single_action_space
        self.observation_space = batch_space(single_observation_space, num_envs)
        self.action_space = batch_space(single_action_space, num_envs)
        self.autoreset_mode = _autoreset_mode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self._check_actions = _action_check(single_action_space, num_envs)
        self._max_episode_steps = np.array(np.iinfo(np.int64).max if max_episode_steps == -1 else max_episode_steps)

        self._generators: list[np.random.Generator | None] = [None] * num_envs
        self._starts: Floats | None = None  # [lane, draw, component], drawn ahead
        self._starts_used = np.full(num_envs, STARTS_PER_DRAW)

        self._started = False
        self._selected: Lanes | None = None  # the lanes that are not frozen, None for all
        self._elapsed = np.zeros(num_envs, np.int64)
        self._observations = np.zeros(self.observation_space.shape or (), single_observation_space.dtype)
        self._terminations = np.zeros(num_envs, np.bool_)
        self._truncations = np.zeros(num_envs, np.bool_)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Start new episodes.

        Args:
            seed: An integer s seeds lane i with s + i; a sequence has one seed per lane; None, for all or for one
                lane, lets the generator go on.
            options: `{"reset_mask": mask}` with a Boolean array [num_envs] resets only the lanes where it is true.

        Returns:
            The observations of all lanes, and an empty dictionary.

        Raises:
            ValueError: If the seeds or the options don't fit.
        """
        lanes = np.flatnonzero(self._reset_mask(options))
        seeds = self._lane_seeds(seed)
        for lane in lanes.tolist():
            if seeds[lane] is not None or self._generators[lane] is None:
                self._generators[lane] = seeding.np_random(seeds[lane])[0]
                self._starts_used[lane] = STARTS_PER_DRAW
        self._set_selected(None)
        self._observations[lanes] = self._restart(lanes)
        self._terminations[lanes] = False
        self._truncations[lanes] = False
        self._started = True
        finished = self._terminations | self._truncations
        if finished.any():
            self._set_selected(np.flatnonzero(~finished))
        return self._observations.copy(), {}

    def step(self, actions: NDArray[Any]) -> tuple[NDArray[Any], Floats, Bools, Bools, dict[str, Any]]:
        """Take one action in every lane.

        Where lanes finish with same-step autoreset, the observations are those after the reset and the infos are
        `{"final_obs": [num_envs, ...], "_final_obs": [num_envs]}`; rows of `final_obs` are valid where `_final_obs` is
        true. Without autoreset a finished lane ignores its action, repeats its last observation with reward 0 and keeps
        its flags until it is reset.

        Args:
            actions: One action per lane, cast to the action space's type.

        Returns:
            Observations, rewards, terminations, truncations and infos.

        Raises:
            ValueError: If the actions have the wrong shape or type, are not finite or lie outside a discrete space.
            ResetNeeded: If `reset` was never called.
        """
        if not self._started:
            raise ResetNeeded("reset the environment before stepping it")
        actions = self._check_actions(actions)
        if self._selected is not None:
            return self._step_selected(actions, self._selected)
        observations, rewards, terminations = self._advance(actions)
        np.add(self._elapsed, _ONE, self._elapsed)
        truncations = np.greater_equal(self._elapsed, self._max_episode_steps)
        finished = np.logical_or(terminations, truncations)
        infos: dict[str, Any] = {}
        if np.count_nonzero(finished):
            if self.autoreset_mode is AutoresetMode.SAME_STEP:
                infos = {"final_obs": observations, "_final_obs": finished}
                lanes = np.flatnonzero(finished)
                observations = observations.copy()
                observations[lanes] = self._restart(lanes)
            else:
                self._terminations[:] = terminations
                self._truncations[:] = truncations
                self._set_selected(np.flatnonzero(~finished))
        self._observations[:] = observations
        return observations, rewards, terminations, truncations, infos

    def __reduce_ex__(self, protocol: Any) -> Any:
        # Buffers are views of each other, which copies of them wouldn't be.
        raise TypeError(f"{type(self).__name__} can't be copied or pickled: make another one")

    def _step_selected(
        self, actions: NDArray[Any], lanes: Lanes
    ) -> tuple[NDArray[Any], Floats, Bools, Bools, dict[str, Any]]:
        """Step the lanes that are not frozen."""
        rewards = np.zeros(self.num_envs)
        if lanes.size:
            self._observations[lanes], rewards[lanes], terminations = self._advance(actions[lanes])
            self._elapsed[lanes] += 1
            truncations = self._elapsed[lanes] >= self._max_episode_steps
            finished = terminations | truncations
            if np.count_nonzero(finished):
                self._terminations[lanes] = terminations
                self._truncations[lanes] = truncations
                self._set_selected(lanes[~finished])
        return self._observations.copy(), rewards, self._terminations.copy(), self._truncations.copy(), {}

    def _restart(self, lanes: Lanes) -> NDArray[Any]:
        """Start an episode in each of these lanes; return their first observations."""
        self._elapsed[lanes] = 0
        return self._begin(lanes, self._next_starts(lanes))

    def _next_starts(self, lanes: Lanes) -> Floats:
        """The next start state of each of these lanes' generators."""
        for lane in lanes[self._starts_used[lanes] == STARTS_PER_DRAW].tolist():
            generator = self._generators[lane]
            assert generator is not None, "reset gives every lane its generator"
            drawn = self._draw_starts(generator, STARTS_PER_DRAW)
            if self._starts is None:
                self._starts = np.empty((self.num_envs, *drawn.shape))
            self._starts[lane] = drawn
            self._starts_used[lane] = 0
        assert self._starts is not None, "the first call draws for its lanes"
        starts: Floats = self._starts[lanes, self._starts_used[lanes]]
        self._starts_used[lanes] += 1
        return starts

    def _set_selected(self, lanes: Lanes | None) -> None:
        if lanes is not None or self._selected is not None:
            self._selected = lanes
            self._select(lanes)

    def _reset_mask(self, options: dict[str, Any] | None) -> Bools:
        options = options or {}
        if unknown := sorted(options.keys() - {"reset_mask"}):
            raise ValueError(f"unknown reset options {unknown}; there is only 'reset_mask'")
        mask = np.asarray(options.get("reset_mask", np.ones(self.num_envs, np.bool_)))
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_ or not mask.any():
            raise ValueError(f"reset_mask must be a Boolean array of shape ({self.num_envs},) with at least one true")
        if not self._started and not mask.all():
            raise ValueError("the first reset must be of all lanes")
        return mask

    def _lane_seeds(self, seed: int | Sequence[int | None] | None) -> list[int | None]:
        if seed is None:
            return [None] * self.num_envs
        if not isinstance(seed, Sequence | np.ndarray):
            return [operator.index(seed) + lane for lane in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise ValueError(f"got {len(seed)} seeds for {self.num_envs} lanes")
        return [None if lane_seed is None else operator.index(lane_seed) for lane_seed in seed]

    def reward_function(self) -> KnownReward | None:
        """The reward as a function of observations, actions and next observations, if it is one.

        It takes arrays ``[N, ...]`` and returns ``[N]``; it keeps no reference to the environment.
        """
        return None

    def termination_function(self) -> KnownTermination | None:
        """Termination as a function of observations, actions and next observations, if it is one; else as above."""
        return None

    @abstractmethod
    def _draw_starts(self, generator: np.random.Generator, count: int) -> Floats:
        """Draw start states [count, component] with Gymnasium's calls, in its order."""

    @abstractmethod
    def _begin(self, lanes: Lanes, starts: Floats) -> NDArray[Any]:
        """Put these lanes into these start states; return their observations. All lanes are selected."""

    @abstractmethod
    def _select(self, lanes: Lanes | None) -> None:
        """From now on `_advance` steps these lanes only, None for all."""

    @abstractmethod
    def _advance(self, actions: NDArray[Any]) -> Transition:
        """Step the selected lanes; return new arrays, in the order of the lanes."""


def never(observations: NDArray[Any], actions: NDArray[Any], following: NDArray[Any]) -> Bools:
    """Termination of environments that never terminate."""
    del observations, actions
    return np.zeros(len(following), np.bool_)


def _autoreset_mode(mode: AutoresetMode | str) -> AutoresetMode:
    name = mode.name if isinstance(mode, AutoresetMode) else mode.upper()
    if name not in {"SAME_STEP", "DISABLED"}:
        raise ValueError(f"autoreset_mode must be 'same_step' or 'disabled', got {mode!r}")
    return AutoresetMode[name]


def _action_check(space: Space[Any], num_envs: int) -> Callable[[Any], NDArray[Any]]:
    """The function that turns what `step` was given into an array of valid actions."""
    if isinstance(space, Discrete):
        return _discrete_check(int(space.n), num_envs)
    assert isinstance(space, Box)
    return _box_check((num_envs, *space.shape), space.dtype)


def _discrete_check(n: int, num_envs: int) -> Callable[[Any], NDArray[Any]]:
    shape, end = (num_envs,), np.array(n, np.uint64)

    def check(given: Any) -> NDArray[Any]:
        actions: NDArray[Any] = np.asarray(given)
        if actions.shape != shape or actions.dtype.kind not in "iu":
            raise ValueError(f"expected integer actions of shape {shape}, got {actions.dtype} of {actions.shape}")
        if actions.dtype != np.int64:
            actions = actions.astype(np.int64)
        # As unsigned numbers, negative ones are large: one comparison checks both bounds.
        if np.count_nonzero(np.greater_equal(actions.view(np.uint64), end)):
            raise ValueError(f"actions must lie in 0..{n - 1}, got {actions}")
        return actions

    return check


def _box_check(shape: tuple[int, ...], dtype: Any) -> Callable[[Any], NDArray[Any]]:
    def check(given: Any) -> NDArray[Any]:
        actions: NDArray[Any] = np.asarray(given, dtype, order="C")  # sums depend on the order of memory
        if actions.shape != shape:
            raise ValueError(f"expected actions of shape {shape}, got {actions.shape}")
        if np.count_nonzero(np.isfinite(actions)) != actions.size:
            raise ValueError(f"actions must be finite, got {actions}")
        return actions

    return check
