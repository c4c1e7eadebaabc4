"""Collects real experience: a task's metered lanes, a policy, Ornstein-Uhlenbeck noise on its actions."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from tlbench.baselines.model_based.config import ModelBasedConfig
from tlbench.baselines.model_based.pilot import Pilot
from tlbench.baselines.model_based.segments import Segments
from tlbench.baselines.model_based.virtual_env import Scales
from tlbench.protocol.errors import BudgetExhausted
from tlbench.protocol.interface import Array, BudgetedTask


class OrnsteinUhlenbeck:
    """Noise that drifts: x <- (1 - theta) x + sigma normal.

    Args:
        shape: ``(lanes, k)``.
        theta: Pull to 0.
        sigma: Deviation per step.
        rng: The generator.
    """

    def __init__(self, shape: tuple[int, int], theta: float, sigma: float, rng: np.random.Generator) -> None:
        self._state = np.zeros(shape)
        self._theta, self._sigma, self._rng = theta, sigma, rng

    def draw(self) -> NDArray[np.float64]:
        """The next noise, ``[lanes, k]``."""
        self._state = (1 - self._theta) * self._state + self._sigma * self._rng.standard_normal(self._state.shape)
        return self._state

    def reset(self, lanes: NDArray[np.bool_]) -> None:
        """Begin again at 0 in these lanes."""
        self._state[lanes] = 0.0


class Collector:
    """A task's real lanes, which go on where the last collection stopped.

    Args:
        task: The task, on which a policy is published.
        scales: Its scales.
        config: Lanes, noise, length of segments.
        rng: Draws the noise.

    Attributes:
        exhausted: Whether the task's budget has ended.
        starts: Start states met so far, ``[n, d]``.
        longest: Steps of the longest episode so far, ended or not; the horizon where episodes are only truncated.
    """

    def __init__(self, task: BudgetedTask, scales: Scales, config: ModelBasedConfig, rng: np.random.Generator) -> None:
        self._task, self._scales, self._config = task, scales, config
        self._lanes = max(1, min(config.lanes, task.budget))
        self._envs = task.envs(self._lanes)
        shape = self._lanes, *scales.unit_space.shape
        self._noise = OrnsteinUhlenbeck((shape[0], shape[1]), config.noise_theta, config.noise_sigma, rng)
        self._obs: Array | None = None
        self._elapsed = np.zeros(self._lanes, np.int64)
        self.exhausted = False
        self.longest = 0
        self.starts = torch.zeros(0, scales.observation_space.shape[0])

    def collect(self, pilot: Pilot, units: int) -> Segments:
        """Act until at least ``units`` are spent, or the budget ends; segments don't reach beyond one call.

        Args:
            pilot: Draws actions; noise is added to them.
            units: Units of the task's meter.
        """
        rows: list[tuple[Array, Array, Array, Array]] = []
        try:
            if self._obs is None:
                self._obs = np.asarray(self._envs.reset())
                self._begin(np.ones(self._lanes, np.bool_))
            for _ in range(-(-units // self._lanes)):
                rows.append(self._step(pilot))
        except BudgetExhausted:
            self.exhausted = True
        steps, space = self._config.loss_steps, self._scales.unit_space
        if not rows:
            return Segments.empty(self.starts.shape[1], space.shape[0], steps)
        obs, actions, following, ended = (np.stack(column) for column in zip(*rows, strict=True))
        return Segments.of_lanes(obs, actions, following, ended, steps)

    def _step(self, pilot: Pilot) -> tuple[Array, Array, Array, Array]:
        obs = self._obs
        assert obs is not None
        unit = np.clip(pilot.sample(obs) + self._noise.draw(), -1.0, 1.0).astype(np.float32)
        stepped, _, ended, infos = self._envs.step(self._scales.real_actions(unit))
        self._obs = np.asarray(stepped)
        following = self._obs.copy()
        for lane in np.flatnonzero(ended):
            following[lane] = infos[lane]["terminal_observation"]
        self._elapsed += 1
        self.longest = max(self.longest, int(self._elapsed.max()))
        if ended.any():
            self._begin(ended)
        return obs, unit, following, ended

    def _begin(self, lanes: NDArray[np.bool_]) -> None:
        assert self._obs is not None
        self.starts = torch.cat([self.starts, torch.from_numpy(self._obs[lanes].astype(np.float32))])
        self._elapsed[lanes] = 0
        self._noise.reset(lanes)
