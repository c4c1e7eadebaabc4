// Sorts and filters the ranking. Nothing is hidden at first; reference rows are never filtered away.
(() => {
  "use strict";
  const say = (text) => {
    document.getElementById("said").textContent = text;
  };

  const text = (cell) => cell.textContent.trim();
  const number = (cell) => {
    const shown = cell.dataset.k ?? cell.firstChild?.textContent ?? "";
    const first = shown.trim().split(/\s/, 1)[0].replaceAll(",", "").replace("\u2212", "-");
    return first === "" ? NaN : Number(first.replace(/^([+-]?)inf$/, "$1Infinity"));
  };

  const sort = (table, heads, column, order) => {
    const body = table.tBodies[0];
    const byText = heads[column].dataset.sort === "text";
    const sign = order === "ascending" ? 1 : -1;
    const keyed = [...body.rows].map((row) => [byText ? text(row.cells[column]) : number(row.cells[column]), row]);
    keyed.sort(([x], [y]) => {
      if (byText) return sign * x.localeCompare(y, "en");
      if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
      return x === y ? 0 : sign * (x < y ? -1 : 1);
    });
    heads.forEach((head) => head.removeAttribute("aria-sort"));
    heads[column].setAttribute("aria-sort", order);
    body.append(...keyed.map(([, row]) => row));
    say(`sorted by ${text(heads[column])}, ${order}`);
  };

  for (const table of document.querySelectorAll("table.ranking")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      if (!head.dataset.sort) return;
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const before = head.getAttribute("aria-sort");
        const first = head.dataset.sort === "text" || text(head) === "rank" ? "ascending" : "descending";
        const order = before === null ? first : before === "ascending" ? "descending" : "ascending";
        sort(table, heads, column, order);
      });
    });
  }

  const form = document.querySelector("form.filters");
  const groups = [...document.querySelectorAll("[data-learner]")];
  const rows = [...document.querySelectorAll("table.ranking tbody tr")];
  const searched = new Map(rows.map((row) => [row, text(row).toLowerCase()]));
  const total = new Set(rows.map((row) => row.dataset.id)).size;

  const filter = () => {
    const values = Object.fromEntries(new FormData(form));
    const words = values.text.toLowerCase().split(/\s+/).filter(Boolean);
    for (const group of groups) {
      const track = group.querySelector("[data-track]").dataset.track;
      group.hidden = (values.learner !== "" && group.dataset.learner !== values.learner) || (values.track !== "" && track !== values.track);
    }
    const shown = new Set();
    for (const row of rows) {
      const fits = words.every((word) => searched.get(row).includes(word)) && (values.badge === "" || row.dataset.badge === values.badge);
      row.hidden = !fits && !row.classList.contains("reference");
      if (!row.hidden && !row.closest("[data-learner]")?.hidden) shown.add(row.dataset.id);
    }
    const said = `${shown.size} of ${total} shown`;
    document.getElementById("count").textContent = said;
  };
  form.addEventListener("input", filter);
  form.addEventListener("change", filter);
  form.addEventListener("reset", () => setTimeout(filter));
  form.addEventListener("submit", (event) => event.preventDefault());
  filter();
})();
