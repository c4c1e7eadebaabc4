"""What surrounds every request: headers of answers, the rest of refused bodies, and a deadline for request heads."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

HEAD_SECONDS = 10.0
"""How long a client may take for a request's head."""
_DRAIN_SECONDS = 5.0


class Armour:
    """Adds the headers, and reads what the client is still sending before it is answered.

    A client that writes to a closed connection may never see the answer.

    Args:
        app: What is inside.
        drain: Most bytes that are read and thrown away.
    """

    def __init__(self, app: ASGIApp, drain: int) -> None:
        self._app = app
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(scope, receive)

        async def outwards(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-cache")
                await body.drain(self._drain)
            await send(message)

        await self._app(scope, body.receive, outwards)


class _Body:
    def __init__(self, scope: Scope, receive: Receive) -> None:
        names = {name for name, _ in scope["headers"]}
        self._receive = receive
        self._done = not names & {b"content-length", b"transfer-encoding"}
        self._waits = b"expect" in names  # such a client sends nothing before it is asked to

    async def receive(self) -> Message:
        message = await self._receive()
        self._done |= message["type"] == "http.disconnect" or not message.get("more_body", False)
        return message

    async def drain(self, limit: int) -> None:
        if self._done or self._waits:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_SECONDS):
                while not self._done and limit > 0:
                    limit -= len((await self.receive()).get("body", b""))


class Punctual(H11Protocol):
    """uvicorn's HTTP, but a connection on which no complete request head arrives is closed after some seconds."""

    def connection_made(self, transport: Any) -> None:
        """A client is there."""
        super().connection_made(transport)
        self._expect_head(None)

    def on_response_complete(self) -> None:
        """A request was answered: the next may come."""
        answered = self.cycle
        super().on_response_complete()
        self._expect_head(answered)

    def _expect_head(self, last: object) -> None:
        self.loop.call_later(HEAD_SECONDS, lambda: self.transport.abort() if self.cycle is last else None)
