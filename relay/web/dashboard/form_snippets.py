"""The form to put on a page, with what the source has against machines. Pure."""

from __future__ import annotations

from html import escape

from relay.sources import Form
from relay.sources.visitors import SENT, STARTED

TIMES = f"""\
  <input type="hidden" name="{STARTED}"><input type="hidden" name="{SENT}">
  <script>
    {{
      const form = document.currentScript.closest("form");
      const [visit] = performance.getEntriesByType("navigation");
      if (visit?.type !== "back_forward") form.{STARTED}.value = Date.now();
      form.addEventListener("submit", () => {{ form.{SENT}.value ||= Date.now(); }});
    }}
  </script>"""
"""Who comes back to the form, to mend it or send it once more, may be quick. Two clicks send the same second time."""


def form_of(form: Form, url: str) -> str:
    """A form that sends to this address; its fields are examples."""
    lines = [
        f'<form action="{escape(url)}" method="post" accept-charset="utf-8">',
        '  <p><label>Name <input name="name" autocomplete="name"></label></p>',
        '  <p><label>E-mail <input name="email" autocomplete="email"></label></p>',
    ]
    if form.honeypot:
        field = f'<input name="{escape(form.honeypot)}" tabindex="-1" autocomplete="off">'
        lines.append(f"  <p hidden><label>Leave this empty {field}</label></p>")
    if form.min_fill_s:
        lines.append(TIMES)
    return "\n".join([*lines, "  <p><button>Send</button></p>", "</form>"])
