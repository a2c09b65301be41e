"""What services answer, in words, and what to do if they do not."""

import httpx

__all__ = ["reason_of", "silence_of"]

# Of what is not a problem document, such as a page of a proxy.
SHOWN_CHARACTERS = 500


def reason_of(answer: httpx.Response) -> str:
    """Return why a service refused: code and detail of its problem document, or how the body begins."""
    try:
        problem = answer.json()
        return f"{problem['code']}: {problem.get('detail') or problem['title']}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return answer.text[:SHOWN_CHARACTERS]


def silence_of(error: Exception, address: str) -> str:
    """Return why there is no answer from `address`, and what to do where that is known."""
    if isinstance(error, httpx.ConnectError):
        return f"nothing listens at {address}: is the platform running? `regulars up` starts it"
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return f"no answer from {address}: {said}"
