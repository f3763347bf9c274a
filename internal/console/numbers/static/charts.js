// Draws the charts of the overview from the numbers that the page holds: stacked
// bars, with a line for the period before. Without it the tables are there.
"use strict";
(() => {
  if (!window.uPlot) return;
  const scales = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];

  function short(value, unit) {
    const sign = unit === "usd" ? "$" : "";
    for (const [least, suffix] of scales) {
      if (value >= least * (suffix === "k" ? 10 : 1)) return sign + +(value / least).toFixed(1) + suffix;
    }
    return sign + +value.toFixed(value < 1 ? 4 : 2);
  }

  function exact(value, unit) {
    if (unit !== "usd") return Math.round(value).toLocaleString("en");
    const digits = value > 0 && value < 1 ? 4 : 2; // as the page writes amounts
    return "$" + value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  }

  // paint is the colour that the page's style gives to a class.
  function paint(figure, name) {
    return getComputedStyle(figure).getPropertyValue("--" + name).trim();
  }

  function draw(figure) {
    const data = JSON.parse(figure.querySelector("script").textContent);
    const box = figure.querySelector(".plot");
    const many = data.times.length;
    const x = data.times.map((_, i) => i); // steps are drawn evenly, whatever the clock does

    // What lies below each series, and the tops, from the lowest on.
    const tops = [];
    for (const [k, one] of data.series.entries()) {
      tops.push(one.values.map((value, i) => value + (k ? tops[k - 1][i] : 0)));
    }
    const bars = uPlot.paths.bars({ size: [0.78, 48], gap: 1 });
    const series = [{}];
    const columns = [x];
    for (let k = data.series.length - 1; k >= 0; k--) { // the highest first, the lower ones over it
      const colour = paint(figure, data.series[k].class);
      series.push({ label: data.series[k].name, fill: colour, stroke: colour, width: 0, paths: bars, points: { show: false } });
      columns.push(tops[k]);
    }
    if (data.before) {
      series.push({ label: "before", stroke: paint(figure, "before"), width: 1.5, dash: [4, 3], points: { show: many < 3, size: 6 } });
      columns.push(data.before);
    }

    const tip = document.createElement("div");
    tip.className = "tip";
    tip.hidden = true;

    let over = -1; // the series that the pointer is on
    function show(plot) {
      const i = plot.cursor.idx;
      if (i == null || plot.cursor.left < 0) {
        tip.hidden = true;
        return;
      }
      const value = plot.posToVal(plot.cursor.top, "y");
      over = tops.findIndex((top, k) => value <= top[i] && data.series[k].values[i] > 0);
      const rows = [];
      const head = document.createElement("b");
      head.textContent = data.labels[i];
      rows.push(head);
      const line = (name, text, colour, current) => {
        const row = document.createElement("div");
        const mark = document.createElement("i");
        mark.className = colour;
        const label = document.createElement("span");
        label.textContent = name;
        const number = document.createElement("span");
        number.textContent = text;
        row.append(mark, label, number);
        if (current) row.className = "current";
        rows.push(row);
      };
      for (let k = data.series.length - 1; k >= 0; k--) {
        const one = data.series[k];
        if (one.values[i] > 0) line(one.name, exact(one.values[i], data.unit), one.class, k === over);
      }
      line("Total", exact(tops.length ? tops[tops.length - 1][i] : 0, data.unit), "none", false);
      if (data.before) line("The period before", exact(data.before[i], data.unit), "before", false);
      tip.replaceChildren(...rows);
      tip.hidden = false;
      const right = plot.cursor.left > plot.over.clientWidth / 2;
      tip.style.left = (right ? plot.cursor.left - tip.offsetWidth - 14 : plot.cursor.left + 14) + "px";
      tip.style.top = Math.max(0, Math.min(plot.cursor.top, plot.over.clientHeight - tip.offsetHeight)) + "px";
      plot.over.classList.toggle("leads", over >= 0 && !!data.series[over].address);
    }

    const ink = paint(figure, "soft"), grid = paint(figure, "line");
    const font = "12px system-ui, sans-serif";
    const axis = { stroke: ink, font, ticks: { show: false } };
    const plot = new uPlot({
      width: box.clientWidth, height: figure.dataset.chart === "main" ? 260 : 170,
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, points: { show: false }, y: false },
      scales: {
        x: { time: false, range: [-0.6, many - 0.4] },
        y: { range: (_, __, most) => [0, most > 0 ? most * 1.08 : 1] },
      },
      axes: [
        {
          ...axis, size: 26, grid: { show: false }, space: 90,
          splits: (_, __, ___, ____, step) => {
            const each = Math.max(1, Math.ceil(step));
            const at = [];
            for (let i = 0; i < many; i += each) at.push(i);
            return at;
          },
          values: (_, at) => at.map((i) => label(data, i)),
        },
        { ...axis, size: 58, grid: { stroke: grid, width: 1 }, values: (_, at) => at.map((value) => short(value, data.unit)) },
      ],
      series,
      hooks: { setCursor: [show] },
    }, columns, box);
    plot.over.append(tip);
    plot.over.addEventListener("click", () => {
      const address = over >= 0 && data.series[over].address;
      if (address && address.startsWith("/console/")) location.assign(address);
    });
    return { figure, box, plot };
  }

  // label is the short name of a step on the axis.
  function label(data, i) {
    const words = data.labels[i].replace(/^from /, "").split(" ");
    if (data.step === "month") return words[0].slice(0, 3) + " " + words[1];
    if (data.step === "hour") return words[3];
    return words[1] + " " + words[2];
  }

  const figures = [...document.querySelectorAll("figure[data-chart]")];
  let drawn = [];
  function redraw() {
    for (const { plot } of drawn) plot.destroy();
    drawn = figures.map(draw);
  }
  redraw();

  let waiting = 0;
  new ResizeObserver(() => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => {
      for (const { box, plot } of drawn) {
        if (box.clientWidth && box.clientWidth !== plot.width) plot.setSize({ width: box.clientWidth, height: plot.height });
      }
    });
  }).observe(document.body);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
})();
