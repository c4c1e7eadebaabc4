"""A target's course on models, whether these were carried there or begin with it; and which targets can have one."""

from __future__ import annotations

from typing import cast

from gymnasium import spaces

from tlbench.baselines.learners.agent import ModelAgent
from tlbench.baselines.model_based.course import Course
from tlbench.baselines.model_based.shared import SharedModels
from tlbench.protocol.interface import BudgetedTask, Context, Interface


def learn_on_models(target: BudgetedTask, shared: SharedModels, ctx: Context, warm_up_updates: int = 0) -> None:
    """Warm a fresh policy up where there are models, then collect, fit and train in turn.

    Args:
        target: The target.
        shared: The models, fitted or fresh.
        ctx: Builds the policy, and takes the diagnostics.
        warm_up_updates: Policy updates before the first sample.

    Raises:
        DivergedError: If a model's or the policy's parameters are no longer finite.
    """
    course = Course(target, shared, ctx.learner_config, lambda *args: cast(ModelAgent, ctx.build(*args)))
    course.warm_up(warm_up_updates)
    if shared.ready:
        ctx.diagnostics["predicted_return_at_0"] = course.imagine().mean_return
    try:
        course.alternate(shared.config.target_stages)
    finally:
        ctx.diagnostics["model_errors"] = list(course.errors)
        ctx.diagnostics["model_updates"] = shared.fitter.updates
        ctx.diagnostics["policy_updates"] = course.pilot.updates
        ctx.diagnostics["gradient_steps"] = course.pilot.agent.gradient_steps + shared.fitter.updates


def unsupported_by_models(interface: Interface) -> str | None:
    """Why a task can't be learned on learned dynamics, or ``None`` if it can."""
    obs, action = interface.observation_space, interface.action_space
    if not isinstance(obs, spaces.Box) or len(obs.shape) != 1:
        return f"needs a 1-D Box of observations to learn their dynamics, not {obs}"
    if not isinstance(action, spaces.Box) or len(action.shape) != 1 or not action.is_bounded():
        return f"needs a bounded 1-D Box of actions, not {action}"
    if interface.reward is None or interface.terminated is None:
        return "needs a reward and a termination that are known as functions of a transition"
    return None
