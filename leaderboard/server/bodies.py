"""Reads the body of a request: its stated size is checked first, its true size and the time meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.requests import ClientDisconnect, Request

from tlbench.leaderboard.server.errors import Refused

FOLDER = "uploads"
CHUNK_SECONDS = 20.0
"""How long a client may be silent."""
BODY_SECONDS = 300.0
"""How long a whole body may take."""
_DIGITS = 12


def stated_size(request: Request, limit: int) -> int:
    """The size that a request says its body has.

    Raises:
        Refused: If it doesn't say, or says too much.
    """
    text = request.headers.get("content-length", "")
    if "transfer-encoding" in request.headers or not text:
        raise Refused(411, "state the body's size: a Content-Length is needed, and no Transfer-Encoding")
    if not (text.isascii() and text.isdecimal()) or len(text) > _DIGITS or int(text) > limit:
        raise Refused(413, f"the body is too large: at most {limit:,} bytes are allowed")
    return int(text)


async def body_chunks(request: Request, limit: int) -> AsyncIterator[bytes]:
    """A body, piece by piece.

    Raises:
        Refused: If it is too large, ends too early, or comes too slowly.
    """
    size = stated_size(request, limit)
    stream = request.stream()
    received = 0
    end = asyncio.get_running_loop().time() + BODY_SECONDS
    while True:
        left = end - asyncio.get_running_loop().time()
        try:
            chunk = await asyncio.wait_for(anext(stream, None), min(CHUNK_SECONDS, max(left, 0.0)))
        except TimeoutError:
            raise Refused(408, "the body came too slowly") from None
        except ClientDisconnect:
            raise Refused(400, "the connection ended before the body did") from None
        if chunk is None:
            break
        received += len(chunk)
        if received > size:
            raise Refused(400, "the body is larger than its Content-Length says")
        yield chunk
    if received != size:
        raise Refused(400, "the body is smaller than its Content-Length says")


async def small_body(request: Request, limit: int) -> bytes:
    """A body in memory.

    Raises:
        Refused: As above.
    """
    return b"".join([chunk async for chunk in body_chunks(request, limit)])


@contextlib.asynccontextmanager
async def body_in_file(request: Request, limit: int, folder: Path) -> AsyncIterator[Path]:
    """A body in a file that is gone afterwards.

    Raises:
        Refused: As above.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        async for chunk in body_chunks(request, limit):
            file.write(chunk)
        file.flush()
        yield Path(file.name)
