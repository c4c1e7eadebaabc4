"""maml: a start from which one policy gradient step on a new task goes far.

Documents: Finn, Abbeel & Levine (2017), "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks", section
3.2 and algorithm 3; the review of model-based multi-task learning compares its method with it.

In words: from the present start, every source task is played; a policy gradient step on its episodes gives a policy
of its own, which plays the task too. The start then moves so that the policies *after* the step earn more: one step of
TRPO (conjugate gradient, line search) on their mean surrogate return, differentiated through the step, within a bound
on how far the adapted policies' action distributions move. On the target the start is published as it is (the point at
0 %) and the same policy gradient step follows on every batch of episodes until the budget ends. The document's few-step
evaluation is thus the beginning of the curve: the k-th step comes after k batches of ``episodes`` episodes or more.

The common source budget is far below the document's, which has 20 trajectories per task and step, 40 tasks per
meta-step and 500 to 800 meta-steps. Here all sources are in every meta-step, with as many lanes each, and
meta-learning ends with the first source that can't pay for another whole round of them, after as many meta-steps as the
diagnostics say: a last step on some of the sources would pull the start towards these. ``episodes`` is 10 by default,
not 20, for more meta-steps from the same budget.

As in the document: a Gaussian policy of two ReLU layers of 100 with a log standard deviation that does not depend on
the state; a linear baseline on observation and time, fitted to each task's episodes at each step; rewards-to-go that
stop where a time limit cuts; no critic. ``first_order`` leaves out the derivative of the inner step.

What it leaves open, and what was chosen:

- Second derivatives are those of ``torch.func``: the adapted policies of all tasks are one function of the start, under
  ``vmap``, so that meta-gradient and Hessian-vector products are exact, one computation each, and can be held against
  finite differences. learn2learn adapts clones of modules task by task, and would add a dependency for that loop.
- How the start changes the episodes that adaptation sees is not differentiated, as in the document's own computation
  (its bias was shown by later work).
- Advantages are shifted to mean 0 and scaled to standard deviation 1 per task and batch, so that one step size serves
  tasks of different rewards. Actions are learned on a scale on which their bounds are -1 and 1, and clipped there.
- A batch goes on until every lane has ended an episode; lanes that end early begin another, whose steps are used as
  well (version 2; in version 1 they were paid for and left out).
- Glorot initialisation, damping 0.01, and one inner rate, 0.1, for all families (the document has 0.5 for point goals:
  ``--set inner_rate=0.5``).
- Discrete actions: a softmax in the Gaussian's place.
- On the target the step size stays what it was on the sources. Plain gradient steps don't settle: late points of a
  curve scatter. ``target_steps`` ends learning after so many steps; what is left of the budget is then not used.
- Where the target's observations or actions differ from the sources', the roles that fit are carried.

The control is the method itself without knowledge: the same steps from a random start, which is a weak learner. So the
gain is what meta-learning the start was worth, and nothing else; whether MAML is better than another learner is told
by the scores, which don't depend on the control.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from tlbench.baselines.common_interface import common_interface
from tlbench.baselines.learners.networks import Activation, FrozenMLP
from tlbench.baselines.learners.policies import unsupported_spaces
from tlbench.baselines.meta.adaptation import InnerLoop, MetaObjective
from tlbench.baselines.meta.episodes import Batch, Player, stacked
from tlbench.baselines.meta.policy import FunctionalPolicy
from tlbench.baselines.meta.trpo import Step, trust_region_step
from tlbench.protocol.errors import BudgetExhausted, TlbenchError
from tlbench.protocol.interface import (
    Array,
    BudgetedTask,
    Config,
    Context,
    Expert,
    Interface,
    JSONValue,
    Knowledge,
    Method,
)
from tlbench.protocol.starting_point import carried, carried_share


class MamlConfig(Config):
    """Settings of MAML."""

    episodes: int = Field(10, ge=1, description="Lanes per task and gradient step, of at least one episode each.")
    inner_rate: float = Field(0.1, gt=0, description="Step size of adaptation, on sources and target.")
    inner_steps: int = Field(1, ge=1, description="Gradient steps of adaptation on the sources.")
    target_steps: int | None = Field(None, ge=0, description="Gradient steps on the target; no limit if none.")
    first_order: bool = Field(False, description="Leave out the derivative of the adaptation steps.")
    max_kl: float = Field(0.01, gt=0, description="Bound on the mean KL divergence of adapted policies in a meta-step.")
    cg_iterations: int = Field(10, ge=1, description="Conjugate gradient iterations per meta-step.")
    cg_damping: float = Field(1e-2, ge=0, description="Multiple of the identity added to the KL divergence's Hessian.")
    backtracks: int = Field(15, ge=1, description="Step lengths tried in the line search.")
    hidden_sizes: tuple[int, ...] = Field((100, 100), description="Units of the hidden layers.")
    activation: Activation = Field("relu", description="Activation of the hidden layers.")
    log_std_init: float = Field(0.0, description="Initial log standard deviation of continuous actions.")


class AdaptingPolicy:
    """The current policy of an adaptation, acting deterministically.

    Args:
        policy: The policy.
        theta: Its parameters; assign new ones as they are learned.
    """

    def __init__(self, policy: FunctionalPolicy, theta: torch.Tensor) -> None:
        self._policy = policy
        self.theta = theta

    def act(self, obs: Array, state: Any, first: NDArray[np.bool_]) -> tuple[Array, Any]:
        """Act with the present parameters, as their frozen copy does."""
        return self.frozen().act(obs, state, first)

    def frozen(self) -> FrozenMLP:
        """A copy that learning does not change."""
        return self._policy.freeze(self.theta)


class Maml(Method):
    """Meta-learns a start from which a policy gradient step adapts to a task (MAML, TRPO outside)."""

    Config = MamlConfig
    id = "maml"
    version = "2"
    seconds_per_unit = 4e-5
    learners = ()
    experts = 0
    control = "self"

    def unsupported(self, interface: Interface) -> str | None:
        """Why it can't run on a target with this interface, or ``None``."""
        return unsupported_spaces(interface)

    def learn_source(
        self, sources: Sequence[BudgetedTask], experts: Sequence[Expert], ctx: Context
    ) -> Knowledge | None:
        """Meta-learn the start on all sources until one of their budgets ends.

        Raises:
            TlbenchError: If the sources' spaces differ, or can't be acted in.
            DivergedError: If an adapted policy's actions are no longer finite; the method then abstains.
        """
        del experts
        interface = common_interface(sources)
        reason = unsupported_spaces(interface)
        if reason is not None:
            raise TlbenchError(f"maml can't learn the sources: it {reason}")
        loop = self._loop(interface)
        theta = loop.policy.initial(ctx.agent_seed).to(ctx.device)
        players = []
        for source, rng in zip(sources, ctx.rng().spawn(len(sources)), strict=True):
            source.publish(AdaptingPolicy(loop.policy, theta))
            players.append(Player(source, loop.policy, self.config.episodes, rng))
        before: list[float] = []
        after: list[float] = []
        steps: list[Step] = []
        with suppress(BudgetExhausted):
            while True:
                rounds = [self._practise(loop, player, theta) for player in players]
                steps.append(self._meta_step(loop, theta, [batches for batches, _ in rounds]))
                theta = steps[-1].theta
                before.append(float(np.mean([returns[0] for _, returns in rounds])))
                after.append(float(np.mean([returns[-1] for _, returns in rounds])))
        diagnostics: dict[str, JSONValue] = {
            "meta_steps": len(steps),
            "meta_steps_taken": sum(step.accepted for step in steps),
            "meta_returns_before": list(before),
            "meta_returns_after": list(after),
        }
        tensors = {role: tensor.cpu().clone() for role, tensor in loop.policy.unpack(theta).items()}
        return Knowledge(tensors, diagnostics=diagnostics)

    def learn_target(self, target: BudgetedTask, knowledge: Knowledge | None, ctx: Context) -> None:
        """Adapt to the target, from the meta-learned start or, without knowledge, from a random one.

        Raises:
            DivergedError: If actions are no longer finite.
        """
        loop, cfg = self._loop(target.interface), self.config
        theta = loop.policy.initial(ctx.agent_seed)
        if knowledge is not None:
            fresh = loop.policy.unpack(theta)
            start = carried(knowledge.tensors, fresh)
            theta = loop.policy.pack({**fresh, **start})
            ctx.diagnostics["carried_share"] = carried_share(start, fresh)
        theta = theta.to(ctx.device)
        policy, taken = AdaptingPolicy(loop.policy, theta), 0
        target.publish(policy)
        player = Player(target, loop.policy, cfg.episodes, ctx.rng())
        with suppress(BudgetExhausted):
            while cfg.target_steps is None or taken < cfg.target_steps:
                batch = player.play(policy.theta).batch(player.discount, ctx.device)
                policy.theta = loop.step(policy.theta, batch)
                taken += 1
        ctx.diagnostics["gradient_steps"] = taken

    def _loop(self, interface: Interface) -> InnerLoop:
        cfg = self.config
        policy = FunctionalPolicy(interface, cfg.hidden_sizes, cfg.activation, cfg.log_std_init)
        return InnerLoop(policy, cfg.inner_rate, cfg.first_order)

    def _practise(self, loop: InnerLoop, player: Player, theta: torch.Tensor) -> tuple[list[Batch], list[float]]:
        """One task's batches and their mean returns, before each inner step and after the last."""
        batches: list[Batch] = []
        returns: list[float] = []
        for number in range(self.config.inner_steps + 1):
            theta = loop.step(theta, batches[-1]) if number else theta
            episodes = player.play(theta)
            batches.append(episodes.batch(player.discount, str(theta.device)))
            returns.append(episodes.mean_return)
        return batches, returns

    def _meta_step(self, loop: InnerLoop, theta: torch.Tensor, tasks: Sequence[Sequence[Batch]]) -> Step:
        cfg = self.config
        *practice, tested = [stacked(batches) for batches in zip(*tasks, strict=True)]
        objective = MetaObjective(loop, practice, tested, theta)
        return trust_region_step(objective, theta, cfg.max_kl, cfg.cg_iterations, cfg.cg_damping, cfg.backtracks)
