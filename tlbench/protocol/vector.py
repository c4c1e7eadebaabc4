"""From Gymnasium's VectorEnv to SB3's VecEnv: one thin adapter, and the views a suite may put over a task."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn

from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.specs import ObservationMap, TaskSpec

if TYPE_CHECKING:
    Wrapper = VectorWrapper[Any, Any, Any]
else:
    Wrapper = VectorWrapper  # generic only in later versions of Gymnasium

READABLE_ATTRIBUTES = frozenset({"render_mode"})
"""Attributes of the inner environments that may be read through the adapter."""


class NoDiscretisationError(ValueError):
    """Discrete actions are wanted of a task with continuous ones, and the suite gives no discretisation."""


class VectorEnvAdapter(VecEnv):
    """A Gymnasium ``VectorEnv`` as an SB3 ``VecEnv``.

    Same-step and disabled autoreset are accepted. Next-step autoreset is refused: it inserts a step with reward 0 and
    an ignored action after each episode, which SB3's buffers would take for data.

    ``infos`` is one shared list of one shared empty dict as long as no lane finishes; a finished lane gets a dict with
    ``terminal_observation`` and ``TimeLimit.truncated``. Don't write into them.

    Args:
        venv: The vector environment.

    Raises:
        ValueError: If ``venv`` resets on the next step.
    """

    def __init__(self, venv: VectorEnv[Any, Any, Any]) -> None:
        mode = venv.metadata.get("autoreset_mode")
        if mode not in (AutoresetMode.SAME_STEP, AutoresetMode.DISABLED):
            raise ValueError(
                f"autoreset mode {mode} is not supported: build the vector environment with same-step autoreset"
            )
        self._venv = venv
        self._manual_reset = mode is AutoresetMode.DISABLED
        self._seed: list[int] | None = None
        self._actions: NDArray[Any] = np.empty(0)
        self._no_infos: list[dict[str, Any]] = [{}] * venv.num_envs
        super().__init__(venv.num_envs, venv.single_observation_space, venv.single_action_space)

    def seed_lanes(self, seeds: Sequence[int]) -> None:
        """Seed each lane at the next reset."""
        self._seed = list(seeds)

    def reset(self) -> Any:
        """Reset all lanes."""
        seed: Any = self._seed  # one per lane: Gymnasium's vector environments take lists too
        self._seed = None
        obs, _ = self._venv.reset(seed=seed)
        return obs

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keep the actions for :meth:`step_wait`."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Step all lanes."""
        obs, rewards, terminated, truncated, infos = self._venv.step(self._actions)
        dones = terminated | truncated
        if not dones.any():
            return obs, rewards, dones, self._no_infos
        final = obs if self._manual_reset else infos["final_obs"]
        lane_infos: list[dict[str, Any]] = list(self._no_infos)
        for lane in np.flatnonzero(dones):
            cut = bool(truncated[lane] and not terminated[lane])
            lane_infos[lane] = {"terminal_observation": np.array(final[lane]), "TimeLimit.truncated": cut}
        if self._manual_reset:
            obs, _ = self._venv.reset(options={"reset_mask": dones})
        return obs, rewards, dones, lane_infos

    def close(self) -> None:
        """Close the vector environment."""
        self._venv.close()

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Ignored: the harness seeds the lanes, equally for a method and its control."""
        del seed
        return [None] * self.num_envs

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Read one of the few attributes that may be read.

        Raises:
            AttributeError: For any other attribute.
        """
        self._allow(attr_name)
        return [getattr(self._venv, attr_name, None)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Refused.

        Raises:
            AttributeError: Always.
        """
        del value, indices
        raise AttributeError(f"{attr_name} of a benchmark environment can't be set")

    def env_method(self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any) -> list[Any]:
        """Only SB3's ``get_wrapper_attr`` of a readable attribute is answered.

        Raises:
            AttributeError: For any other method.
        """
        if method_name == "get_wrapper_attr" and len(args) == 1 and not kwargs:
            return self.get_attr(args[0], indices)
        raise AttributeError(f"{method_name} of a benchmark environment can't be called")

    def env_is_wrapped(self, wrapper_class: type[Any], indices: VecEnvIndices = None) -> list[bool]:
        """Lanes carry no Gymnasium wrappers."""
        del wrapper_class
        return [False] * len(list(self._get_indices(indices)))

    def _allow(self, name: str) -> None:
        if name not in READABLE_ATTRIBUTES:
            raise AttributeError(f"{name} of a benchmark environment can't be read")


class IdleLanes(VectorEnv[Any, Any, Any]):
    """Single environments side by side without autoreset: a lane whose episode has ended idles until it is reset.

    Gymnasium's own vectorisations refuse a step while a lane has ended; evaluation needs lanes that wait.

    Args:
        envs: The environments, one per lane.
    """

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012

    def __init__(self, envs: Sequence[gymnasium.Env[Any, Any]]) -> None:
        self._envs = list(envs)
        self.num_envs = len(self._envs)
        self.single_observation_space = self._envs[0].observation_space
        self.single_action_space = self._envs[0].action_space
        self.observation_space = gymnasium.vector.utils.batch_space(self.single_observation_space, self.num_envs)
        self.action_space = gymnasium.vector.utils.batch_space(self.single_action_space, self.num_envs)
        self._obs: list[Any] = [None] * self.num_envs
        self._ended = np.zeros((2, self.num_envs), dtype=np.bool_)

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """Reset all lanes, or those of ``options["reset_mask"]``, with one seed per lane."""
        mask = (options or {}).get("reset_mask", np.ones(self.num_envs, dtype=np.bool_))
        seeds = seed if seed is not None else [None] * self.num_envs
        for lane in np.flatnonzero(mask):
            self._obs[lane], _ = self._envs[lane].reset(seed=seeds[lane])
        self._ended[:, mask] = False
        return np.stack(self._obs), {}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step the lanes whose episode has not ended."""
        rewards = np.zeros(self.num_envs)
        for lane in np.flatnonzero(~self._ended.any(axis=0)):
            obs, reward, terminated, truncated, _ = self._envs[lane].step(actions[lane])
            self._obs[lane], rewards[lane], self._ended[:, lane] = obs, float(reward), (terminated, truncated)
        terminations, truncations = self._ended.copy()
        return np.stack(self._obs), rewards, terminations, truncations, {}

    def close_extras(self, **kwargs: Any) -> None:
        """Close the lanes."""
        del kwargs
        for env in self._envs:
            env.close()


class DiscreteActions(Wrapper):
    """Shows a continuous action space as the suite's frozen list of actions.

    Args:
        env: A vector environment with a Box action space.
        actions: The actions that can be chosen, ``[n, d]``.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], actions: Sequence[Sequence[float]]) -> None:
        super().__init__(env)
        self._table = np.array(actions, dtype=env.single_action_space.dtype)
        self.single_action_space = spaces.Discrete(len(self._table))
        self.action_space = spaces.MultiDiscrete([len(self._table)] * env.num_envs)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step with the chosen actions."""
        return self.env.step(self._table[np.asarray(actions)])


class MappedObservations(Wrapper):
    """Reorders and flips the entries of a 1-D observation.

    Args:
        env: A vector environment with a 1-D Box observation space.
        mapping: The signed selection of entries.

    Raises:
        TlbenchError: If the observation is not 1-D or has fewer entries.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], mapping: ObservationMap) -> None:
        super().__init__(env)
        space = env.single_observation_space
        if not isinstance(space, spaces.Box) or len(space.shape) != 1 or max(mapping.indices) >= space.shape[0]:
            raise TlbenchError(f"observation_map does not fit the observation space {space}")
        self._indices = np.array(mapping.indices)
        self._signs = np.array(mapping.signs or [1] * len(mapping.indices), dtype=space.dtype)
        low, high = space.low[self._indices] * self._signs, space.high[self._indices] * self._signs
        dtype: Any = space.dtype
        self.single_observation_space = spaces.Box(np.minimum(low, high), np.maximum(low, high), dtype=dtype)
        self.observation_space = gymnasium.vector.utils.batch_space(self.single_observation_space, env.num_envs)

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """Reset, mapped."""
        obs, infos = self.env.reset(seed=seed, options=options)
        return self._map(obs), infos

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step, mapped; final observations too."""
        obs, rewards, terminated, truncated, infos = self.env.step(actions)
        if "final_obs" in infos:
            final = [None if row is None else self._map(np.asarray(row)) for row in infos["final_obs"]]
            infos = {**infos, "final_obs": final}
        return self._map(obs), rewards, terminated, truncated, infos

    def _map(self, obs: NDArray[Any]) -> NDArray[Any]:
        mapped: NDArray[Any] = obs[..., self._indices] * self._signs
        return mapped


def _base_lanes(task: TaskSpec, n: int, mode: AutoresetMode) -> VectorEnv[Any, Any, Any]:
    options: dict[str, Any] = dict(task.options)
    if _has_own_vector(task.environment):
        return gymnasium.make_vec(
            task.environment, n, vectorization_mode="vector_entry_point", autoreset_mode=mode, **options
        )
    if mode is AutoresetMode.DISABLED:
        return IdleLanes([gymnasium.make(task.environment, **options) for _ in range(n)])
    return gymnasium.make_vec(
        task.environment, n, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode}, **options
    )


def environment_spec(environment: str) -> EnvSpec:
    """Gymnasium's entry for an id; of ``module:Name-v0`` the module is imported first, so that it registers it.

    Raises:
        gymnasium.error.Error: If there is no such environment.
        ImportError: If there is no such module.
    """
    module, _, name = environment.rpartition(":")
    if module:
        importlib.import_module(module)
    return gymnasium.spec(name)


@cache
def _has_own_vector(environment: str) -> bool:
    """Whether it has a vector environment that takes an autoreset mode (Gymnasium's CartPole has one that doesn't)."""
    entry = environment_spec(environment).vector_entry_point
    if entry is None:
        return False
    creator: Any = gymnasium.envs.registration.load_env_creator(entry) if isinstance(entry, str) else entry
    parameters = inspect.signature(creator).parameters
    return "autoreset_mode" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def open_lanes(
    task: TaskSpec, n: int, autoreset: Literal["same_step", "disabled"], discrete: bool = False
) -> VectorEnv[Any, Any, Any]:
    """Open ``n`` lanes of a task's environment, with the suite's views over it.

    Args:
        task: The task.
        n: Lanes.
        autoreset: Same-step for training, disabled for evaluation (one episode per lane).
        discrete: Show continuous actions through the suite's discretisation.

    Raises:
        TlbenchError: If there is no such environment or it doesn't take the suite's options or observation map.
        NoDiscretisationError: If the discretisation is wanted and the suite has none.
    """
    mode = AutoresetMode.SAME_STEP if autoreset == "same_step" else AutoresetMode.DISABLED
    try:
        env = _base_lanes(task, n, mode)
    except (gymnasium.error.Error, ImportError, TypeError, ValueError) as error:
        raise cannot_be_built(task, error) from error
    if task.observation_map is not None:
        env = MappedObservations(env, task.observation_map)
    if discrete and isinstance(env.single_action_space, spaces.Box):
        if task.discrete_actions is None:
            raise NoDiscretisationError(
                f"{task.environment} has continuous actions and the suite gives no discretisation"
            )
        env = DiscreteActions(env, task.discrete_actions)
    return env


def cannot_be_built(task: TaskSpec, error: Exception) -> TlbenchError:
    """What is said of an environment, or lifetimes, that raised this when they were built.

    A ``TypeError`` or ``ValueError`` is put down to the options that the task gives, if it gives any.
    """
    options = ", ".join(f"{name} = {value!r}" for name, value in task.options.items())
    given = f" with the task's options ({options})" if options and isinstance(error, TypeError | ValueError) else ""
    problem = str(error).partition("\n")[0]
    return TlbenchError(f"the suite's environment {task.environment} can't be built{given}: {problem}")
