// Puts a button beside everything marked `data-copy`, which copies its text; the mark says what it does, in the language
// of the page, and the marks of the script are the words on the button. Without it, the text can be selected.
"use strict";
(() => {
  const SAID_MS = 1500;
  const words = document.currentScript.dataset;

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

  for (const part of document.querySelectorAll("main [data-copy]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = words.copy;
    button.setAttribute("aria-label", part.dataset.copy);
    button.addEventListener("click", async () => {
      await copy(part);
      button.textContent = words.copied;
      setTimeout(() => { button.textContent = words.copy; }, SAID_MS);
    });
    part.after(" ", button);
  }
})();
