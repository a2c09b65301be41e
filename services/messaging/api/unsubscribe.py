"""The pages behind unsubscribe links. A look changes nothing, since mail scanners look at them too."""

from html import escape

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from services.messaging import operations
from services.messaging.settings import settings
from shared.edge import Transaction, TransactionalRoute
from shared.problems import problem_responses
from shared.signing import InvalidToken

__all__ = ["router"]

router = APIRouter(route_class=TransactionalRoute, tags=["unsubscribe"])

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="robots" content="noindex"><meta name="referrer" content="no-referrer">
<title>{title}</title><style>body{{font-family:sans-serif;max-width:32em;margin:4em auto;padding:0 1em}}
button{{font-size:1em;padding:.6em 1.2em}}</style></head>
<body><h1>{title}</h1><p>{words}</p>{form}</body></html>
"""
FORM = '<form method="post"><button type="submit">Unsubscribe</button></form>'
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
    "X-Frame-Options": "DENY",
}


def _page(title: str, words: str, form: str = "") -> HTMLResponse:
    return HTMLResponse(PAGE.format(title=escape(title), words=escape(words), form=form), headers=HEADERS)


@router.get("/u/{token}", response_class=HTMLResponse, responses=problem_responses(InvalidToken))
async def show_unsubscribe(token: str) -> HTMLResponse:
    """Ask; nothing happens before the button is pressed."""
    said = operations.read_token(token)
    shop = settings().mail_from_name
    return _page("Unsubscribe", f"No more {said.purpose} messages by {said.channel} from {shop}?", FORM)


@router.post("/u/{token}", response_class=HTMLResponse, responses=problem_responses(InvalidToken))
async def confirm_unsubscribe(token: str, session: Transaction) -> HTMLResponse:
    """Unsubscribe, by the button or by the mail client's one click (RFC 8058). Twice is as good as once."""
    await operations.unsubscribe(session, operations.read_token(token))
    return _page("You are unsubscribed", "It takes effect at once. You need not do anything else.")
