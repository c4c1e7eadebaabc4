(() => {
  "use strict";
  document.documentElement.classList.add("scripted");

  // Ticks show and hide a method's curves and rows; everything is shown at first.
  for (const box of document.querySelectorAll("[data-toggle]")) {
    box.checked = true;
    box.addEventListener("change", () => {
      for (const part of document.querySelectorAll(`[data-arm="${box.dataset.toggle}"]`)) {
        part.classList.toggle("off", !box.checked);
      }
    });
  }

  // A click on a column's name sorts by it: numbers from high to low first, then the other way round.
  const number = (cell) => (cell.dataset.key.trim() === "" ? NaN : Number(cell.dataset.key));
  for (const table of document.querySelectorAll("table[id]")) {
    const body = table.tBodies[0];
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const rows = [...body.rows];
        const numeric = rows.some((row) => !Number.isNaN(number(row.cells[column])));
        const before = head.getAttribute("aria-sort");
        const first = numeric ? "descending" : "ascending";
        const order = before === null ? first : before === "ascending" ? "descending" : "ascending";
        const sign = order === "ascending" ? 1 : -1;
        rows.sort((a, b) => {
          const x = a.cells[column], y = b.cells[column];
          if (!numeric) return sign * x.dataset.key.localeCompare(y.dataset.key, "en");
          const p = number(x), q = number(y);
          if (Number.isNaN(p) || Number.isNaN(q)) return Number.isNaN(p) - Number.isNaN(q);
          return sign * (p - q);
        });
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", order);
        body.append(...rows);
      });
    });
  }
})();
