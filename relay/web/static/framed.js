// Keeps a page inside Bitrix24 fresh: posts its form, which has the token of this page, and puts in what is answered.
// Each token is good once, so there is one request at a time, and a page whose request was lost says at last that it has
// to be opened again. The answer is put in whole; what has not changed is left alone. Without it, a button does the same.
"use strict";
(() => {
  const PATIENCE_MS = 10000, MOST_FAILURES = 5;
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const form = () => document.getElementById("again");
  let failures = 0;

  const ask = async () => {
    const body = new URLSearchParams(new FormData(form()));
    body.set("zone", zone);
    const answer = await fetch(form().action, { method: "POST", body, credentials: "omit", signal: AbortSignal.timeout(PATIENCE_MS) });
    if (answer.status === 429 || answer.status >= 500) throw new Error(String(answer.status));
    return new DOMParser().parseFromString(await answer.text(), "text/html");
  };

  const show = (fresh) => {
    const [main, next] = [document.getElementById("main"), fresh.getElementById("main")];
    document.title = fresh.title;
    document.documentElement.lang = fresh.documentElement.lang;
    if (!main.isEqualNode(next)) main.replaceWith(next);
    form().remove();
    if (fresh.getElementById("again")) document.body.append(fresh.getElementById("again"));
  };

  const plan = () => {
    if (!form()) return;
    form().querySelector("button").hidden = failures < MOST_FAILURES;
    if (failures < MOST_FAILURES) setTimeout(look, Number(form().dataset.afterMs) * 2 ** failures);
  };

  const look = async () => {
    if (document.hidden) {
      document.addEventListener("visibilitychange", look, { once: true });
      return;
    }
    try {
      show(await ask());
      failures = 0;
    } catch {
      failures += 1;
    }
    plan();
  };

  form().elements.zone.value = zone; // for the button
  plan();
})();
