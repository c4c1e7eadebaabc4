"""The Typer application: finds the commands in this folder."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Annotated

import typer

import tlbench.cli.commands as folder

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


for _info in pkgutil.iter_modules(folder.__path__):
    _module = importlib.import_module(f"{folder.__name__}.{_info.name}")
    app.command(name=_info.name)(_module.command)
