"""The oracle: one policy that is given the task's parameters, trained on all sources jointly.

The reference of MAML (Finn et al. 2017, section 5.3) and of model-based multi-task learning. It is told what every
other method has to find out, and its records say so (``reads`` has ``context``). The suite gives the parameters as the
task's context; they are appended to the observation. It has the sources' whole budget and no experts; on the target it
starts with what it learned, so that its first point is what knowing the task is worth, and goes on learning.

Where the sources give no parameters, or not the same ones, it abstains: the run is the control's. What the documents
leave open, and was chosen: parameters are taken as the suite gives them, not normalised, in the order of their names;
sources have equally many lanes in every rollout; the last parameters of the networks are carried.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from tlbench.baselines.joint_training import train_jointly
from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.in_front import TaskInFront
from tlbench.protocol.interface import (
    Array,
    BudgetedTask,
    Context,
    Expert,
    Interface,
    JSONValue,
    Knowledge,
    Method,
    Policy,
    StackablePolicy,
    training_facts,
)
from tlbench.protocol.starting_point import carried, carried_share


def with_context(obs: Array, context: Array) -> Array:
    """Observations ``[..., d]`` with the parameters ``[k]`` appended: ``[..., d + k]``."""
    return np.concatenate([obs, np.broadcast_to(context, (*obs.shape[:-1], len(context)))], axis=-1, dtype=obs.dtype)


class InformedPolicy:
    """A policy that is given a task's parameters with every observation.

    Args:
        policy: The policy, on observations with parameters.
        context: The parameters, ``[k]``.
    """

    def __init__(self, policy: Policy, context: Array) -> None:
        self._policy = policy
        self._context = context

    def act(self, obs: Array, state: Any, first: NDArray[np.bool_]) -> tuple[Array, Any]:
        """Act on ``[lanes, d]``, or on ``[S, lanes, d]`` if stacked."""
        return self._policy.act(with_context(np.asarray(obs), self._context), state, first)

    def frozen(self) -> InformedPolicy:
        """A copy that learning does not change; it can be stacked if the policy can."""
        policy = self._policy.frozen()
        kind = StackableInformedPolicy if isinstance(policy, StackablePolicy) else InformedPolicy
        return kind(policy, self._context)


class StackableInformedPolicy(InformedPolicy):
    """The same for a policy that can be stacked."""

    @classmethod
    def stack(cls, policies: Sequence[Self]) -> InformedPolicy:
        """Stack policies of one task."""
        inner: Any = [policy._policy for policy in policies]
        return InformedPolicy(type(inner[0]).stack(inner), policies[0]._context)


class InformedLanes(VecEnvWrapper):
    """Lanes whose observations end with the task's parameters.

    Args:
        venv: The lanes.
        space: Space of the observations with parameters.
        context: The parameters, ``[k]``.
    """

    def __init__(self, venv: VecEnv, space: spaces.Box, context: Array) -> None:
        super().__init__(venv, observation_space=space)
        self._context = context

    def reset(self) -> Any:
        """Reset all lanes."""
        obs: Any = self.venv.reset()
        return with_context(obs, self._context)

    def step_wait(self) -> VecEnvStepReturn:
        """Step all lanes."""
        obs, rewards, dones, infos = self.venv.step_wait()
        if dones.any():
            infos = [self._info(info) for info in infos]
        return with_context(np.asarray(obs), self._context), rewards, dones, infos

    def _info(self, info: dict[str, Any]) -> dict[str, Any]:
        last = "terminal_observation"
        return {**info, last: with_context(info[last], self._context)} if last in info else info


class InformedTask(TaskInFront[BudgetedTask]):
    """A task whose observations end with its parameters, in the order of their names; the task's meter counts.

    Args:
        task: The task; its observations are a 1-D Box.
    """

    def __init__(self, task: BudgetedTask) -> None:
        super().__init__(task)
        inner = task.interface
        space = inner.observation_space
        assert isinstance(space, spaces.Box)
        self._context = np.array([inner.context[name] for name in sorted(inner.context)], space.dtype)
        low = np.append(space.low, np.full_like(self._context, -np.inf))
        high = np.append(space.high, np.full_like(self._context, np.inf))
        self._space = spaces.Box(low, high, dtype=space.dtype.type)
        self._informed = Interface(self._space, inner.action_space, inner.discount)

    @property
    def interface(self) -> Interface:
        """The task's, with larger observations; its functions, which take the smaller ones, are left out."""
        return self._informed

    def publish(self, policy: Policy) -> None:
        """Name the policy; the task evaluates it with its parameters."""
        self._task.publish(InformedPolicy(policy, self._context))

    def envs(self, n: int) -> VecEnv:
        """Open ``n`` lanes."""
        return InformedLanes(self._task.envs(n), self._space, self._context)

    def samples(self, batch: int) -> Any:
        """Refused: the oracle steps environments."""
        raise TlbenchError("oracle-multitask needs environments to step, not offline samples")

    def episodes(self, n: int) -> Any:
        """Refused: the oracle steps environments."""
        raise TlbenchError("oracle-multitask needs environments to step, not supervised lifetimes")


class OracleMultitask(Method):
    """Starts from one policy for all sources that is given the task's parameters (the oracle), and goes on training."""

    id = "oracle-multitask-{learner}"
    variants: ClassVar[dict[str, dict[str, JSONValue]]] = {"oracle-multitask-{learner}": {}}
    aliases: ClassVar[Mapping[str, str]] = {"oracle-multitask": "oracle-multitask-trpo"}
    learners = ("trpo", "ppo")
    experts = 0

    def unsupported(self, interface: Interface) -> str | None:
        """Only 1-D Boxes of floats can have parameters appended."""
        space = interface.observation_space
        if isinstance(space, spaces.Box) and len(space.shape) == 1 and space.dtype.kind == "f":
            return None
        return f"needs a 1-D Box of float observations, to append parameters to, not {space}"

    def learn_source(
        self, sources: Sequence[BudgetedTask], experts: Sequence[Expert], ctx: Context
    ) -> Knowledge | None:
        """Train on all sources, with their parameters; abstain where there are none."""
        del experts
        names = [sorted(source.interface.context) for source in sources]
        if not names[0] or any(other != names[0] for other in names):
            return None
        agent = train_jointly([InformedTask(source) for source in sources], ctx)
        data: dict[str, JSONValue] = {"parameters": [*names[0]]}
        return Knowledge(agent.params(), data, {"source_gradient_steps": agent.gradient_steps})

    def learn_target(self, target: BudgetedTask, knowledge: Knowledge | None, ctx: Context) -> None:
        """Load what was learned and go on training, with the target's parameters."""
        assert knowledge is not None, "a run without knowledge is the control's"
        given, wanted = sorted(target.interface.context), knowledge.data["parameters"]
        if given != wanted:
            raise TlbenchError(f"the suite gives the parameters {given} of the target and {wanted} of its sources")
        informed = InformedTask(target)
        agent = ctx.build(informed.interface)
        fresh = agent.params()
        start = carried(knowledge.tensors, fresh)
        agent.load(start)
        ctx.diagnostics["carried_share"] = carried_share(start, fresh)
        agent.train(informed)
        ctx.diagnostics |= training_facts(agent)
