"""Parametrises `env_id` over the environments that importing the package registers."""

import gymnasium
import pytest

import tlbench.tasks.environments  # noqa: F401


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "env_id" in metafunc.fixturenames:
        specs = gymnasium.registry.values()
        metafunc.parametrize("env_id", sorted(spec.id for spec in specs if spec.namespace == "tlbench"))
