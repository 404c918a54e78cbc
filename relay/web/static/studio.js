// The studio without loading the page again: sends the form as its buttons would, and puts in the parts that the server
// has rendered anew. It checks the text while it is typed, asks the portal by itself, and moves through the tree by the
// arrow keys. Without it, every button does the same.
"use strict";
(() => {
  const PAUSE_MS = 400;
  const LOOK_MS = 700;
  const form = document.getElementById("studio");
  const text = document.getElementById("text");
  let typing;
  let count = 0;

  const CHECK = { name: "act", value: "check" };

  const send = async (button) => {
    clearTimeout(typing);
    const mine = ++count;
    const sent = text.value;
    const data = new FormData(form);
    if (button?.name) data.set(button.name, button.value);
    const answer = await fetch(button?.getAttribute?.("formaction") || form.action, {
      method: "POST",
      body: new URLSearchParams(data),
      headers: { Accept: "text/html" },
      redirect: "manual",
    });
    if (answer.type === "opaqueredirect") return location.reload(); // to the login: the session has ended
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!fresh.getElementById("studio")) return;
    if (button?.id === "ask") adopt(fresh, "question_id");
    // What was typed or pressed meanwhile is newer than this answer.
    if (mine === count && text.value === sent) show(fresh, sent);
    else if (button?.id === "ask") typing = setTimeout(() => send(CHECK), PAUSE_MS);
  };

  const adopt = (fresh, name) => {
    form.elements[name].value = fresh.querySelector(`[name=${name}]`).value;
  };

  const show = (fresh, sent) => {
    const focused = document.activeElement;
    const place = focused && focused.closest("[data-part]") && { name: focused.name, value: focused.value, id: focused.id };
    for (const part of document.querySelectorAll("[data-part]")) {
      const next = fresh.getElementById(part.id);
      if (next && !part.isEqualNode(next)) part.replaceChildren(...next.childNodes);
    }
    adopt(fresh, "question_id");
    const next = fresh.getElementById("text");
    if (next.value !== sent) text.value = next.value;
    grow();
    if (place) refocus(place);
    const state = fresh.getElementById("studio").dataset;
    if ("awaited" in state) setTimeout(() => send(CHECK), LOOK_MS);
  };

  const refocus = ({ name, value, id }) => {
    if (document.activeElement !== document.body) return;
    const same = (one) => (id ? one.id === id : one.name === name && one.value === value);
    const found = [...form.elements].find(same) || [...form.elements].find((one) => one.name === name && one.type !== "hidden");
    found?.focus();
  };

  const grow = () => {
    text.rows = Math.min(Math.max(text.value.split("\n").length + 1, 14), 60);
    document.getElementById("gutter").scrollTop = text.scrollTop;
  };

  const visible = () => [...document.querySelectorAll("#tree button, #tree summary")].filter((one) => one.offsetParent);

  form.addEventListener("submit", (event) => {
    const path = event.submitter?.getAttribute("formaction") || "";
    if (path && !path.endsWith("/templates")) return; // to activate or to download is to leave the page
    event.preventDefault();
    send(event.submitter);
  });
  form.addEventListener("change", (event) => {
    const button = document.getElementById(event.target.dataset.press || "");
    if (button && event.target.value) send(button);
  });
  text.addEventListener("input", () => {
    grow();
    count++; // an answer to what stood there before comes too late
    clearTimeout(typing);
    typing = setTimeout(() => send(CHECK), PAUSE_MS);
  });
  text.addEventListener("scroll", grow);
  document.getElementById("tree")?.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const all = visible();
    all[all.indexOf(document.activeElement) + step]?.focus();
    event.preventDefault();
  });
  grow();
  if (form.dataset.ask) send(document.getElementById("ask"));
})();
