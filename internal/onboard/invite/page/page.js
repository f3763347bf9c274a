"use strict";

// Everything on the pages works without this file: it adds the copy buttons, and
// keeps a double click from sending the form twice, of which the second would be
// told that the invitation was used.

const copied = document.getElementById("status");

for (const button of document.querySelectorAll("button[data-copy]")) {
  const source = document.getElementById(button.dataset.copy);
  button.hidden = false;
  button.addEventListener("click", async () => {
    const done = await copy(source);
    copied.textContent = done ? "Copied " + button.dataset.what + "." : "Selected: press Ctrl+C or ⌘C to copy.";
    button.textContent = done ? "Copied" : "Selected";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
}

async function copy(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    return true;
  } catch { // outside HTTPS there is no clipboard
    getSelection().selectAllChildren(element);
    return document.execCommand("copy");
  }
}

for (const form of document.forms) {
  form.addEventListener("submit", () => { form.querySelector("button").disabled = true; });
}
