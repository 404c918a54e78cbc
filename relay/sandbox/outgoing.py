"""Requests that the portal makes by itself: a form, sent once. Nobody reads the answer, and nothing is repeated.

On a real portal the vendor's queue server sends them, so callers here use a thread of their own, outside of the
portal's lock. May not follow a redirect.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from http.client import HTTPException
from urllib.parse import urlencode
from urllib.request import HTTPRedirectHandler, Request, build_opener

PATIENCE_S = 10.0


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Do not follow it."""


def post_form(address: str, fields: Mapping[str, str]) -> None:
    """Send the form. address: its caller has checked that it is http or https, and may be called."""
    request = Request(address, urlencode(fields).encode())  # noqa: S310 - see above
    with contextlib.suppress(OSError, HTTPException):
        build_opener(_NoRedirects).open(request, timeout=PATIENCE_S).close()
