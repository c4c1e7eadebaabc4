"""Keeps methods from building the benchmark's environments themselves while their code runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium
from gymnasium.vector import VectorEnv

from tlbench.protocol.errors import ProtocolViolationError

_state = {"sealed": False, "installed": False}
_inner_modules = ["gymnasium.envs.", "tlbench.tasks.", "ale_py."]


def _is_inner(cls: type) -> bool:
    return any(f"{base.__module__}.".startswith(tuple(_inner_modules)) for base in cls.__mro__)


def _guarded_new(cls: type, *args: Any, **kwargs: Any) -> Any:
    del args, kwargs
    if _state["sealed"] and _is_inner(cls):
        raise ProtocolViolationError(
            f"the method built an environment of its own ({cls.__name__}): use task.envs(n), which is metered"
        )
    return object.__new__(cls)


@contextmanager
def sealed(*modules: str) -> Iterator[None]:
    """While active, constructors of the benchmark's environments raise outside :func:`unsealed`.

    A method's own environments (a learned model, say) may be built: only classes that derive from Gymnasium's,
    tlbench's or ale-py's environments, or from those of ``modules``, are refused.

    Args:
        modules: Modules of further environments of the suite.

    Raises:
        ProtocolViolationError: At the end, if the method swallowed one.
    """
    if not _state["installed"]:
        for base in (gymnasium.Env, VectorEnv):
            base.__new__ = staticmethod(_guarded_new)  # type: ignore[method-assign]
        _state["installed"] = True
    _inner_modules.extend(f"{module}." for module in modules if f"{module}." not in _inner_modules)
    before, _state["sealed"] = _state["sealed"], True
    if not before:
        ProtocolViolationError.noted.clear()
    try:
        yield
    finally:
        _state["sealed"] = before
    if ProtocolViolationError.noted:
        raise ProtocolViolationError.noted[0]


@contextmanager
def unsealed() -> Iterator[None]:
    """The harness's own way to build environments while a method's code runs."""
    before, _state["sealed"] = _state["sealed"], False
    try:
        yield
    finally:
        _state["sealed"] = before
