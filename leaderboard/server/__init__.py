"""The leaderboard's server: takes submissions and verifications from holders of tokens, and serves the site."""

from __future__ import annotations

from importlib.util import find_spec

from tlbench.protocol.errors import TlbenchError


def need_extra() -> None:
    """Check that what the server is made of is installed.

    Raises:
        TlbenchError: If it is not.
    """
    if any(find_spec(name) is None for name in ("fastapi", "uvicorn", "sqlalchemy", "argon2")):
        raise TlbenchError("the server needs more than tlbench itself: pip install 'tlbench[server]'")
