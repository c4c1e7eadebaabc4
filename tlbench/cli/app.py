"""The Typer application: finds the commands in this folder."""

from __future__ import annotations

import functools
import importlib
import os
import pkgutil
import sys
from collections.abc import Callable
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


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """The command, with a user's mistake as one line and Ctrl-C as a promise that nothing is lost."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
            sys.stdout.flush()
        except TlbenchError as error:
            print(f"error: {error}", file=sys.stderr)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            print("stopped: finished runs are kept; the same command goes on from there", file=sys.stderr)
            raise typer.Exit(130) from None
        except BrokenPipeError:  # the reader of a pipe went away: nothing to say, nobody to say it to
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(141) from None

    return run


for _info in pkgutil.iter_modules(folder.__path__):
    _module = importlib.import_module(f"{folder.__name__}.{_info.name}")
    app.command(name=_info.name)(guarded(_module.command))
