"""Parametrises `env_id` over the environments that importing the package registers."""

from collections.abc import Iterator

import gymnasium
import pytest

import tlbench.tasks.environments  # noqa: F401
from tlbench.tasks.environments.mujoco_dynamics import no_deprecations

ELSEWHERE = {"tlbench/Atari-v1"}
"""Emulated, so too slow for as many lanes: atari/."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "env_id" in metafunc.fixturenames:
        ids = {spec.id for spec in gymnasium.registry.values() if spec.namespace == "tlbench"} - ELSEWHERE
        metafunc.parametrize("env_id", sorted(ids))


@pytest.fixture(autouse=True)
def quiet_models() -> Iterator[None]:
    """Gymnasium's own environments make MuJoCo tell what is deprecated in them, and write it to a file."""
    with no_deprecations():
        yield
