"""Models for MuJoCo: made without its warnings, with scaled masses, joint damping and gravity, or without torque."""

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import mujoco


def scale_dynamics(
    model: mujoco.MjModel, data: mujoco.MjData, mass_scale: float, damping_scale: float, gravity_scale: float
) -> None:
    """Scale a model in place; with factors of 1 it is left as it is, bit for bit.

    Args:
        model: The model.
        data: Its data, used to recompute what follows from masses.
        mass_scale: Factor on every body's mass and inertia.
        damping_scale: Factor on every joint's damping.
        gravity_scale: Factor on gravity.

    Raises:
        ValueError: If a factor is not a positive, finite number.
    """
    factors = {"mass_scale": mass_scale, "damping_scale": damping_scale, "gravity_scale": gravity_scale}
    for name, factor in factors.items():
        if not (math.isfinite(factor) and factor > 0):
            raise ValueError(f"{name} must be a positive number, got {factor}")
    if mass_scale != 1:
        model.body_mass[:] *= mass_scale
        model.body_inertia[:] *= mass_scale
        mujoco.mj_setConst(model, data)
    if damping_scale != 1:
        model.dof_damping[:] *= damping_scale
    if gravity_scale != 1:
        model.opt.gravity[:] *= gravity_scale


@contextmanager
def no_deprecations() -> Iterator[None]:
    """Keep MuJoCo from telling users, on the terminal and in a log file, what is deprecated in Gymnasium's models."""
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda message: None if "deprecated" in message else print(message, file=sys.stderr))
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(before)


def cripple(model: mujoco.MjModel, actuators: Sequence[int]) -> None:
    """Take these actuators' torque away, in place: whatever the action, they do nothing."""
    for actuator in actuators:
        model.actuator_gear[actuator] = 0.0
