"""The base of MuJoCo environments, on `mujoco.batch`."""

from abc import abstractmethod
from typing import Any, ClassVar

import mujoco
import numpy as np
from gymnasium.envs.mujoco import MujocoEnv
from gymnasium.spaces import Box
from mujoco.batch import Batch
from numpy.typing import NDArray

from tlbench.tasks.environments.batched import BatchedEnv, Floats, Lanes, Transition

NO_STAGE = mujoco.mjtStage.mjSTAGE_NONE.value


class BatchedMujocoEnv(BatchedEnv):
    """Lanes that are simulations of one MuJoCo batch.

    Frozen lanes are not simulated. `self._batch.bind(...)` gives the fields that a subclass reads; as in Gymnasium,
    derived fields such as positions of sites are those before the last substep.

    A subclass implements `_draw_starts` (deviations of qpos and qvel from the model's, side by side), `_observe` and
    `_outcome`; `_remember` too, where a reward compares the state with the one before the step, and `_derive`, where
    something is read that stepping leaves out.

    Attributes:
        threads: Threads that physics is stepped on, with equal results. One: evaluations take a process per core.
    """

    threads: ClassVar[int] = 1

    def __init__(self, num_envs: int, single: MujocoEnv, *, persistent: bool = False, **kwargs: Any) -> None:
        """Set up the lanes.

        Args:
            num_envs: The number of lanes.
            single: Gymnasium's environment, which gives the model, the spaces, the frame skip and the initial pose.
            persistent: Whether each lane keeps all of its data, so that `_derive` can read it; costs memory.
            **kwargs: Handed to `BatchedEnv`.
        """
        assert isinstance(single.action_space, Box)
        assert isinstance(single.observation_space, Box)
        super().__init__(num_envs, single.observation_space, single.action_space, **kwargs)
        self._frame_skip = single.frame_skip
        self._initial_qpos = single.init_qpos
        self._initial_qvel = single.init_qvel
        self._batch = Batch(single.model, num_envs, nthread=self.threads, persistent=persistent)
        self._qpos: Floats = self._batch.bind("qpos")
        self._qvel: Floats = self._batch.bind("qvel")
        self._ctrl: Floats = self._batch.bind("ctrl")
        self._ids: Lanes | None = None

    def _begin(self, lanes: Lanes, starts: Floats) -> NDArray[Any]:
        nq = len(self._initial_qpos)
        self._batch.reset(lanes, stage=NO_STAGE)
        self._qpos[lanes] = self._initial_qpos + starts[:, :nq]
        self._qvel[lanes] = self._initial_qvel + starts[:, nq:]
        self._batch.forward(lanes)
        return self._observe(lanes)

    def _select(self, lanes: Lanes | None) -> None:
        self._ids = lanes

    def _advance(self, actions: NDArray[Any]) -> Transition:
        lanes = slice(None) if self._ids is None else self._ids
        self._ctrl[lanes] = actions
        self._remember(lanes, actions)
        self._batch.step(self._ids, self._frame_skip)
        self._derive(lanes)
        observations = self._observe(lanes)
        rewards, terminations = self._outcome(lanes, observations)
        return observations, rewards, terminations

    def _remember(self, lanes: Lanes | slice, actions: NDArray[Any]) -> None:
        """Keep what `_outcome` needs of these lanes' state before the step, and of the actions."""

    def _derive(self, lanes: Lanes | slice) -> None:
        """Compute what stepping leaves out, after a step of these lanes."""

    @abstractmethod
    def _observe(self, lanes: Lanes | slice) -> Floats:
        """The observations of these lanes, a new array."""

    @abstractmethod
    def _outcome(self, lanes: Lanes | slice, observations: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """The rewards and terminations of these lanes after a step that led to these observations, new arrays."""


def draw_uniform_and_normal(generator: np.random.Generator, count: int, nq: int, nv: int, scale: float) -> Floats:
    """Start states [count, nq + nv] in Gymnasium's order: positions uniform within ±scale, velocities normal."""
    starts = np.empty((count, nq + nv))
    for start in starts:
        start[:nq] = generator.uniform(-scale, scale, nq)
        start[nq:] = scale * generator.standard_normal(nv)
    return starts
