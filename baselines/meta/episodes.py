"""Episodes played with given parameters, and their advantages over a linear baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from tlbench.baselines.learners.networks import Float32
from tlbench.baselines.meta.policy import FunctionalPolicy
from tlbench.protocol.interface import Array, BudgetedTask

RIDGE = 1e-5
Float64 = NDArray[np.float64]


class Batch(NamedTuple):
    """Steps of one task ``[N, ...]``, or of several ``[M, N, ...]``.

    Attributes:
        obs: ``[N, in]``.
        actions: ``[N]`` or ``[N, d]``, as drawn.
        advantages: ``[N]``, of mean 0 and standard deviation 1.
        weights: ``[N]``, each step's share in the mean over the task's steps; 0 where a step only fills up.
    """

    obs: torch.Tensor
    actions: torch.Tensor
    advantages: torch.Tensor
    weights: torch.Tensor


@dataclass(frozen=True)
class Episodes:
    """One episode per lane.

    Attributes:
        obs: ``[T, lanes, in]``.
        actions: ``[T, lanes]`` or ``[T, lanes, d]``, as drawn.
        rewards: ``[T, lanes]``, 0 from the episode's end on.
        valid: ``[T, lanes]``, whether the step belongs to the episode.
    """

    obs: Float32
    actions: Array
    rewards: Float64
    valid: NDArray[np.bool_]

    @property
    def mean_return(self) -> float:
        """Mean undiscounted return."""
        return float(self.rewards.sum(axis=0).mean())

    def batch(self, discount: float, device: str = "cpu") -> Batch:
        """The steps with their advantages."""
        rows = int(self.valid.sum())
        values = advantages(self, discount).astype(np.float32)
        steps = (self.obs[self.valid], self.actions[self.valid], values, np.full(rows, 1 / rows, np.float32))
        return Batch(*(torch.from_numpy(column).to(device) for column in steps))


class Player:
    """Plays a task with given parameters: each lane one episode from its start, all with the same parameters.

    Lanes that end early wait, that is, they are stepped on and what they do is not used, until the last one ends: the
    first episode of every lane is an unbiased sample, all episodes finished by some time would favour short ones.
    Where all lanes end together, the next episodes begin without a reset.

    Args:
        task: The metered task.
        policy: The policy.
        lanes: Episodes played at once.
        rng: Generator of the actions drawn.
    """

    def __init__(self, task: BudgetedTask, policy: FunctionalPolicy, lanes: int, rng: np.random.Generator) -> None:
        self.discount = task.interface.discount
        self._policy = policy
        self._envs = task.envs(lanes)
        self._rng = rng
        self._obs: Any = None

    def play(self, theta: torch.Tensor) -> Episodes:
        """Play one episode per lane.

        Raises:
            BudgetExhausted: If the budget ends before the last episode does.
            DivergedError: If an action is not finite.
        """
        obs = self._envs.reset() if self._obs is None else self._obs
        self._obs = None
        sampler = self._policy.sampler(theta)
        alive = np.ones(self._envs.num_envs, dtype=np.bool_)
        seen, taken, rewards, valid = [], [], [], []
        while alive.any():
            x = np.array(obs, dtype=np.float32).reshape(len(alive), -1)
            actions = sampler.draw(x, self._rng)
            obs, reward, dones, _ = self._envs.step(self._policy.to_environment(actions))
            seen.append(x)
            taken.append(actions)
            rewards.append(np.where(alive, reward, 0.0))
            valid.append(alive.copy())
            alive &= ~dones
        if dones.all():
            self._obs = obs
        return Episodes(np.stack(seen), np.stack(taken), np.stack(rewards).astype(np.float64), np.stack(valid))


def advantages(episodes: Episodes, discount: float) -> Float64:
    """Discounted rewards-to-go over a linear baseline that is fitted to them, shifted and scaled.

    The baseline is that of Duan et al. (2016), Benchmarking Deep RL for Continuous Control: least squares on the
    observation, its square, and time to the powers 0 to 3.

    Args:
        episodes: The episodes.
        discount: The discount per step.

    Returns:
        ``[N]`` for the valid steps, of mean 0 and standard deviation 1 (0 if the baseline explains all).
    """
    to_go, running = np.empty_like(episodes.rewards), np.zeros(episodes.rewards.shape[1])
    for t in reversed(range(len(to_go))):
        running = episodes.rewards[t] + discount * running
        to_go[t] = running
    targets, inputs = to_go[episodes.valid], features(episodes)[episodes.valid]
    gram = inputs.T @ inputs + RIDGE * np.eye(inputs.shape[1])
    left = targets - inputs @ np.linalg.solve(gram, inputs.T @ targets)
    return np.asarray((left - left.mean()) / (left.std() + 1e-8), dtype=np.float64)


def features(episodes: Episodes) -> Float64:
    """The baseline's inputs ``[T, lanes, 2 in + 4]``."""
    obs = np.clip(episodes.obs.astype(np.float64), -10, 10)
    time = np.broadcast_to(np.arange(len(obs))[:, None, None] / 100.0, (*obs.shape[:2], 1))
    return np.concatenate([obs, obs**2, time, time**2, time**3, np.ones_like(time)], axis=2)


def stacked(batches: Sequence[Batch]) -> Batch:
    """Batches of M tasks as one, shorter ones filled up with steps of weight 0."""
    columns = (torch.nn.utils.rnn.pad_sequence(list(column), batch_first=True) for column in zip(*batches, strict=True))
    return Batch(*columns)
