"""What services answer, in words."""

import httpx

__all__ = ["reason_of"]

# Of what is not a problem document, such as a page of a proxy.
SHOWN_CHARACTERS = 500


def reason_of(answer: httpx.Response) -> str:
    """Return why a service refused: code and detail of its problem document, or how the body begins."""
    try:
        problem = answer.json()
        return f"{problem['code']}: {problem.get('detail') or problem['title']}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return answer.text[:SHOWN_CHARACTERS]
