"""Which scripts in a browser may send to a source and read its answers: those of pages whose origin it names.

As the Fetch standard says (section 3.2): one origin is named back, never all, and no cookies go along.
"""

from __future__ import annotations

from flask import Request, Response

from relay.sources import Source

MAX_AGE_S = 600
"""So long a browser remembers what a preflight has said."""


def is_preflight(source: Source, request: Request) -> bool:
    """Whether a browser asks, for one of the source's own pages, if its script may send."""
    return (
        request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers and _is_ours(source, request)
    )


def preflight(source: Source) -> Response:
    """Yes, and with which methods and headers."""
    answer = Response(status=204)
    answer.headers["Access-Control-Allow-Methods"] = ", ".join(source.methods)
    answer.headers["Access-Control-Allow-Headers"] = ", ".join(("content-type", *source.sent_headers))
    answer.headers["Access-Control-Max-Age"] = str(MAX_AGE_S)
    return answer


def allow(source: Source, request: Request, answer: Response) -> Response:
    """Any answer of a source, an error too, as a script of its own pages may read it."""
    if not source.origins:
        return answer
    answer.vary.add("Origin")
    if _is_ours(source, request):
        answer.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
        answer.headers["Access-Control-Expose-Headers"] = "Retry-After"
    return answer


def _is_ours(source: Source, request: Request) -> bool:
    return request.headers.get("Origin") in source.origins
