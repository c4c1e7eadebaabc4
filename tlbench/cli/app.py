"""The Typer application: finds the commands in this folder."""

from __future__ import annotations

import functools
import importlib
import os
import pkgutil
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Annotated, Any

import typer

import tlbench.cli.commands as folder
from tlbench.protocol.errors import TlbenchError

app = typer.Typer(
    name="tlbench",
    help="Benchmark suite and leaderboard for transfer learning in deep reinforcement learning.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from tlbench import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")] = False,
) -> None:
    del version


def guarded(command: Callable[..., None], interrupted: str) -> Callable[..., None]:
    """The command, with a user's mistake as one line, and one line after Ctrl-C."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
            sys.stdout.flush()
        except TlbenchError as error:
            print(f"error: {error}", file=sys.stderr)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            print(interrupted, file=sys.stderr)
            raise typer.Exit(130) from None
        except BrokenPipeError:  # the reader of a pipe went away: nothing to say, nobody to say it to
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(141) from None

    return run


def _register(group: typer.Typer, package: ModuleType) -> None:
    """Add the commands of a folder; a folder in it is a group of commands (``tlbench leaderboard show``)."""
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        if info.ispkg:
            below = typer.Typer(help=module.__doc__, no_args_is_help=True)
            _register(below, module)
            group.add_typer(below, name=info.name)
        else:
            group.command(name=info.name)(guarded(module.command, getattr(module, "INTERRUPTED", "stopped")))


_register(app, folder)
