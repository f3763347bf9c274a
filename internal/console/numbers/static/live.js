// Keeps the list of running exchanges as it is now: asks every two seconds, while
// the page is looked at. Without it the list is as it was when the page was made.
"use strict";
(() => {
  const page = document.getElementById("live");
  const rows = document.getElementById("live-rows");
  const empty = document.getElementById("live-row").content.firstElementChild;
  const count = document.getElementById("live-count");
  const none = document.getElementById("live-none");
  const at = document.getElementById("live-at");
  const pause = document.getElementById("live-pause");
  const every = 2000;
  let paused = false;

  function size(bytes) {
    for (const [least, unit, name, places] of [[999950000, 1e9, "GB", 1], [999500, 1e6, "MB", 1], [1000, 1e3, "KB", 0]]) {
      if (bytes >= least) return (bytes / unit).toFixed(places) + " " + name;
    }
    return bytes + " B";
  }

  function age(seconds) {
    const whole = Math.floor(seconds);
    if (whole < 60) return whole + " s";
    if (whole < 3600) return Math.floor(whole / 60) + " min " + (whole % 60) + " s";
    return Math.floor(whole / 3600) + " h " + Math.floor((whole % 3600) / 60) + " min";
  }

  const number = (n) => n.toLocaleString("en");

  function fill(row, e) {
    const fields = {
      age: age(e.seconds), developer: e.developer, team: e.team || "", model: e.model || "–", transport: e.transport,
      sent: size(e.request_bytes), received: size(e.response_bytes), events: number(e.events),
      tokens: e.output_tokens_estimated ? "~" + number(e.output_tokens_estimated) : "–", client: e.client || "",
    };
    for (const cell of row.querySelectorAll("[data-field]")) {
      const text = fields[cell.dataset.field];
      if (cell.textContent !== text) cell.textContent = text;
    }
    const id = row.querySelector("input[name=id]");
    if (id) id.value = e.id;
    const button = row.querySelector("button");
    if (button && e.stopping) {
      button.disabled = true;
      button.textContent = "Stopping";
    }
  }

  function show(answer) {
    const known = new Map([...rows.children].map((row) => [row.id, row]));
    answer.running.forEach((e, i) => {
      let row = known.get(e.id);
      known.delete(e.id);
      if (!row) {
        row = empty.cloneNode(true);
        row.id = e.id;
      }
      fill(row, e);
      if (rows.children[i] !== row) rows.insertBefore(row, rows.children[i] || null);
    });
    for (const row of known.values()) row.remove();
    none.hidden = answer.running.length > 0;
    say(answer.running.length + " running");
    at.textContent = new Date().toLocaleTimeString("en-GB");
  }

  function say(text) {
    if (count.textContent !== text) count.textContent = text;
  }

  async function ask() {
    if (!paused && !document.hidden) {
      try {
        const response = await fetch(page.dataset.from, { headers: { Accept: "application/json" }, redirect: "error" });
        if (!response.ok) throw new Error(response.statusText);
        show(await response.json());
      } catch {
        say("The server does not answer. The list may be old.");
      }
    }
    setTimeout(ask, every);
  }

  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.textContent = paused ? "Go on" : "Pause";
    pause.setAttribute("aria-pressed", String(paused));
  });
  setTimeout(ask, every);
})();
