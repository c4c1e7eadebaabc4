"""The command line: one file per command; a user's mistake is one line and a non-zero exit status."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line."""
    try:
        from tlbench.cli.app import app

        app()
    except KeyboardInterrupt:  # before the command began; commands answer for themselves
        sys.exit(130)
