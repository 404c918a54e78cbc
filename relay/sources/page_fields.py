"""What sources.yaml may say of the pages that send: their origins, and where a visitor goes afterwards."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import SplitResult, urlsplit

from relay.configuration.fields import SECONDS, Quantity, StrictSchema, Text, Wanted
from relay.core.faults import fault

LOOPBACK = {"localhost", "127.0.0.1", "::1"}
PORTS = {"https": 443, "http": 80}
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]{0,251}[a-z0-9])?|::1")


class Address(Wanted):
    """An https address, or http to this machine: where a browser is sent."""

    expected = fault("expected_address")

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(r"[!-\[\]-~]{1,2000}", value):
            raise ValueError
        parts = _checked(value)
        if parts.scheme != "https" and parts.hostname not in LOOPBACK:
            raise ValueError
        return value


class Origins(Wanted):
    """Origins as browsers write them (RFC 6454, section 6.2): no path, no port that goes without saying."""

    expected = fault("expected_origins")

    def read(self, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
            raise ValueError
        for origin in value:
            parts = _checked(origin)
            if f"{parts.scheme}://{parts.netloc}" != origin or parts.port == PORTS[parts.scheme]:
                raise ValueError
        return tuple(dict.fromkeys(value))


class FormSchema(StrictSchema):
    """`form`: that it is there says that people's browsers come."""

    honeypot = Text(fault("expected_form_field"), load_default=None)
    min_fill_s = Quantity(SECONDS, "1h", data_key="min_fill", load_default=0.0)


def _checked(address: str) -> SplitResult:
    parts = urlsplit(address)  # raises ValueError, and so does parts.port
    is_plain = "@" not in parts.netloc and not parts.netloc.endswith(":") and parts.netloc == parts.netloc.lower()
    if parts.scheme not in PORTS or not is_plain or not _HOST.fullmatch(parts.hostname or "") or parts.port == 0:
        raise ValueError
    return parts
