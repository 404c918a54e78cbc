"""How a page looks: to axe, in light and dark, on a desk and on a phone; and pictures of it."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

FOLDER = os.environ.get("RELAY_SCREENSHOTS")
"""Where pictures are left; without it, none are taken."""
DESK, PHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 740}
SCHEMES = ("light", "dark")
LOOKS = list(itertools.product(SCHEMES, (DESK, PHONE)))
WIDER = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
AXE = Axe().axe_script
RUN = """
async (rules) => {
  const options = {resultTypes: ["violations"], preload: false, ...(rules && {runOnly: rules})};
  const {violations} = await axe.run(options);
  return violations.filter((one) => ["serious", "critical"].includes(one.impact)).map((one) =>
    `${one.id}: ` + one.nodes.slice(0, 5).map((node) => `${node.target}: ${node.failureSummary}`).join("; "));
}
"""
COLOURS = ["color-contrast", "link-in-text-block"]
"""What may change with the scheme; all else was asked in the light, at both widths."""
OPEN_ALL = "document.querySelectorAll('details').forEach((one) => { one.open = true; })"


def take(page: Page, name: str) -> None:
    if FOLDER:
        Path(FOLDER).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(FOLDER) / f"{name}.png", animations="disabled")


def faults_of(page: Page) -> list[str]:
    """What axe finds serious or critical on a page with everything folded open, and whether it is too wide."""
    page.evaluate(OPEN_ALL)
    page.evaluate(AXE)
    found = []
    for scheme, size in LOOKS:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size(size)
        new = page.evaluate(RUN, COLOURS if scheme == "dark" else None)
        new += ["scrolls sideways"] if page.evaluate(WIDER) else []
        found += [f"{scheme}, {size['width']} px: {fault}" for fault in new]
    return found
