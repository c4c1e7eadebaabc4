// Draws a submission's learning curves once its data has arrived.
(() => {
  "use strict";
  const receive = window.tlbench.receive;
  window.tlbench.receive = (id, content) => {
    receive(id, content);
    for (const place of document.querySelectorAll("[data-plot]")) {
      const task = content.tasks.find((each) => each.name === place.dataset.plot);
      const series = content.scratch ? [] : [{ label: "control", className: "control", x: task.x, values: task.control }];
      series.push({ label: content.name, className: "s0", x: task.x, values: task.method });
      place.append(window.tlbench.curves(series, task.threshold, task.name));
    }
  };
})();
