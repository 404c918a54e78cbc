// Keeps the first page fresh: listens for changes, or asks now and then, and says when it cannot. The page is whole
// without it. It puts in only what the server has rendered, and leaves alone what has the focus.
"use strict";
(() => {
  const status = document.getElementById("freshness");
  if (!status) return;
  const PAUSE_MS = 3000, ASK_MS = 10000, STALE_MS = 40000;
  let seen = status.dataset.change, heard = Date.now(), fetched = Date.now(), wanted = false, asking = null, said = "";

  const say = (text, stale) => {
    if (text !== said) status.textContent = said = text;
    status.classList.toggle("stale", stale);
  };
  const clock = (moment) => new Date(moment).toISOString().slice(11, 19) + " UTC";

  const show = () => {
    if (Date.now() - heard > STALE_MS) say("Stale: nothing was heard since " + clock(heard) + ".", true);
    else say("Live.", false);
  };

  const refresh = async () => {
    wanted = false;
    fetched = Date.now();
    const answer = await fetch(location.href, { headers: { Accept: "text/html", "X-Background": "1" }, redirect: "error" });
    if (!answer.ok) throw new Error(String(answer.status));
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const region of document.querySelectorAll("[data-live]")) {
      const next = fresh.getElementById(region.id);
      if (next && !region.contains(document.activeElement)) region.replaceWith(document.importNode(next, true));
    }
  };

  const hear = (change) => {
    heard = Date.now();
    if (change && change !== seen) {
      seen = change;
      wanted = true;
    }
  };

  const ask = async () => {
    try {
      const answer = await fetch(status.dataset.ask, { headers: { "X-Background": "1" }, redirect: "error" });
      if (answer.ok) hear((await answer.json()).change);
    } catch (_) { /* the page says that it is stale */ }
  };

  if ("EventSource" in window) {
    const stream = new EventSource(status.dataset.stream);
    stream.addEventListener("change", (event) => hear(event.data));
    stream.addEventListener("beat", () => hear(""));
    stream.onopen = () => { clearInterval(asking); asking = null; };
    stream.onerror = () => { asking = asking || setInterval(ask, ASK_MS); };
  } else {
    asking = setInterval(ask, ASK_MS);
  }
  setInterval(() => {
    if (wanted && Date.now() - fetched > PAUSE_MS && !document.hidden) refresh().catch(() => { wanted = true; });
    show();
  }, 1000);
})();
