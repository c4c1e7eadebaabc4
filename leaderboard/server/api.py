"""The routes under ``/api/v1``."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse

from tlbench.leaderboard.archive import MAX_BUNDLE
from tlbench.leaderboard.entries import of_suite
from tlbench.leaderboard.server.bodies import FOLDER, body_in_file, small_body, stated_size
from tlbench.leaderboard.server.errors import Refused
from tlbench.leaderboard.server.publishing import RANKING
from tlbench.leaderboard.server.service import Service
from tlbench.leaderboard.server.views import (
    API,
    HealthView,
    Problem,
    SubmissionView,
    SuiteView,
    TakenView,
    VerificationView,
    submission_url,
    submission_views,
    suite_view,
    taken_view,
)
from tlbench.leaderboard.verification import MAX_DOCUMENT, Verification

_WRITE: dict[int | str, dict[str, Any]] = {
    code: {"model": Problem} for code in (400, 401, 403, 408, 411, 413, 415, 422, 429, 503)
}
_READ: dict[int | str, dict[str, Any]] = {404: {"model": Problem}}
_ZIP = {"application/zip": {"schema": {"type": "string", "format": "binary"}}}
_MOST_LISTED = 1000


def routes(service: Service) -> APIRouter:
    """All routes of a service."""
    api = APIRouter(prefix=API)
    _add_reads(api, service)
    _add_writes(api, service)
    return api


def _add_reads(api: APIRouter, service: Service) -> None:

    @api.get("/health")
    def health() -> HealthView:
        """Whether the server works: it has read the board."""
        site = "built" if service.publisher.pages else "not built yet"
        return HealthView(status="ok", submissions=len(service.board.entries()), site=site)

    @api.get("/suites")
    def suites() -> list[SuiteView]:
        """The suites that are known."""
        return [suite_view(suite) for suite in service.suites.values()]

    @api.get("/suites/{suite}/ranking", responses={**_READ, 503: {"model": Problem}}, response_class=FileResponse)
    def ranking(suite: str) -> FileResponse:
        """The ranking of a suite as of the newest site: scores, intervals, badges, the snapshot."""
        pages = service.publisher.pages
        file = pages / service.suite(suite).id / RANKING if pages else None
        if file is None or not file.is_file():
            raise Refused(503, "the ranking is being computed: try again in a minute", retry_after=10)
        return FileResponse(file, media_type="application/json")

    @api.get("/submissions")
    def submissions(
        suite: Annotated[str | None, Query(max_length=200)] = None,
        method: Annotated[str | None, Query(max_length=80)] = None,
        active: bool | None = None,
        start: Annotated[int, Query(ge=0, le=10**9)] = 0,
        limit: Annotated[int, Query(ge=1, le=_MOST_LISTED)] = 100,
    ) -> list[SubmissionView]:
        """Submissions, oldest first."""
        entries = service.board.entries()
        wanted = entries if suite is None else of_suite(entries, service.suite(suite).digest)
        wanted = [e for e in wanted if method in (None, e.metadata.method)]
        if active is None:
            return submission_views(service.board, entries, wanted[start : start + limit])
        views = submission_views(service.board, entries, wanted)
        return [view for view in views if view.active == active][start : start + limit]

    @api.get("/submissions/{submission}", responses=_READ)
    def submission(submission: str) -> SubmissionView:
        """One submission."""
        entry = service.entry(submission)
        return submission_views(service.board, service.board.entries(), [entry])[0]

    @api.get("/submissions/{submission}/bundle", responses={**_READ, 200: {"content": _ZIP}}, response_class=Response)
    def bundle(submission: str) -> Response:
        """A submission's bundle."""
        entry = service.entry(submission)
        headers = {"Content-Disposition": f'attachment; filename="{entry.short_id}.zip"'}
        return Response(service.board.bundle(entry), media_type="application/zip", headers=headers)

    @api.get("/submissions/{submission}/verifications", responses=_READ)
    def verifications(submission: str) -> list[Verification]:
        """What came out when a submission's runs were run again, oldest first."""
        return list(service.board.verifications(service.entry(submission)))


def _add_writes(api: APIRouter, service: Service) -> None:
    body = {"requestBody": {"required": True, "content": _ZIP}}

    @api.post("/submissions", status_code=201, responses={**_WRITE, 200: {"model": TakenView}}, openapi_extra=body)
    async def submit(request: Request, response: Response) -> TakenView:
        """Submit a bundle: 201 if it is new, 200 if it was there already."""
        stated_size(request, MAX_BUNDLE)
        _check_type(request, "application/zip")
        holder = await run_in_threadpool(service.holder, request)
        service.count_use(holder)
        with service.upload():
            async with body_in_file(request, MAX_BUNDLE, service.board.folder / FOLDER) as path:
                async with service.inspection():
                    found = await run_in_threadpool(service.sandbox.inspect, path)
                taken = await run_in_threadpool(service.intake.take, found, holder)
        if taken.new:
            service.publisher.request()
        response.status_code = 201 if taken.new else 200
        return taken_view(taken)

    document = {"requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}}

    @api.post(
        "/submissions/{submission}/verifications",
        status_code=201,
        responses={**_READ, **_WRITE, 200: {"model": VerificationView}},
        openapi_extra=document,
    )
    async def verify(submission: str, request: Request, response: Response) -> VerificationView:
        """Send what `tlbench verify` wrote: 201 if it is new, 200 if it was there already."""
        stated_size(request, MAX_DOCUMENT)
        _check_type(request, "application/json")
        holder = await run_in_threadpool(service.holder, request)
        service.count_use(holder)
        entry = await run_in_threadpool(service.entry, submission)
        text = await small_body(request, MAX_DOCUMENT)
        kept, new = await run_in_threadpool(service.intake.verify, entry, text, holder)
        if new:
            service.publisher.request()
        response.status_code = 201 if new else 200
        url = f"{submission_url(entry.id)}/verifications"
        return VerificationView(submission=entry.id, digest=kept.digest, kind=kept.kind, outcome=kept.outcome, url=url)


def _check_type(request: Request, wanted: str) -> None:
    found = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if found != wanted:
        raise Refused(415, f"send it as {wanted}")
