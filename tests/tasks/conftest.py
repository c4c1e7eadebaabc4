"""Parametrises `env_id` over the environments that importing the package registers."""

from collections.abc import Iterator

import gymnasium
import pytest

import tlbench.tasks.environments  # noqa: F401
from tlbench.tasks.environments.mujoco_dynamics import no_deprecations


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "env_id" in metafunc.fixturenames:
        specs = gymnasium.registry.values()
        metafunc.parametrize("env_id", sorted(spec.id for spec in specs if spec.namespace == "tlbench"))


@pytest.fixture(autouse=True)
def quiet_models() -> Iterator[None]:
    """Gymnasium's own environments make MuJoCo tell what is deprecated in them, and write it to a file."""
    with no_deprecations():
        yield
