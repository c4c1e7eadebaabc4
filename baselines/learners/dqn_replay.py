"""Replay buffers of DQN: SB3's with a generator of its own, and one that keeps each image once, on the device."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.buffers import BaseBuffer, ReplayBuffer
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize

from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.interface import Array


class SeededReplayBuffer(ReplayBuffer):
    """SB3's replay buffer: minibatches from its own generator, cheap adding over many lanes."""

    rng = np.random.default_rng()

    def add(
        self, obs: Array, next_obs: Array, action: Array, reward: Array, done: NDArray[Any], infos: list[dict[str, Any]]
    ) -> None:
        """Add one transition per lane; see SB3."""
        row = self.pos
        self.observations[row] = obs
        self.next_observations[row] = next_obs
        self.actions[row, :, 0] = action
        self.rewards[row] = reward
        self.dones[row] = done
        self.timeouts[row] = 0
        for lane in np.flatnonzero(done):
            self.timeouts[row, lane] = infos[lane].get("TimeLimit.truncated", False)
        self.pos = (row + 1) % self.buffer_size
        self.full = self.full or self.pos == 0

    def draw(self, *shape: int) -> NDArray[np.int64]:
        """Numbers of stored transitions, uniform with replacement, of this shape."""
        stored = self.buffer_size if self.full else self.pos
        return self.rng.integers(stored * self.n_envs, size=shape)

    def arrays(self, chosen: NDArray[np.int64]) -> tuple[Array, ...]:
        """Transitions by number: observations, actions, rewards, next observations, terminated (1 or 0)."""
        flat = [
            column.reshape(self.buffer_size * self.n_envs, *column.shape[2:])
            for column in (self.observations, self.actions[..., 0], self.rewards, self.next_observations)
        ]
        ended = self.dones.reshape(-1)[chosen] * (1 - self.timeouts.reshape(-1)[chosen])
        return (*(column[chosen] for column in flat), ended)

    def sample(self, batch_size: int, env: VecNormalize | None = None) -> ReplayBufferSamples:
        """A minibatch as SB3's."""
        assert env is None
        obs, actions, rewards, next_obs, ended = self.arrays(self.draw(batch_size))
        columns = (obs, actions[:, None], next_obs, ended[:, None], rewards[:, None])
        return ReplayBufferSamples(*(self.to_torch(column) for column in columns))


class FrameReplayBuffer(BaseBuffer):
    """Replay of stacked images that keeps every frame once, on the learner's device.

    A stack of k frames shares k - 1 of them with the next, so a transition costs one frame instead of 2 k: Nature's
    million transitions of four 84 x 84 frames take 8 GB instead of 56. Minibatches equal what was added, bit for bit.
    A lane's frames are a ring of their own: an episode's first stack is written whole, its last observation too. A step
    may bring several frames (an Atari game that presses FIRE after a lost life brings two).
    Room for that is an eighth of the transitions; where episodes are so short that it isn't enough, the oldest
    transitions are dropped earlier.

    Args:
        buffer_size: Transitions over all lanes.
        observation_space: Images, channels first.
        action_space: Discrete.
        device: Where frames are kept.
        n_envs: Lanes.
        optimize_memory_usage: Ignored; SB3 passes it.
        frames: Frames in an observation, the newest last; 1 if observations don't overlap.
    """

    rng = np.random.default_rng()

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Box,
        action_space: spaces.Space[Any],
        device: torch.device | str = "auto",
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
        frames: int = 1,
    ) -> None:
        del optimize_memory_usage
        super().__init__(max(buffer_size // n_envs, 1), observation_space, action_space, device, n_envs)
        channels, *sides = observation_space.shape
        self._stack, self._channels = frames, channels // frames
        self._room = self.buffer_size + self.buffer_size // 8 + 2 * frames + 2
        self._shape = (self._room, n_envs, self._channels, *sides)
        self._frames: torch.Tensor | None = None  # gigabytes: not before they are needed
        shape = (self.buffer_size, n_envs)
        self.starts, self.shifts, self.actions = (np.zeros(shape, dtype=np.int64) for _ in range(3))
        self.rewards, self.ended = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        super().reset()
        self._added = 0  # vector steps so far; row r of them lies at r % buffer_size
        self._oldest = 0
        self._written = np.zeros(self.n_envs, dtype=np.int64)  # frames so far, per lane
        self._fresh = np.ones(self.n_envs, dtype=np.bool_)

    def add(
        self, obs: Array, next_obs: Array, action: Array, reward: Array, done: NDArray[Any], infos: list[dict[str, Any]]
    ) -> None:
        """Add one transition per lane; see SB3.

        Raises:
            TlbenchError: If observations are not the stacks that they are said to be.
        """
        shape = (self.n_envs, self._stack, self._channels, *obs.shape[2:])
        stacks, following = obs.reshape(shape), next_obs.reshape(shape)
        if self._frames is None:
            dtype = torch.from_numpy(np.zeros(0, obs.dtype)).dtype
            self._frames = torch.zeros(self._shape, dtype=dtype, device=self.device)
        shifts = np.array([shift_of(before, after) for before, after in zip(stacks, following, strict=True)])
        if self._fresh.any():
            lanes = np.flatnonzero(self._fresh)
            for position in range(self._stack):
                self._write(lanes, stacks[lanes, position])
        row = self._added % self.buffer_size
        self.starts[row], self.shifts[row] = self._written - self._stack, shifts
        self.actions[row], self.rewards[row] = action, reward
        for age in range(int(shifts.max()), 0, -1):
            lanes = np.flatnonzero(shifts >= age)
            self._write(lanes, following[lanes, -age])
        self._fresh = np.array(done, dtype=np.bool_)
        self.ended[row] = done
        for lane in np.flatnonzero(done):
            self.ended[row, lane] = not infos[lane].get("TimeLimit.truncated", False)
        self._added += 1
        self.pos, self.full = self._added % self.buffer_size, self._added >= self.buffer_size
        self._oldest = max(self._oldest, self._added - self.buffer_size)
        while (self.starts[self._oldest % self.buffer_size] < self._written - self._room).any():
            self._oldest += 1

    def sample(self, batch_size: int, env: VecNormalize | None = None) -> ReplayBufferSamples:
        """A minibatch as SB3's, uniform with replacement."""
        assert env is None
        rows = self.rng.integers(self._oldest, self._added, size=batch_size) % self.buffer_size
        return self._get_samples(rows)

    def _get_samples(self, batch_inds: NDArray[np.int64], env: VecNormalize | None = None) -> ReplayBufferSamples:
        del env
        lanes = self.rng.integers(self.n_envs, size=len(batch_inds))
        before = self.starts[batch_inds, lanes][:, None] + np.arange(self._stack)
        wanted = np.stack((before, before + self.shifts[batch_inds, lanes][:, None])) % self._room
        index = self._moved(np.stack((wanted, np.broadcast_to(lanes[:, None], wanted.shape))))
        assert self._frames is not None
        obs, next_obs = self._frames[index[0], index[1]].flatten(2, 3)
        facts = (column[batch_inds, lanes][:, None] for column in (self.actions, self.ended, self.rewards))
        actions, ended, rewards = (self._moved(column) for column in facts)
        return ReplayBufferSamples(obs, actions, next_obs, ended, rewards)

    def _write(self, lanes: NDArray[np.int64], frames: Array) -> None:
        index = self._moved(np.stack((self._written[lanes] % self._room, lanes)))
        assert self._frames is not None
        self._frames[index[0], index[1]] = self._moved(np.ascontiguousarray(frames))
        self._written[lanes] += 1

    def _moved(self, array: Array) -> torch.Tensor:
        """On the device, without waiting for what it is busy with."""
        tensor = torch.from_numpy(array)
        if self.device.type != "cuda":
            return tensor.to(self.device)
        return tensor.pin_memory().to(self.device, non_blocking=True)


def shift_of(before: Array, after: Array) -> int:
    """How many new frames the stack ``after`` has, ``[frames, ...]`` each; the fewest if it could be several.

    Raises:
        TlbenchError: If they have no frame in common, so that they are no stacks.
    """
    for shift in range(1, max(2, len(before))):
        if np.array_equal(before[shift:], after[: len(after) - shift]):
            return shift
    raise TlbenchError("observations are no stacks of frames, newest last: --set learner.stacked_frames=false")
