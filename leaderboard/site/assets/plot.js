// Draws learning curves and intervals as SVG, and takes in the data of submissions.
(() => {
  "use strict";
  const SERIES = 8;
  const DASHES = ["", "7 2.5", "7 2 1.5 2", "1.5 2.5", "11 3"];
  const made = (name, attributes = {}, ...children) => {
    const part = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) part.setAttribute(key, value);
    part.append(...children);
    return part;
  };
  const number = (value, digits) => (value === null || value === undefined ? "\u2013" : value.toFixed(digits).replace(/^-(?=0(\.0*)?$)/, "").replace("-", "\u2212"));
  const interval = (value, digits) => {
    if (!value) return "\u2013";
    const [estimate, low, high] = value;
    return number(estimate, digits) + (low === null || high === null ? "" : ` [${number(low, digits)}, ${number(high, digits)}]`);
  };
  const look = (i) => ({ className: `s${i % SERIES}`, dash: DASHES[(Math.floor(i / SERIES) + i) % DASHES.length] });

  const ticks = (low, high, about) => {
    const rough = (high - low) / about;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
    const found = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i += 1) found.push(i * step);
    return { found, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
  };

  const path = (xs, ys, x, y) => {
    let d = "";
    let pen = false;
    xs.forEach((at, i) => {
      if (ys[i] === null) { pen = false; return; }
      d += `${pen ? "L" : "M"}${x(at).toFixed(1)} ${y(ys[i]).toFixed(1)}`;
      pen = true;
    });
    return d;
  };
  const band = (xs, low, high, x, y) => {
    const at = xs.map((_, i) => i).filter((i) => low[i] !== null && high[i] !== null);
    const point = (i, values) => `${x(xs[i]).toFixed(1)} ${y(values[i]).toFixed(1)}`;
    return at.length < 2 ? "" : `M${at.map((i) => point(i, high)).join("L")}L${at.reverse().map((i) => point(i, low)).join("L")}Z`;
  };

  // One panel: series are {label, className, dash, x, values: [estimate, low, high]}.
  const curves = (series, threshold, title) => {
    const [width, height, left, right, top, bottom] = [360, 210, 34, 8, 8, 34];
    const all = series.flatMap((s) => s.values.flat()).filter((v) => v !== null);
    const low = Math.min(0, ...all), high = Math.max(1, threshold ?? 1, ...all);
    const x = (v) => left + v * (width - left - right);
    const y = (v) => top + ((high - v) / (high - low)) * (height - top - bottom);
    const ends = series.map((s) => `${s.label}: ${number(s.values[0][0], 2)} at the start, ${number(s.values[0].at(-1), 2)} at the end`);
    const svg = made("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Learning curves on ${title}. ${ends.join("; ")}.` });
    const scale = ticks(low, high, 6);
    for (const v of scale.found) {
      svg.append(made("path", { class: "rule", d: `M${left} ${y(v)}H${width - right}` }));
      svg.append(made("text", { class: "tickmark", x: left - 6, y: y(v) + 4, "text-anchor": "end" }, number(v, scale.digits)));
    }
    for (const v of [0, 0.25, 0.5, 0.75, 1]) {
      svg.append(made("path", { class: "axis", d: `M${x(v)} ${height - bottom}v4` }));
      svg.append(made("text", { class: "tickmark", x: x(v), y: height - bottom + 16, "text-anchor": v === 1 ? "end" : "middle" }, `${100 * v} %`));
    }
    svg.append(made("path", { class: "axis", d: `M${left} ${height - bottom}H${width - right}` }));
    svg.append(made("text", { x: (left + width - right) / 2, y: height - 3, "text-anchor": "middle" }, "share of the target budget"));
    if (threshold !== undefined) svg.append(made("path", { class: "threshold", d: `M${left} ${y(threshold)}H${width - right}` }));
    for (const s of series) {
      if (s.values.length === 3) svg.append(made("path", { class: `band ${s.className}`, d: band(s.x, s.values[1], s.values[2], x, y) }));
    }
    for (const s of series) {
      const attributes = { class: `line ${s.className}`, d: path(s.x, s.values[0], x, y) };
      if (s.dash) attributes["stroke-dasharray"] = s.dash;
      svg.append(made("path", attributes, made("title", {}, s.label)));
    }
    return svg;
  };

  // Intervals, one line each: items are {label, className, value: [estimate, low, high]}.
  const intervals = (items, title, digits, zero) => {
    const [width, line, left, right, top, bottom] = [360, 34, 6, 6, 4, 24];
    const height = top + items.length * line + bottom;
    const all = items.flatMap((item) => item.value ?? []).filter((v) => v !== null);
    let low = Math.min(zero, ...all), high = Math.max(zero, ...all);
    if (low === high) high = low + 1;
    const x = (v) => left + 4 + ((v - low) / (high - low)) * (width - left - right - 8);
    const words = items.map((item) => `${item.label} ${interval(item.value, digits)}`);
    const svg = made("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title}: ${words.join("; ")}.` });
    const scale = ticks(low, high, 5);
    for (const v of scale.found) {
      svg.append(made("path", { class: v === zero ? "zero" : "rule", d: `M${x(v)} ${top}V${height - bottom}` }));
      svg.append(made("text", { class: "tickmark", x: x(v), y: height - bottom + 16, "text-anchor": "middle" }, number(v, scale.digits)));
    }
    items.forEach((item, i) => {
      const middle = top + i * line + 25;
      const short = item.label.length > 30 ? `${item.label.slice(0, 29)}\u2026` : item.label;
      svg.append(made("text", { x: left, y: middle - 11 }, short, made("title", {}, item.label)));
      svg.append(made("text", { x: width - right, y: middle - 11, "text-anchor": "end" }, interval(item.value, digits)));
      if (!item.value || item.value[0] === null) return;
      const [estimate, from, to] = item.value;
      if (from !== null && to !== null) svg.append(made("path", { class: `line ${item.className}`, d: `M${x(from)} ${middle}H${x(to)}` }));
      svg.append(made("circle", { class: `dot ${item.className}`, cx: x(estimate), cy: middle, r: 4 }));
    });
    return svg;
  };

  const swatch = (className, dash) => {
    const attributes = { class: `line ${className}`, d: "M1 6H33" };
    if (dash) attributes["stroke-dasharray"] = dash;
    return made("svg", { class: "swatch", viewBox: "0 0 34 12", "aria-hidden": "true", focusable: "false" }, made("path", attributes));
  };

  // Data of submissions arrives as scripts, which a page may load from a disk too.
  const arrived = new Map();
  const waiting = new Map();
  const receive = (id, content) => {
    arrived.set(id, content);
    for (const tell of waiting.get(id) ?? []) tell(content);
    waiting.delete(id);
  };
  const load = (id) =>
    new Promise((resolve, reject) => {
      if (arrived.has(id)) { resolve(arrived.get(id)); return; }
      const first = !waiting.has(id);
      waiting.set(id, [...(waiting.get(id) ?? []), resolve]);
      if (!first) return;
      const script = document.createElement("script");
      script.src = `submissions/${id}.js`;
      script.addEventListener("error", () => { waiting.delete(id); reject(new Error(id)); });
      document.head.append(script);
    });
  window.tlbench = { curves, intervals, interval, number, look, swatch, receive, load };
})();
