(() => {
  "use strict";
  const root = document.documentElement;
  root.classList.add("scripts");
  const name = "tlbench-theme";
  let store = null;
  try {
    store = window.localStorage;
    const chosen = store.getItem(name);
    if (chosen === "dark" || chosen === "light") root.dataset.theme = chosen;
  } catch {
    // a browser may refuse to keep anything: then the system's theme is used on every page
  }
  const dark = () => (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.querySelector("[data-theme-toggle]");
    const show = () => {
      button.textContent = dark() ? "Light theme" : "Dark theme";
    };
    show();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
    button.addEventListener("click", () => {
      root.dataset.theme = dark() ? "light" : "dark";
      show();
      try {
        store?.setItem(name, root.dataset.theme);
      } catch {
        // it then holds for this page only
      }
    });
  });
})();
