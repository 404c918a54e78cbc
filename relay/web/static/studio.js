// The studio without loading the page again: sends the form as its buttons would, and puts in what the server has rendered
// anew. What the server has not taken yet is kept for a reload. Without this script, every button does the same.
"use strict";
(() => {
  const PAUSE_MS = 400;
  const LOOK_MS = 700;
  const CHECK = { name: "act", value: "check" };
  const LOOK = { ...CHECK }; // the same, when nobody has asked for it
  const form = document.getElementById("studio");
  const text = document.getElementById("text");
  const values = document.getElementById("values");
  const home = values.parentElement;
  const { elements } = form;
  const asked = elements.question_id;
  const unsent = ["studio", ...["rule", "event_id", "begun"].map((name) => elements[name].value)].join(" ");
  const queue = [];
  let typing;
  let looking;
  let flying = false;

  // One request after the other: each names the version of the draft that the answer before it has brought.
  const send = async (button) => {
    clearTimeout(typing);
    clearTimeout(looking);
    if (flying) {
      if (button !== LOOK) queue.push(button);
      return;
    }
    const sent = text.value;
    const onto = elements.onto.value;
    const data = new FormData(form);
    if (button.name) data.set(button.name, button.value);
    remember();
    flying = true;
    let fresh;
    try {
      fresh = await post(button.getAttribute?.("formaction") || form.action, data);
    } catch {
      // Told below, as an answer that is no studio is.
    }
    flying = false;
    take(fresh, sent, button, onto);
    if (queue.length) send(queue.shift());
  };

  const take = (fresh, sent, button, onto) => {
    const question = fresh?.querySelector("#studio [name=question_id]")?.value;
    if (question === undefined) return complain(fresh);
    if (button.id === "ask") asked.value = question;
    // What was typed meanwhile is newer than this answer; but the version is the new one.
    const chosen = elements.onto.value;
    if (text.value === sent) show(fresh, sent, button === LOOK, chosen === onto ? "" : chosen);
    else put(document.getElementById("kept"), fresh);
    if (!fresh.getElementById("conflict") && text.value === fresh.getElementById("text").value) forget();
    if ("awaited" in fresh.getElementById("studio").dataset || question !== asked.value) lookSoon();
  };

  const complain = (fresh) => {
    const said = document.createElement("p");
    said.className = "notice";
    said.append(...(fresh?.querySelector("#ended p")?.childNodes || [form.dataset.unanswered]));
    document.getElementById("said").replaceChildren(said);
  };

  const post = async (address, data) => {
    const options = { method: "POST", body: new URLSearchParams(data), headers: { Accept: "text/html" } };
    const answer = await fetch(address, { ...options, redirect: "manual" });
    return new DOMParser().parseFromString(await answer.text(), "text/html");
  };

  const lookSoon = () => {
    clearTimeout(looking);
    looking = setTimeout(() => (flying ? lookSoon() : send(LOOK)), LOOK_MS);
  };

  const put = (part, fresh) => {
    const next = fresh.getElementById(part.id);
    if (next && !part.isEqualNode(next)) part.replaceChildren(...next.childNodes);
  };

  const show = (fresh, sent, isLook, chosen) => {
    const focused = document.activeElement;
    const place = focused?.closest("[data-part]") && { name: focused.name, value: focused.value, id: focused.id };
    home.append(values);
    for (const part of document.querySelectorAll("[data-part]")) {
      const isKept = isLook && ["said", "preview"].includes(part.id); // what was answered to a button
      if (!isKept) put(part, fresh);
    }
    if (chosen) elements.onto.value = chosen; // while the answer was on its way
    const next = fresh.getElementById("text");
    if (next.value !== sent) text.value = next.value;
    form.classList.remove("typed");
    grow();
    settle(focused);
    if (place) refocus(place);
  };

  // The values of the event stand under the place that one of them is for.
  const settle = (focused) => {
    const chosen = form.querySelector("#slots input:checked");
    (chosen?.closest("li") || home).append(values);
    if (values.contains(focused)) focused.focus({ preventScroll: true });
  };

  const refocus = ({ name, value, id }) => {
    if (document.activeElement !== document.body) return;
    const all = [...elements];
    const same = all.find((one) => (id ? one.id === id : one.name === name && one.value === value));
    (same || all.find((one) => one.name === name && one.type !== "hidden"))?.focus();
  };

  const grow = () => {
    text.rows = Math.min(Math.max(text.value.split("\n").length + 1, 14), 60);
    const paper = document.getElementById("coloured");
    document.getElementById("gutter").scrollTop = paper.scrollTop = text.scrollTop;
    paper.scrollLeft = text.scrollLeft;
  };

  const remember = () =>
    sessionStorage.setItem(unsent, JSON.stringify({ text: text.value, version: elements.version.value }));
  const forget = () => sessionStorage.removeItem(unsent);

  form.addEventListener("submit", (event) => {
    const path = event.submitter?.getAttribute("formaction") || "";
    if (path && !path.endsWith("/templates")) return forget(); // to activate or to download is to leave the page
    event.preventDefault();
    send(event.submitter || CHECK);
  });
  form.addEventListener("change", (event) => {
    if (event.target.name === "onto") settle();
    const button = document.getElementById(event.target.dataset.press || "");
    if (button && event.target.value) send(button);
  });
  text.addEventListener("input", () => {
    form.classList.add("typed");
    grow();
    remember();
    clearTimeout(typing);
    typing = setTimeout(() => send(CHECK), PAUSE_MS);
  });
  text.addEventListener("scroll", grow);
  values.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const all = [...values.querySelectorAll("button, summary")].filter((one) => one.offsetParent);
    all[all.indexOf(document.activeElement) + step]?.focus();
    event.preventDefault();
  });
  form.classList.add("live");
  settle();
  grow();
  const kept = JSON.parse(sessionStorage.getItem(unsent) || "null");
  if (kept && kept.text !== text.value) {
    text.value = kept.text;
    elements.version.value = kept.version;
    form.classList.add("typed");
    send(CHECK);
  } else forget();
  if (form.dataset.ask) send(document.getElementById("ask"));
  if ("awaited" in form.dataset) lookSoon();
})();
