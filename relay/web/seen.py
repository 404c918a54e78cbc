"""What pages show of texts of others: no character of theirs turns what stands around it, or is there and not seen.

What a form sends back is left as it is, by the filter `as_it_is`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask
from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from relay.core.printing import seen

_SAYING = ("gettext", "ngettext", "pgettext", "npgettext")


def show_what_is_there(app: Flask) -> None:
    """Have every text that a template is given shown so. Comes after `speak`, whose texts have values in them."""
    environment = app.jinja_env
    environment.finalize = _seen
    environment.filters["as_it_is"] = lambda text: Markup(escape(text))  # noqa: S704 - it is escaped
    for name in _SAYING:
        environment.globals[name] = _with_seen_values(environment.globals[name])


def _seen(value: Any) -> Any:
    return seen(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _with_seen_values(say: Any) -> Callable[..., Any]:
    @pass_context
    def saying(context: Context, *texts: Any, **values: Any) -> Any:
        return say(context, *texts, **{name: _seen(value) for name, value in values.items()})

    return saying
