"""Debian's Chromium, one for each file of tests, and a trap in every page for whatever should not happen there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Page,
    Request,
    StorageState,
    sync_playwright,
)

from tests.browser.stage import PASSWORD, Stage

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""The shell comes first: without the browser's own windows, a page costs a sixth of the work."""
MISSING = (
    "no Chromium was found on the PATH, and these tests need one: on Debian, apt-get install chromium-headless-shell"
)
PATIENCE_MS = 15_000
TRAP = """
addEventListener("securitypolicyviolation", (event) =>
  report(`policy: ${event.effectiveDirective} ${event.blockedURI} ${event.sample}`));
"""
"""Runs before anything of a page does. `report` leads to Faults.found, and payloads of tests call it, too."""


@dataclass
class Faults:
    """What happened in a browser that should not have."""

    origin: str = ""
    found: list[str] = field(default_factory=list)

    def watch(self, context: BrowserContext) -> None:
        """Lay the trap in every page that this context opens from now on."""
        context.expose_binding("report", lambda _source, what: self.found.append(str(what)))
        context.add_init_script(TRAP)
        context.on("dialog", self._dialog)
        context.on("console", self._console)
        context.on("request", self._request)
        context.on("weberror", lambda error: self.found.append(f"error: {error.error}"))

    def _dialog(self, dialog: Dialog) -> None:
        self.found.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _console(self, message: ConsoleMessage) -> None:
        # That an answer was a 404 is said on the console, too, and the tests of the page for it want one.
        if message.type in {"error", "warning"} and "status of 4" not in message.text:
            self.found.append(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith((f"{self.origin}/", "data:")):
            self.found.append(f"request: {request.url}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Not for the whole run: while it is open, a loop of asyncio runs in this thread, and other tests bring theirs."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.fail(MISSING)
    # Its sandbox of its own does not start for root.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=arguments)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def open_context(browser: Browser) -> Iterator[Callable[..., tuple[BrowserContext, Faults]]]:
    """Opens a window of its own cookies: options of Playwright, then what went wrong in it."""
    opened: list[BrowserContext] = []

    def open_one(url: str, **options: Any) -> tuple[BrowserContext, Faults]:
        context = browser.new_context(base_url=url, **options)
        context.set_default_timeout(PATIENCE_MS)
        faults = Faults(url)
        faults.watch(context)
        opened.append(context)
        return context, faults

    yield open_one
    for context in opened:
        context.close()


@pytest.fixture(scope="module")
def log_in(open_context: Callable[..., tuple[BrowserContext, Faults]]) -> Callable[[str], StorageState]:
    """Logs in once; what it gives is the `storage_state` of further windows. The login bears ten tries only."""

    def enter(url: str) -> StorageState:
        context, _ = open_context(url)
        page = context.new_page()
        page.goto("/login")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url("**/")
        kept = context.storage_state()
        context.close()
        return kept

    return enter


@pytest.fixture(scope="module")
def session(stage: Stage, log_in: Callable[[str], StorageState]) -> StorageState:
    """An operator's session on the stage of the file."""
    return log_in(stage.url)


@pytest.fixture
def open_page(
    stage: Stage, open_context: Callable[..., tuple[BrowserContext, Faults]], session: StorageState
) -> Iterator[Callable[..., tuple[Page, Faults]]]:
    """Opens a page where an operator is logged in; gives it with what went wrong in it. An open page asks on."""
    opened: list[BrowserContext] = []

    def at(path: str, *, javascript: bool = True, **options: Any) -> tuple[Page, Faults]:
        context, faults = open_context(stage.url, storage_state=session, java_script_enabled=javascript, **options)
        opened.append(context)
        page = context.new_page()
        page.goto(path)
        return page, faults

    yield at
    for context in opened:
        context.close()
