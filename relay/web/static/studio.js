// The studio without loading the page again: sends the form as its buttons would, and puts in the parts that the server
// has rendered anew. It checks the text while it is typed, asks the portal by itself, and moves through the tree by the
// arrow keys. Without it, every button does the same.
"use strict";
(() => {
  const PAUSE_MS = 400;
  const LOOK_MS = 700;
  const CHECK = { name: "act", value: "check" };
  const LOOK = { ...CHECK }; // the same, when nobody has asked for it
  const form = document.getElementById("studio");
  const text = document.getElementById("text");
  const asked = form.elements.question_id;
  let typing;
  let looking;
  let count = 0;
  let flying = 0;

  const send = async (button) => {
    clearTimeout(typing);
    clearTimeout(looking);
    const mine = ++count;
    const sent = text.value;
    const data = new FormData(form);
    if (button.name) data.set(button.name, button.value);
    flying++;
    let fresh;
    try {
      fresh = await post(button.getAttribute?.("formaction") || form.action, data);
    } catch {
      // Told below, as an answer that is no studio is.
    } finally {
      flying--;
    }
    const question = fresh?.querySelector("#studio [name=question_id]")?.value;
    if (question === undefined) return complain();
    if (button.id === "ask") asked.value = question;
    // What was typed or pressed meanwhile is newer than this answer.
    if (mine === count && text.value === sent) show(fresh, sent, button === LOOK);
    const isAwaited = "awaited" in fresh.getElementById("studio").dataset;
    if (isAwaited || question !== asked.value) lookSoon();
  };

  const complain = () => {
    const said = document.createElement("p");
    said.className = "notice";
    said.textContent = form.dataset.unanswered;
    document.getElementById("said").replaceChildren(said);
  };

  const post = async (address, data) => {
    const answer = await fetch(address, {
      method: "POST",
      body: new URLSearchParams(data),
      headers: { Accept: "text/html" },
      redirect: "manual",
    });
    if (answer.type === "opaqueredirect") return location.reload(); // to the login: the session has ended
    return new DOMParser().parseFromString(await answer.text(), "text/html");
  };

  const lookSoon = () => {
    clearTimeout(looking);
    looking = setTimeout(() => (flying ? lookSoon() : send(LOOK)), LOOK_MS);
  };

  const show = (fresh, sent, isLook) => {
    const focused = document.activeElement;
    const place = focused?.closest("[data-part]") && { name: focused.name, value: focused.value, id: focused.id };
    for (const part of document.querySelectorAll("[data-part]")) {
      const next = fresh.getElementById(part.id);
      const isKept = isLook && ["said", "preview"].includes(part.id); // what was answered to a button
      if (next && !isKept && !part.isEqualNode(next)) part.replaceChildren(...next.childNodes);
    }
    const next = fresh.getElementById("text");
    if (next.value !== sent) text.value = next.value;
    grow();
    if (place) refocus(place);
  };

  const refocus = ({ name, value, id }) => {
    if (document.activeElement !== document.body) return;
    const all = [...form.elements];
    const same = all.find((one) => (id ? one.id === id : one.name === name && one.value === value));
    (same || all.find((one) => one.name === name && one.type !== "hidden"))?.focus();
  };

  const grow = () => {
    text.rows = Math.min(Math.max(text.value.split("\n").length + 1, 14), 60);
    document.getElementById("gutter").scrollTop = text.scrollTop;
  };

  form.addEventListener("submit", (event) => {
    const path = event.submitter?.getAttribute("formaction") || "";
    if (path && !path.endsWith("/templates")) return; // to activate or to download is to leave the page
    event.preventDefault();
    send(event.submitter || CHECK);
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
    const all = [...document.querySelectorAll("#tree button, #tree summary")].filter((one) => one.offsetParent);
    all[all.indexOf(document.activeElement) + step]?.focus();
    event.preventDefault();
  });
  grow();
  if (form.dataset.ask) send(document.getElementById("ask"));
})();
