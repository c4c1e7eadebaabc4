"""Training one agent on several sources at once: their lanes side by side, each counted by its own task."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn

from tlbench.baselines.common_interface import common_interface
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.interface import Agent, BudgetedTask, Context, Interface, Policy, Unit


class JointLanes(VecEnv):
    """Lanes of several tasks as one ``VecEnv``, task after task.

    Args:
        parts: Lanes of each task, of equal spaces.
    """

    def __init__(self, parts: Sequence[VecEnv]) -> None:
        self._parts = list(parts)
        self._ends = np.cumsum([0, *(part.num_envs for part in parts)]).tolist()
        super().__init__(self._ends[-1], parts[0].observation_space, parts[0].action_space)

    def reset(self) -> Any:
        """Reset all lanes."""
        return np.concatenate([part.reset() for part in self._parts])

    def step_async(self, actions: NDArray[Any]) -> None:
        """Hand each task its lanes' actions."""
        for part, (start, end) in zip(self._parts, pairwise(self._ends), strict=True):
            part.step_async(actions[start:end])

    def step_wait(self) -> VecEnvStepReturn:
        """Step all lanes."""
        obs, rewards, dones, infos = zip(*(part.step_wait() for part in self._parts), strict=True)
        joined = [info for part in infos for info in part]
        return np.concatenate(obs), np.concatenate(rewards), np.concatenate(dones), joined

    def close(self) -> None:
        """Close all lanes."""
        for part in self._parts:
            part.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """As the first task answers."""
        return self._parts[0].get_attr(attr_name, 0) * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Refused, as by the tasks' lanes."""
        self._parts[0].set_attr(attr_name, value, indices)

    def env_method(self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any) -> list[Any]:
        """As the first task answers."""
        answer = self._parts[0].env_method(method_name, *args, indices=0, **kwargs)
        return answer * len(list(self._get_indices(indices)))

    def env_is_wrapped(self, wrapper_class: type[Any], indices: VecEnvIndices = None) -> list[bool]:
        """Whether each lane is wrapped."""
        return [False] * len(list(self._get_indices(indices)))


class JointTask:
    """Several tasks as one: an agent that trains on it sees as many lanes of each.

    Its budget is theirs together. It ends when the first of them ends, which all do at once where budgets are equal.

    Args:
        tasks: The tasks, of equal spaces and discounts.
    """

    def __init__(self, tasks: Sequence[BudgetedTask]) -> None:
        self._tasks = list(tasks)

    @property
    def interface(self) -> Interface:
        """Spaces and discount; nothing of what tells the tasks apart."""
        first = self._tasks[0].interface
        return Interface(first.observation_space, first.action_space, first.discount)

    @property
    def unit(self) -> Unit:
        """What the budgets count."""
        return self._tasks[0].unit

    @property
    def budget(self) -> int:
        """Units in all."""
        return sum(task.budget for task in self._tasks)

    @property
    def spent(self) -> int:
        """Units used so far."""
        return sum(task.spent for task in self._tasks)

    def publish(self, policy: Policy) -> None:
        """Name the policy on every task."""
        for task in self._tasks:
            task.publish(policy)

    def envs(self, n: int) -> VecEnv:
        """Open ``n`` lanes, as many of each task.

        Raises:
            TlbenchError: If the lanes can't be shared out evenly.
        """
        each, rest = divmod(n, len(self._tasks))
        if rest or not each:
            raise TlbenchError(f"{n} lanes can't be shared out evenly among {len(self._tasks)} tasks")
        return JointLanes([task.envs(each) for task in self._tasks])

    def samples(self, batch: int) -> Any:
        """Refused: joint training steps environments."""
        raise TlbenchError("joint training needs sources with environments to step, not offline samples")

    def episodes(self, n: int) -> Any:
        """Refused: joint training steps environments."""
        raise TlbenchError("joint training needs sources with environments to step, not supervised lifetimes")


def train_jointly(sources: Sequence[BudgetedTask], ctx: Context) -> Agent:
    """Train a fresh agent on all sources at once, with their whole budgets.

    The agent's lanes are as many as its configuration says, or the next multiple of the number of sources, so that
    every source has the same share.

    Where training diverges there is nothing to carry over: no evaluation on the sources keeps an earlier policy, and
    the last finite parameters are those that led there. Methods let ``DivergedError`` through, and abstain.

    Args:
        sources: The sources.
        ctx: The learner, whose configuration has ``n_envs``, and the seed.

    Raises:
        TlbenchError: If the sources' spaces, discounts or units differ.
        DivergedError: If training diverged.
    """
    common_interface(sources)
    assert isinstance(ctx.learner_config, BaseModel)
    lanes = -(-ctx.learner_config.n_envs // len(sources)) * len(sources)  # type: ignore[attr-defined]
    joint = JointTask(sources)
    agent = ctx.build(joint.interface, ctx.learner_config.model_copy(update={"n_envs": lanes}))
    agent.train(joint)
    return agent
