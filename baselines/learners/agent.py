"""Agents around SB3 models: roles, loading, freezing, training to the budget's end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from tlbench.baselines.learners.policies import LeanPolicy
from tlbench.baselines.learners.roles import check_finite, copied, load_roles
from tlbench.protocol.errors import BudgetExhausted
from tlbench.protocol.interface import Array, BudgetedTask, Interface, Params, Policy

Model = TypeVar("Model", bound=BaseAlgorithm)


def build_model(cls: type[Model], interface: Interface, n_envs: int, **kwargs: Any) -> Model:
    """Build an SB3 model from spaces alone, before there is an environment.

    It takes the way SB3's own ``load`` takes. Seeding Python's, NumPy's and torch's global generators is part of
    it, as with every SB3 model; nothing after it draws from them.

    Args:
        cls: The algorithm.
        interface: Spaces and discount.
        n_envs: Lanes it will be trained on.
        **kwargs: Arguments of the algorithm.
    """
    model = cls(env=None, gamma=interface.discount, _init_setup_model=False, **kwargs)  # type: ignore[call-arg]
    model.observation_space = interface.observation_space
    model.action_space = interface.action_space
    model.n_envs = n_envs
    model._setup_model()
    return model


def parameters_by_role(policy: LeanPolicy) -> Params:
    """The live parameters by role: policy body, head, ``log_std``, then the value network, each by depth."""
    roles: Params = {}
    for prefix, linears in (("", policy.actor_linears()), ("value.", policy.critic_linears())):
        names = [f"{prefix}body.{i}" for i in range(len(linears) - 1)] + [f"{prefix}head"]
        for name, linear in zip(names, linears, strict=bool(linears)):
            roles[f"{name}.weight"], roles[f"{name}.bias"] = linear.weight, linear.bias
        if not prefix and not policy.discrete:
            roles["log_std"] = policy.log_std
    return roles


class _Freezable(Protocol):
    """A network's policy that can be copied for evaluation."""

    def freeze(self) -> Policy:
        """A deterministic copy."""


class LivePolicy:
    """An agent's current policy, acting deterministically.

    Args:
        policy: The SB3 policy that goes on learning.
    """

    def __init__(self, policy: _Freezable) -> None:
        self._policy = policy

    def act(self, obs: Array, state: Any, first: NDArray[np.bool_]) -> tuple[Array, Any]:
        """Act with the present parameters, as their frozen copy does."""
        return self.frozen().act(obs, state, first)

    def frozen(self) -> Policy:
        """A copy that learning does not change; copies of small MLPs can be stacked."""
        return self._policy.freeze()


class Divergence(BaseCallback):
    """Raises ``DivergedError`` before a rollout is collected with parameters that are not finite.

    Args:
        agent: The agent that is trained.
    """

    def __init__(self, agent: ModelAgent) -> None:
        super().__init__()
        self._agent = agent

    def _on_rollout_start(self) -> None:
        self._agent.check_finite()

    def _on_step(self) -> bool:
        return True


class ModelAgent(ABC):
    """Wraps an SB3 model.

    Args:
        model: The model, built for the task's spaces.
        policy: The model's policy.
        roles: The live parameters by role.
    """

    gradient_steps: int

    def __init__(self, model: BaseAlgorithm, policy: _Freezable, roles: Params) -> None:
        self.model: Any = model
        self.policy = LivePolicy(policy)
        self._roles = roles

    def train(self, task: BudgetedTask) -> None:
        """Publish the policy and learn until the budget ends.

        Raises:
            DivergedError: If a parameter is no longer finite after an update.
        """
        task.publish(self.policy)
        try:
            self.model.set_env(self._prepare(task.envs(self.model.n_envs)))
            self.model.learn(max(task.budget - task.spent, 1), callback=self._watch(task), log_interval=None)
        except BudgetExhausted:
            pass
        self.check_finite()

    def params(self) -> Params:
        """A copy of all parameters by role, on the CPU."""
        return copied(self._roles)

    def load(self, params: Params, frozen: Sequence[str] = ()) -> None:
        """Set parameters by role and fix which are frozen; the optimiser starts afresh, without moments.

        A frozen parameter requires no gradient, so that the optimiser skips it altogether: no step, no moments, no
        share in a gradient norm. The roles that are frozen are those of the last call.

        Args:
            params: New values for some or all roles.
            frozen: Roles that are not trained, whether in ``params`` or not.

        Raises:
            KeyError: If a role is unknown.
            ValueError: If a shape differs.
        """
        load_roles(self._roles, params, frozen)
        self._renew()

    def check_finite(self) -> None:
        """Raise ``DivergedError`` if a parameter is not finite."""
        check_finite(self._roles, self.gradient_steps)

    def _prepare(self, envs: VecEnv) -> VecEnv:
        """The lanes as the model is to see them."""
        return envs

    def _watch(self, task: BudgetedTask) -> BaseCallback:
        """What is called while the model learns."""
        del task
        return Divergence(self)

    @abstractmethod
    def _renew(self) -> None:
        """Make a new optimiser, and whatever else follows from parameters that were set."""


class OnPolicyAgent(ModelAgent):
    """Wraps an SB3 on-policy model whose policy is a :class:`LeanPolicy`.

    Args:
        model: The model, built for the task's spaces.
        scale_rewards: Whether rewards are divided by the running standard deviation of returns in training (SB3's
            ``VecNormalize``); the statistics belong to one call of :meth:`train`.
    """

    def __init__(self, model: OnPolicyAlgorithm, scale_rewards: bool = False) -> None:
        assert isinstance(model.policy, LeanPolicy)
        super().__init__(model, model.policy, parameters_by_role(model.policy))
        self.gradient_steps = 0
        self._scale_rewards = scale_rewards
        self._net = model.policy
        self._count_steps()

    def _prepare(self, envs: VecEnv) -> VecEnv:
        return VecNormalize(envs, norm_obs=False, gamma=self.model.gamma) if self._scale_rewards else envs

    def _renew(self) -> None:
        net = self._net
        net.optimizer = net.optimizer_class(net.parameters(), lr=self.model.lr_schedule(1), **net.optimizer_kwargs)  # type: ignore[call-arg]
        self._count_steps()

    def _count_steps(self) -> None:
        def count(*_: Any) -> None:
            self.gradient_steps += 1

        self._net.optimizer.register_step_post_hook(count)
