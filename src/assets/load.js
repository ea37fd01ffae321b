"use strict";
// Shows the values under the pointer, or under the cursor that arrow keys move, in all pictures of a window at once.
for (const section of document.querySelectorAll(".window")) {
  const panels = [...section.querySelectorAll(".panel")].filter((panel) => panel.querySelector(".chart")).map((panel) => ({
    chart: panel.querySelector(".chart"),
    cursor: panel.querySelector(".cursor"),
    readout: panel.querySelector(".readout"),
    names: [...panel.querySelectorAll(".values thead th")].slice(1).map((cell) => cell.textContent),
    rows: panel.querySelectorAll(".values tbody tr"),
  }));
  let shown = null;
  const show = (index) => {
    shown = index;
    for (const { cursor, readout, names, rows } of panels) {
      if (index === null) {
        cursor.removeAttribute("x1");
        readout.textContent = "";
        continue;
      }
      const [time, ...values] = [...rows[index].cells].map((cell) => cell.textContent);
      const at = `${((index + 0.5) / rows.length) * 100}%`;
      cursor.setAttribute("x1", at);
      cursor.setAttribute("x2", at);
      readout.textContent = [time, ...values.map((value, i) => `${names[i]} ${value}`)].join("  \u00b7  ");
    }
  };
  for (const { chart, rows } of panels) {
    const last = rows.length - 1;
    const clamp = (index) => Math.min(last, Math.max(0, index));
    const follow = (event) => {
      const box = chart.getBoundingClientRect();
      show(clamp(Math.floor(((event.clientX - box.left) / box.width) * rows.length)));
    };
    chart.addEventListener("pointermove", follow);
    chart.addEventListener("pointerdown", follow);
    chart.addEventListener("pointerleave", () => show(null));
    chart.addEventListener("blur", () => show(null));
    chart.addEventListener("keydown", (event) => {
      const next = { ArrowLeft: (shown ?? last + 1) - 1, ArrowRight: (shown ?? -1) + 1, Home: 0, End: last, Escape: null }[event.key];
      if (next === undefined) return;
      event.preventDefault();
      show(next === null ? null : clamp(next));
    });
  }
}
