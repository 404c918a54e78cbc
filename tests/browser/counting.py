"""Counts what a person does on pages: presses, fields that are typed into, and pages."""

from __future__ import annotations

from collections import Counter

from playwright.sync_api import BrowserContext

COUNTING = """
counted("page");
const typed = new WeakSet();
addEventListener("pointerdown", (event) => event.isTrusted && counted("click"), true);
addEventListener("keydown", (event) => event.isTrusted && event.key === "Enter" && counted("click"), true);
addEventListener("input", ({target}) => {
  if (target.matches("select")) counted("click");
  else if (!target.matches("[type=radio], [type=checkbox]") && !typed.has(target)) {
    typed.add(target);
    counted("field");
  }
}, true);
"""
"""A press of the mouse, a chosen option, or Enter in a form is a click; a field is counted once."""


def count_in(context: BrowserContext, taken: Counter[str]) -> None:
    """Count `click`, `field` and `page` in every page that this context opens from now on."""
    context.expose_binding("counted", lambda _source, what: taken.update([what]))
    context.add_init_script(COUNTING)
