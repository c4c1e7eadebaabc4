"""Child processes of the server: forked from a process that has imported what they need and holds nothing else."""

from __future__ import annotations

import multiprocessing
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any

_PRELOAD = ["pandas", "tlbench.leaderboard.server.inspection"]  # pyarrow imports pandas when it packs a table
_STARTING = threading.Lock()


def start_child(function: Callable[..., None], *arguments: Any) -> tuple[BaseProcess, Connection]:
    """Start a function of a module with one end of a connection and the arguments; gives the other end."""
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context: Any = multiprocessing.get_context(method)
    ours, theirs = context.Pipe()
    child = context.Process(target=function, args=(theirs, *arguments), daemon=True)
    with _STARTING:
        if method == "forkserver":
            context.set_forkserver_preload(_PRELOAD)
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")  # children have no use for it: it would be imported in each
        try:
            child.start()
        finally:
            sys.modules["__main__"] = main
    theirs.close()
    return child, ours
