// Keeps a page fresh, as relay/web/dashboard/live.py says: asks for the same page again, puts in the parts that the
// server has rendered anew, and stops when the answer asks for no more. It leaves alone what has the focus or shows the
// ids of a line or a menu, keeps open what was opened, and says when the numbers are old, in the words that are marked
// on the script.
// The page is whole without it.
"use strict";
(() => {
  const PATIENCE_MS = 10000;
  const status = document.getElementById("freshness");
  const words = document.currentScript.dataset;
  let everyS = document.getElementById("main").dataset.freshEveryS;
  let answeredAt = Date.now();
  let timer;

  const say = (text, isStale) => {
    if (!status || status.textContent === text) return; // what is said twice is read out twice
    status.textContent = text;
    status.classList.toggle("stale", isStale);
  };

  const ask = async () => {
    const answer = await fetch(location.href, {
      headers: { Accept: "text/html", "X-Background": "1" },
      redirect: "manual",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    if (answer.type === "opaqueredirect") location.reload(); // to the login: the session has ended
    if (!answer.ok) throw new Error(String(answer.status));
    return new DOMParser().parseFromString(await answer.text(), "text/html");
  };

  const isInUse = (part) => part.contains(document.activeElement) || part.querySelector(".menu[open]");

  const show = (fresh) => {
    for (const part of document.querySelectorAll("[data-fresh]")) {
      const next = fresh.getElementById(part.id);
      if (!next) continue;
      for (const one of next.querySelectorAll("details[id]")) {
        const own = document.getElementById(one.id);
        if (own) one.open = own.open;
        // What was opened keeps what only an opened one has.
        if (own?.open && own.querySelector("ol") && !one.querySelector("ol")) one.lastElementChild.replaceWith(own.lastElementChild.cloneNode(true));
      }
      if (part.isEqualNode(next) || isInUse(part)) continue;
      part.replaceChildren(...next.childNodes);
    }
    everyS = fresh.getElementById("main").dataset.freshEveryS;
  };

  const look = async () => {
    timer = undefined;
    if (!document.hidden) await refresh();
    if (everyS) timer = setTimeout(look, everyS * 1000);
  };

  const refresh = async () => {
    try {
      show(await ask());
      answeredAt = Date.now();
      say(words.live, false);
    } catch {
      say(words.old.replace("{time}", new Date(answeredAt).toTimeString().slice(0, 8)), true);
    }
  };

  // Beside a chart: the figures of the bar that is pointed at, or has the focus.
  const tell = (event) => {
    const title = event.target.closest?.(".chart a")?.querySelector("title");
    if (title) title.closest("figure").querySelector(".told").textContent = title.textContent;
  };
  document.addEventListener("pointerover", tell);
  document.addEventListener("focusin", tell);

  document.addEventListener("visibilitychange", () => {
    if (document.hidden || !timer) return; // without a timer, it is looking now or has ended
    clearTimeout(timer);
    look();
  });
  say(words.live, false);
  timer = setTimeout(look, everyS * 1000);
})();
