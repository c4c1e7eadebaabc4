"""The command line: one file per command; a user's mistake is one line and a non-zero exit status."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line."""
    from tlbench.cli.app import app
    from tlbench.protocol.errors import TlbenchError

    try:
        app()
    except TlbenchError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("stopped: finished runs are kept; the same command goes on from there", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)
