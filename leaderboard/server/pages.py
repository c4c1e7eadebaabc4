"""Serves the newest site."""

from __future__ import annotations

from pathlib import Path

from starlette.responses import PlainTextResponse
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from tlbench.leaderboard.server.publishing import Publisher

_NOT_YET = "The leaderboard's pages are being built: try again in a minute. The interface for programs is /api/v1.\n"


class Pages:
    """An ASGI application for the files of the site that was built last.

    Args:
        publisher: Says where it is.
    """

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._folder: Path | None = None
        self._files: StaticFiles | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        folder = self._publisher.pages
        if folder is None:
            answer = PlainTextResponse(_NOT_YET, 503, {"Retry-After": "10"})
            await answer(scope, receive, send)
            return
        if folder != self._folder or self._files is None:
            self._folder, self._files = folder, StaticFiles(directory=folder, html=True)
        await self._files(scope, receive, send)
