// Finds text on a session's page: marks every place, walks through them, and
// unfolds what holds one. Without this script the browser's own search does.
"use strict";
(() => {
  const form = document.getElementById("find");
  const box = document.getElementById("find-text");
  const count = document.getElementById("find-count");
  const turns = document.querySelector(".turns");
  if (!form || !turns) return;
  form.hidden = false;

  const most = 5000; // places that are marked
  let places = [], at = -1;

  function search(text) {
    places = [];
    at = -1;
    const wanted = text.toLowerCase();
    if (wanted.length > 1) {
      const walker = document.createTreeWalker(turns, NodeFilter.SHOW_TEXT);
      for (let node; places.length < most && (node = walker.nextNode());) {
        const held = node.data.toLowerCase();
        if (held.length !== node.data.length) continue; // its offsets would be wrong
        for (let i = held.indexOf(wanted); i >= 0 && places.length < most; i = held.indexOf(wanted, i + wanted.length)) {
          const range = new Range();
          range.setStart(node, i);
          range.setEnd(node, i + wanted.length);
          places.push(range);
        }
      }
    }
    mark("found", places);
    mark("current", []);
    tell();
  }

  function mark(name, ranges) {
    if (!window.Highlight) return;
    CSS.highlights.set("replay-" + name, new Highlight(...ranges));
  }

  function tell() {
    if (box.value.length < 2) count.value = "";
    else if (!places.length) count.value = "not found";
    else count.value = (at < 0 ? "" : at + 1 + " of ") + places.length + (places.length === most ? " or more" : "");
  }

  function go(step) {
    if (!places.length) return;
    at = (at + step + places.length) % places.length;
    const range = places[at];
    for (let e = range.startContainer.parentElement; e; e = e.parentElement) {
      if (e.tagName === "DETAILS") e.open = true;
    }
    mark("current", [range]);
    range.startContainer.parentElement.scrollIntoView({ block: "center" });
    tell();
  }

  let waiting;
  box.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => search(box.value), 150);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!places.length) search(box.value);
    go(1);
  });
  document.getElementById("find-back").addEventListener("click", () => go(at < 0 ? 0 : -1));
  document.getElementById("unfold").addEventListener("click", (event) => {
    const open = event.target.textContent === "Unfold all";
    for (const details of turns.querySelectorAll("details")) details.open = open;
    event.target.textContent = open ? "Fold all" : "Unfold all";
  });
  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName);
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      box.focus();
    }
    if (event.key === "Enter" && event.shiftKey && document.activeElement === box) {
      event.preventDefault();
      go(-1);
    }
  });

  // A link to an item that is folded away opens what holds it.
  function reveal() {
    const target = document.getElementById(location.hash.slice(1));
    for (let e = target; e; e = e.parentElement) {
      if (e.tagName === "DETAILS") e.open = true;
    }
    if (target) target.scrollIntoView();
  }
  addEventListener("hashchange", reveal);
  reveal();
})();
