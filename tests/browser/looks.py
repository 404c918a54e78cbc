"""How a page looks: to axe, in light on a desk and in dark on a phone; and pictures of it."""

from __future__ import annotations

import os
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

FOLDER = os.environ.get("RELAY_SCREENSHOTS")
"""Where pictures are left; without it, none are taken."""
DESK, PHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 740}
LOOKS = [("light", DESK), ("dark", PHONE)]
"""Each scheme and each width once: layout does not depend on the scheme, and colours do not depend on the width."""
WIDER = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
AXE = Axe().axe_script
RUN = """
async () => {
  const {violations} = await axe.run({resultTypes: ["violations"], preload: false});
  return violations.filter((one) => ["serious", "critical"].includes(one.impact)).map((one) =>
    `${one.id}: ` + one.nodes.slice(0, 5).map((node) => `${node.target}: ${node.failureSummary}`).join("; "));
}
"""
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
        # A button that still fades from the colours before has a contrast of neither.
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.set_viewport_size(size)
        new = page.evaluate(RUN)
        new += ["scrolls sideways"] if page.evaluate(WIDER) else []
        found += [f"{scheme}, {size['width']} px: {fault}" for fault in new]
    return found
