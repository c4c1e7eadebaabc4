"""The application: routes, pages, and one line of JSON for whatever goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import shutil
from collections.abc import AsyncIterator, Mapping

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from tlbench.leaderboard.archive import MAX_BUNDLE
from tlbench.leaderboard.board import Board
from tlbench.leaderboard.server.api import routes
from tlbench.leaderboard.server.armour import Armour
from tlbench.leaderboard.server.bodies import FOLDER
from tlbench.leaderboard.server.database import Database
from tlbench.leaderboard.server.errors import Refused
from tlbench.leaderboard.server.pages import Pages
from tlbench.leaderboard.server.publishing import Build, build_pages
from tlbench.leaderboard.server.service import Limits, Service
from tlbench.leaderboard.strictjson import plain
from tlbench.protocol.errors import StorageError
from tlbench.protocol.specs import SuiteSpec

_LOG = logging.getLogger("tlbench.server")


def create_app(
    board: Board,
    suites: Mapping[str, SuiteSpec],
    database: Database,
    limits: Limits | None = None,
    build: Build = build_pages,
) -> FastAPI:
    """The server as an ASGI application. Run it in one process: rates and the queue live in memory.

    Args:
        board: The board.
        suites: The suites that are known, by id.
        database: Tokens and the log.
        limits: How much is taken.
        build: What builds the site; it runs in another process, so it is a function of a module.
    """
    service = Service(board, suites, database, limits or Limits(), build)

    @contextlib.asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        shutil.rmtree(board.folder / FOLDER, ignore_errors=True)
        settled = await asyncio.to_thread(service.intake.settle)
        if settled:
            _LOG.warning("%d unfinished submissions or verifications were settled after a crash", settled)
        service.publisher.request()
        publishing = asyncio.create_task(service.publisher.run())
        try:
            yield
        finally:
            publishing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await publishing

    app = FastAPI(title="tlbench leaderboard", version="1", lifespan=life, docs_url=None, redoc_url=None)
    app.include_router(routes(service))
    app.mount("/", Pages(service.publisher))
    app.add_middleware(Armour, drain=MAX_BUNDLE)
    _answer_errors(app)
    return app


def _answer_errors(app: FastAPI) -> None:
    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> JSONResponse:
        return JSONResponse({"error": plain(error.message, 700)}, error.status, error.headers)

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": plain(error.detail)}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return JSONResponse({"error": plain(f"{where}: {first['msg']}")}, 422)

    @app.exception_handler(StorageError)
    @app.exception_handler(SQLAlchemyError)
    async def unavailable(_: Request, error: Exception) -> JSONResponse:
        number = secrets.token_hex(4)
        _LOG.error("problem %s: %s", number, plain(error, 1000))
        line = f"the leaderboard can't be written at present, nothing is lost: try again later (problem {number})"
        return JSONResponse({"error": line}, 503, {"Retry-After": "30"})

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> JSONResponse:
        number = secrets.token_hex(4)
        _LOG.error("problem %s", number, exc_info=error)
        return JSONResponse({"error": f"the server made a mistake; its maintainer finds it as {number}"}, 500)
