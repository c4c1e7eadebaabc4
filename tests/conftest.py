"""Shared fixtures: a suite small enough that an evaluation takes a second or two, and methods written to files."""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as in tlbench's workers; NumPy reads it when it is imported

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tlbench.protocol.discovery import import_environments
from tlbench.protocol.specs import SuiteSpec, parse_suite

TINY = """
schema_version = 1
name = "tiny"
version = 1
title = "Tiny"
description = "For tests."
seeds = 3
smoothing_window = 3
quick = ["self"]

[tasks.cartpole]
environment = "tlbench/CartPole-v1"
discount = 0.99
random_return = 22.0
expert_return = 500.0
threshold = 475.0
max_return = 500.0
wall_limit = 600.0
source = { budget = 2400, points = 4, episodes = 2 }
target = { budget = 2400, points = 5, episodes = 3 }

[tasks.negated]
environment = "tlbench/CartPole-v1"
options = { observation_sign = -1 }
discount = 0.99
random_return = 22.0
expert_return = 500.0
threshold = 475.0
wall_limit = 600.0
target = { budget = 2400, points = 5, episodes = 3 }

[tasks.pendulum]
environment = "tlbench/Pendulum-v1"
discrete_actions = [[-2.0], [0.0], [2.0]]
discount = 0.95
random_return = -1200.0
expert_return = -150.0
threshold = -200.0
wall_limit = 600.0
target = { budget = 3200, points = 3, episodes = 2 }

[transfers.self]
sources = ["cartpole"]
targets = ["cartpole"]
relation = "self"

[transfers.inversion]
sources = ["cartpole"]
targets = ["negated"]
relation = "visual-inversion"

[transfers.far]
sources = ["cartpole"]
targets = ["pendulum"]
relation = "far"
scored = false
"""

PLUGIN = """
import os, sys, threading, time
import gymnasium, numpy as np, torch
import tlbench
from tlbench import BudgetExhausted, Knowledge
from tlbench.protocol.errors import DivergedError, TlbenchError
from tlbench.protocol.interface import learn_from_scratch
from tlbench.protocol.starting_point import carried


class Constant:
    def __init__(self, action, repeat=True):
        self.action = action

    def act(self, obs, state, first):
        return np.array([self.action] * len(first)), state

    def frozen(self):
        return self


class Plugin(tlbench.StartingPointMethod):
    id = "plugin"
    learners = ("vpg",)
"""


@pytest.fixture(autouse=True, scope="session")
def _environments() -> None:
    import_environments()
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_text() -> str:
    """The tiny suite's TOML."""
    return TINY


@pytest.fixture(scope="session")
def plugin_head() -> str:
    """The start of a method file: imports, and a class ``Plugin`` that waits for its body."""
    return PLUGIN


@pytest.fixture(scope="session")
def tiny() -> SuiteSpec:
    """The tiny suite."""
    return parse_suite(TINY, "tiny.toml")


@pytest.fixture
def tiny_file(tmp_path: Path) -> str:
    """A file with the tiny suite."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return str(path)


@pytest.fixture
def vary(tiny_text: str) -> Callable[..., SuiteSpec]:
    """Makes suites that differ from the tiny one by replacements in its text."""

    def make(*replacements: tuple[str, str], extra: str = "") -> SuiteSpec:
        text = tiny_text
        for old, new in replacements:
            assert old in text, old
            text = text.replace(old, new)
        return parse_suite(text + textwrap.dedent(extra), "varied.toml")

    return make


@pytest.fixture
def write_method(tmp_path: Path) -> Callable[..., str]:
    """Writes a method file from the body of a class ``Plugin``, a starting-point method on VPG."""

    def write(body: str, name: str = "plugin.py", head: str = PLUGIN) -> str:
        path = tmp_path / name
        path.write_text(head + textwrap.indent(textwrap.dedent(body), "    "))
        return str(path)

    return write
