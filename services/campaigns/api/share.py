"""The page behind a share link: open to everybody who holds a valid link, and to nobody else."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse

from services.campaigns import operations, pages
from services.campaigns.domain import is_bot
from services.campaigns.operations import Visit
from shared.clock import utc_now
from shared.edge import Desk, desk, platform
from shared.problems import NotFound, Refusal, problem_responses
from shared.signing import InvalidToken

router = APIRouter(tags=["share"])

PAGE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
}
# A link's code never changes, and the page's files change with the release.
IMAGE_HEADERS = {"Cache-Control": "private, max-age=86400", "X-Content-Type-Options": "nosniff"}
ASSET_HEADERS = {"Cache-Control": "public, max-age=3600", "X-Content-Type-Options": "nosniff"}

visit_desk: Desk[Visit, None] = Desk("visit", operations.record_visits, lambda result: b"null")


@router.get("/g/assets/{name}", include_in_schema=False)
async def read_asset(name: str) -> Response:
    """Return the page's style or script."""
    found = pages.asset(name)
    if found is None:
        raise NotFound
    return Response(found[0], media_type=found[1], headers=ASSET_HEADERS)


@router.get("/g/{token}/qr.svg", responses=problem_responses(InvalidToken), response_class=Response)
async def read_qr_svg(token: str, request: Request) -> Response:
    """Return the link as a QR code, for print."""
    operations.share_of(token)
    image = pages.qr_svg(pages.public_url(request, token))
    return Response(image, media_type="image/svg+xml", headers=IMAGE_HEADERS)


@router.get("/g/{token}/qr.png", responses=problem_responses(InvalidToken), response_class=Response)
async def read_qr_png(token: str, request: Request) -> Response:
    """Return the link as a QR code, for messages."""
    operations.share_of(token)
    image = pages.qr_png(pages.public_url(request, token))
    return Response(image, media_type="image/png", headers=IMAGE_HEADERS)


@router.head("/g/{token}", include_in_schema=False)
@router.get(
    "/g/{token}",
    response_class=HTMLResponse,
    responses={
        404: {"description": "The link is not one of ours.", "content": {"text/html": {}}},
        410: {"description": "The group is complete or has ended.", "content": {"text/html": {}}},
    },
)
async def read_page(
    token: str,
    request: Request,
    zone: Annotated[str | None, Query(description="IANA zone to show the deadline in.")] = None,
) -> HTMLResponse:
    """Show the group behind a link, with the group price, to whoever holds the link."""
    try:
        share = operations.share_of(token)
        async with platform(request).database.reading() as session:
            group = await operations.behind(session, share)
            parent_link_id = await operations.parent_of(session, share)
    except InvalidToken:
        return HTMLResponse(pages.gone_page("unknown"), status_code=404, headers=PAGE_HEADERS)
    if request.method == "GET":
        await _record(
            request,
            Visit(
                share=share,
                parent_link_id=parent_link_id,
                at=utc_now(),
                is_bot=_is_bot(request),
            ),
        )
    if group.state_now != "open":
        why = "formed" if group.state_now == "formed" else "ended"
        return HTMLResponse(pages.gone_page(why), status_code=410, headers=PAGE_HEADERS)
    page = pages.group_page(group, token, pages.public_url(request, token), zone)
    return HTMLResponse(page, headers=PAGE_HEADERS)


def _is_bot(request: Request) -> bool:
    purpose = request.headers.get("sec-purpose") or request.headers.get("purpose")
    return is_bot(request.headers.get("user-agent"), purpose)


async def _record(request: Request, visit: Visit) -> None:
    try:
        await desk(request, "visit").answer(request, visit)
    except Refusal:
        # Counting visits must not cost a buyer the page.
        return
