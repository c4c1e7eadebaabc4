// Copies citations and links; where the browser gives no access to the clipboard, the text is selected instead.
(() => {
  "use strict";
  const said = document.getElementById("said");
  const by = (text) => {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "sr";
    area.setAttribute("readonly", "");
    document.body.append(area);
    area.select();
    let done = false;
    try {
      done = document.execCommand("copy");
    } catch {
      done = false;
    }
    area.remove();
    return done;
  };
  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      return by(text);
    }
  };
  const select = (part) => {
    const range = document.createRange();
    range.selectNodeContents(part);
    const selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
  };
  const answer = (button, done) => {
    const label = button.dataset.label ?? button.textContent;
    button.dataset.label = label;
    button.textContent = done ? "Copied" : "Selected: press Ctrl+C";
    said.textContent = button.textContent;
    button.focus();
    setTimeout(() => { button.textContent = label; }, 2500);
  };
  const on = (attribute, text, shown) => {
    for (const button of document.querySelectorAll(`[${attribute}]`)) {
      button.addEventListener("click", async () => {
        const done = await copy(text(button));
        if (!done && shown(button)) select(shown(button));
        answer(button, done);
      });
    }
  };
  const named = (id) => document.getElementById(id);
  on("data-copy", (button) => named(button.dataset.copy).textContent, (button) => named(button.dataset.copy));
  on("data-copy-link", (button) => named(button.dataset.copyLink).href, (button) => named(button.dataset.copyLink));
  on("data-copy-here", () => location.href, () => null);
})();
