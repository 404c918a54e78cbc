// Puts a button beside everything marked `data-copy`, which copies its text. Without it, the text can be selected.
"use strict";
(() => {
  const SAID_MS = 1500;

  const copy = async (part) => {
    try {
      await navigator.clipboard.writeText(part.textContent);
    } catch {
      // Over plain http there is no clipboard to write to: copy what is selected.
      const range = document.createRange();
      range.selectNodeContents(part);
      const chosen = getSelection();
      chosen.removeAllRanges();
      chosen.addRange(range);
      document.execCommand("copy");
    }
  };

  for (const part of document.querySelectorAll("[data-copy]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.setAttribute("aria-label", `Copy ${part.dataset.copy}`);
    button.addEventListener("click", async () => {
      await copy(part);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, SAID_MS);
    });
    part.after(" ", button);
  }
})();
