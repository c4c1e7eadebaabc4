// Ticked rows side by side: intervals, learning curves, and both as tables. The address holds which rows are ticked.
(() => {
  "use strict";
  const { curves, intervals, interval, number, look, swatch, load } = window.tlbench;
  const MOST = 12;
  const MEASURES = [
    ["score", "Score", 1, 0],
    ["transfer_gain", "Transfer gain", 1, 0],
    ["self_gain", "Self gain", 1, 0],
    ["jumpstart", "Jumpstart", 2, 0],
    ["speed_up", "Speed-up to threshold", 2, 1],
  ];
  const boxes = [...document.querySelectorAll("table.ranking .tick input")];
  const known = new Set(boxes.map((box) => box.closest("tr").dataset.id));
  const tray = document.getElementById("tray");
  const section = document.getElementById("compare");
  const place = document.getElementById("compared");
  const said = document.getElementById("said");
  let ticked = [];
  let drawn = 0;

  const made = (name, text, attributes = {}) => {
    const part = document.createElement(name);
    if (text !== undefined) part.textContent = text;
    for (const [key, value] of Object.entries(attributes)) part.setAttribute(key, value);
    return part;
  };
  const table = (caption, header, rows) => {
    const out = made("table");
    out.append(made("caption", caption));
    const head = out.createTHead().insertRow();
    for (const name of header) head.append(made("th", name, { scope: "col" }));
    const body = out.createTBody();
    for (const cells of rows) {
      const row = body.insertRow();
      cells.forEach((cell, i) => row.append(i === 0 ? made("th", cell, { scope: "row", class: "free" }) : made("td", cell)));
    }
    const scroll = made("div", undefined, { class: "scroll", role: "region", "aria-label": caption, tabindex: "0" });
    scroll.append(out);
    return scroll;
  };
  const folded = (summary, content) => {
    const out = made("details");
    out.append(made("summary", summary), content);
    return out;
  };
  const figure = (title, note, svg) => {
    const out = made("figure");
    const caption = made("figcaption", `${title} `);
    caption.append(made("span", note));
    const plot = made("div", undefined, { class: "plot" });
    plot.append(svg);
    out.append(caption, plot);
    return out;
  };

  const draw = async () => {
    drawn += 1;
    const mine = drawn;
    const ids = [...ticked];
    let found;
    try {
      found = await Promise.all(ids.map(load));
    } catch (error) {
      place.replaceChildren(made("p", `The data of ${error.message} can't be loaded.`));
      return;
    }
    if (mine !== drawn) return;
    const names = found.map((f, i) => (found.filter((g) => g.name === f.name).length > 1 ? `${f.name} (${ids[i].slice(0, 6)})` : f.name));
    const legend = made("ul", undefined, { class: "legend", "aria-label": "Compared submissions" });
    found.forEach((f, i) => {
      const item = made("li");
      const { className, dash } = look(i);
      const link = made("a", names[i], { href: `submissions/${ids[i]}.html` });
      const name = made("bdi");
      name.append(link);
      item.append(swatch(className, dash), name);
      legend.append(item);
    });
    const control = made("li");
    control.append(swatch("control", "5 3"), made("span", "controls"));
    legend.append(control);

    const gains = made("div", undefined, { class: "plots" });
    for (const [key, title, digits, zero] of MEASURES) {
      const items = found.map((f, i) => ({ label: names[i], className: look(i).className, value: f.values[key] }));
      gains.append(figure(title, "", intervals(items, title, digits, zero)));
    }
    const rows = found.map((f, i) => [names[i], f.method, f.learner, ...MEASURES.map(([key, , digits]) => interval(f.values[key], digits)), f.negative ?? "\u2013"]);
    const header = ["submission", "method", "learner", ...MEASURES.map(([, title]) => title), "negative transfer"];

    const tasks = new Map(found.flatMap((f) => f.tasks.map((task) => [task.name, task])));
    const panels = made("div", undefined, { class: "plots" });
    const numbers = [];
    for (const [name, about] of tasks) {
      const series = [];
      const controls = new Set();
      found.forEach((f, i) => {
        const task = f.tasks.find((each) => each.name === name);
        if (!task) return;
        const key = JSON.stringify(task.control);
        if (!f.scratch && !controls.has(key)) {
          controls.add(key);
          series.unshift({ label: `control, ${f.learner}`, className: "control", x: task.x, values: task.control });
        }
        const { className, dash } = look(i);
        series.push({ label: names[i], className, dash, x: task.x, values: task.method });
        const at = (share) => number(task.method[0][Math.round(share * (task.x.length - 1))], 2);
        numbers.push([name, names[i], interval(task.score, 1), interval(task.transfer_gain, 1), at(0), at(0.25), at(0.5), at(0.75), at(1)]);
      });
      panels.append(figure(name, `${about.relation}${about.scored ? "" : ", unscored"}`, curves(series, about.threshold, name)));
    }
    const shares = ["at 0 %", "at 25 %", "at 50 %", "at 75 %", "at 100 %"];
    place.replaceChildren(
      legend,
      made("h3", "Intervals"),
      gains,
      folded("These intervals as a table", table("Compared submissions on the suite", header, rows)),
      made("h3", "Learning curves"),
      panels,
      folded("These curves as a table", table("Normalised return by share of the target budget", ["transfer task", "submission", "score", "transfer gain", ...shares], numbers)),
    );
  };

  const address = () => {
    const hash = ticked.length ? `#compare=${ticked.join(",")}` : "";
    history.replaceState(null, "", `${location.pathname}${location.search}${hash}`);
  };
  const show = () => {
    for (const box of boxes) {
      const row = box.closest("tr");
      box.checked = ticked.includes(row.dataset.id);
      row.classList.toggle("ticked", box.checked);
    }
    tray.hidden = section.hidden = ticked.length === 0;
    document.getElementById("ticked").textContent = `${ticked.length} ticked`;
    if (ticked.length) draw();
    else place.replaceChildren();
  };
  for (const box of boxes) {
    box.addEventListener("change", () => {
      const id = box.closest("tr").dataset.id;
      if (box.checked && ticked.length >= MOST) {
        box.checked = false;
        said.textContent = `at most ${MOST} submissions can be compared at once`;
        return;
      }
      ticked = box.checked ? [...ticked, id] : ticked.filter((other) => other !== id);
      said.textContent = `${ticked.length} ticked for comparison`;
      show();
      address();
    });
  }
  document.getElementById("untick").addEventListener("click", () => {
    ticked = [];
    show();
    address();
    boxes[0].focus();
  });
  tray.querySelector("a").addEventListener("click", (event) => {
    event.preventDefault();
    section.scrollIntoView();
    section.focus({ preventScroll: true });
  });
  const arrive = () => {
    const match = /^#compare=([0-9a-f,]+)$/.exec(location.hash);
    if (!match) return;
    ticked = [...new Set(match[1].split(","))].filter((id) => known.has(id)).slice(0, MOST);
    show();
    if (ticked.length) section.scrollIntoView();
  };
  window.addEventListener("hashchange", arrive);
  show();
  arrive();
})();
