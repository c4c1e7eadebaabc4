"""Fast vectorised environments, one family per file.

Importing this package imports every module in it, and a module registers its ids with Gymnasium when imported:

    import gymnasium
    import tlbench.tasks.environments

    envs = gymnasium.make_vec("tlbench/CartPole-v1", num_envs=16)
"""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
