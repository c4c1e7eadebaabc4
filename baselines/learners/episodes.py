"""Storage of whole episodes over parallel lanes, and rewards-to-go."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.utils import get_device

from tlbench.baselines.learners.networks import Float32
from tlbench.protocol.interface import Array


def rewards_to_go(rewards: Sequence[float], discount: float) -> list[float]:
    """Discounted sums of the rewards from each step to the episode's end; nothing is added after it.

    Args:
        rewards: Rewards of one episode, ``[T]``.
        discount: The discount per step.

    Returns:
        ``[T]``, the sum over k >= t of ``discount ** (k - t) * rewards[k]``.
    """
    backwards = list(accumulate(reversed(rewards), lambda to_go, reward: reward + discount * to_go))
    return backwards[::-1]


class EpisodeBuffer:
    """Steps of parallel lanes, given out by whole episodes; unfinished episodes stay for the next time.

    Rows are vector steps: ``observations[row, lane]`` and so on. A row is kept as long as some lane's unfinished
    episode reaches back to it; capacity doubles when it is needed.

    Args:
        buffer_size: Rows allocated at first.
        observation_space: A 1-D Box.
        action_space: Discrete, or a 1-D Box.
        device: Where batches go.
        gae_lambda: Ignored; SB3 passes it.
        gamma: The discount.
        n_envs: Lanes.
    """

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        device: torch.device | str = "auto",
        gae_lambda: float = 1,
        gamma: float = 0.99,
        n_envs: int = 1,
    ) -> None:
        del gae_lambda
        assert observation_space.shape is not None
        assert action_space.shape is not None
        self.device = get_device(device)
        self.gamma = gamma
        self.n_envs = n_envs
        shape = (buffer_size, n_envs)
        dtype = np.int64 if isinstance(action_space, spaces.Discrete) else np.float32
        self.observations: Float32 = np.zeros((*shape, *observation_space.shape), dtype=np.float32)
        self.actions: Array = np.zeros((*shape, *action_space.shape), dtype)
        self.rewards: NDArray[np.float64] = np.zeros(shape)
        self.returns: Float32 = np.zeros(shape, dtype=np.float32)
        self.reset()

    def reset(self) -> None:
        """Forget everything, unfinished episodes too."""
        self.pos = 0
        self.finished_steps = 0
        self._starts = np.zeros(self.n_envs, dtype=np.int64)
        self._episodes: list[tuple[int, int, int]] = []

    def observe(self, obs: Array) -> Float32:
        """Begin a row with its observations ``[lanes, d]``; returns them as stored, in float32."""
        if self.pos == len(self.rewards):
            self._grow()
        row: Float32 = self.observations[self.pos]
        row[...] = obs
        return row

    def complete(self, actions: Array, rewards: Array, dones: NDArray[np.bool_]) -> None:
        """Complete the row begun by :meth:`observe`.

        Args:
            actions: As drawn, before clipping, ``[lanes]`` or ``[lanes, d]``.
            rewards: ``[lanes]``.
            dones: ``[lanes]``, true where an episode ended, by termination or time limit alike.
        """
        self.actions[self.pos] = actions
        self.rewards[self.pos] = rewards
        self.pos += 1
        if dones.any():
            for lane in dones.nonzero()[0].tolist():
                start, end = int(self._starts[lane]), self.pos
                self.returns[start:end, lane] = rewards_to_go(self.rewards[start:end, lane].tolist(), self.gamma)
                self._episodes.append((lane, start, end))
                self._starts[lane] = end
                self.finished_steps += end - start

    def take(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Give out all finished episodes and forget them.

        Returns:
            Observations ``[N, d]``, actions ``[N]`` or ``[N, d]`` and rewards-to-go ``[N]``, episodes in the order in
            which they ended.
        """
        columns = (self.observations, self.actions, self.returns)
        batch = [np.concatenate([c[start:end, lane] for lane, start, end in self._episodes]) for c in columns]
        oldest, rows = int(self._starts.min()), self.pos
        for column in (*columns, self.rewards):
            column[: rows - oldest] = column[oldest:rows]
        self.pos = rows - oldest
        self._starts -= oldest
        self._episodes = []
        self.finished_steps = 0
        obs, actions, returns = (torch.from_numpy(b).to(self.device) for b in batch)
        return obs, actions, returns

    def _grow(self) -> None:
        for name in ("observations", "actions", "rewards", "returns"):
            column = getattr(self, name)
            setattr(self, name, np.concatenate([column, np.zeros_like(column)]))
