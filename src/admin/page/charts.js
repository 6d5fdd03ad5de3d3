// Charts of the last ten minutes. Lines are drawn in a box that stretches; words stand beside it.

import { age, bytes, clock, h, seconds, short } from "./draw.js";
import { KEPT_MS, latencies, rates, samples } from "./feed.js";

const [WIDTH, HEIGHT] = [600, 120];
/** A page that was just opened begins with a narrower view. */
const SHOWN_MS_MIN = 60_000;

/** Where the pointer is, by chart. */
const pointed = new Map();

export function charts(redraw) {
  const line = (name) => latencies().map((one) => one[name]);
  const at = (rows, index) => latencies().map((one, place) => [one.at, rows[place] ? rows[place][index] : null]);
  const quantiles = (name, cls) => {
    const rows = line(name);
    return [
      { name: "p99", cls: `${cls} thin`, points: at(rows, 1) },
      { name: "p50", cls, points: at(rows, 0) },
    ];
  };
  const kept = (name) => samples().map((one) => [one.at, one[name]]);
  const rate = (value) => `${short(value)}/s`;
  return h("div", { class: "charts" },
    chart("Throughput", "records a second", rate, redraw, [
      { name: "in", cls: "in", points: rates("in") },
      { name: "out", cls: "out", points: rates("out") },
    ]),
    chart("Backlog", "records that wait", short, redraw, [{ name: "waiting", cls: "waiting fill", points: kept("waiting") }]),
    chart("Time to answer", "from a request to its 202", seconds, redraw, quantiles("ack", "in"), "nothing came in over HTTP"),
    chart("Time to deliver", "one request to a destination", seconds, redraw, quantiles("delivery", "out"), "nothing was sent"),
    chart("Time to sync", "one commit to the disk", seconds, redraw, quantiles("sync", "sync"), "nothing was synced"),
    chart("On disk", "bytes that wait", bytes, redraw, [{ name: "waiting", cls: "waiting fill", points: kept("waitingBytes") }]),
  );
}

function chart(title, what, show, redraw, series, none) {
  const now = samples().at(-1)?.at || Date.now();
  const values = series.flatMap((one) => one.points.map((point) => point[1])).filter((value) => value !== null);
  const top = nice(Math.max(...values, 0), show === bytes ? 1024 : 10);
  const shownMs = Math.min(KEPT_MS, Math.max(SHOWN_MS_MIN, now - (samples()[0]?.at || now)));
  const x = (at) => WIDTH * (1 - (now - at) / shownMs);
  const y = (value) => HEIGHT - (HEIGHT - 3) * (value / top);
  const share = pointed.get(title);
  const at = share === undefined ? null : now - (1 - share) * shownMs;
  const shown = series.map((one) => (at === null ? one.points.findLast((point) => point[1] !== null) : nearest(one.points, at)));
  const legend = series.map((one, index) =>
    h("span", { class: `legend ${one.cls}` }, one.name, " ", h("b", {}, shown[index] && shown[index][1] !== null ? show(shown[index][1]) : "–")));
  const point = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    pointed.set(title, Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)));
    redraw();
  };
  const leave = () => (pointed.delete(title), redraw());
  const words = `${title}, ${what}: ` + series.map((one, index) => `${one.name} ${shown[index] ? show(shown[index][1] || 0) : "none"}`).join(", ");
  return h("figure", { key: title, class: "chart" },
    h("figcaption", {}, h("span", { class: "title" }, title), h("span", { class: "legends" }, legend), h("span", { class: "what" }, at === null ? what : `at ${clock(at)}`)),
    h("div", { class: "plot" },
      h("div", { class: "ys", "aria-hidden": true }, h("span", {}, show(top)), h("span", {}, show(top / 2)), h("span", {}, "0")),
      h("div", { class: "box", onpointermove: point, onpointerleave: leave },
        h("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": words },
          [0, 0.5, 1].map((part) => h("line", { class: "grid", x1: 0, x2: WIDTH, y1: y(top * part), y2: y(top * part) })),
          series.map((one) => drawn(one, x, y)),
          at !== null && h("line", { class: "cursor", x1: x(at), x2: x(at), y1: 0, y2: HEIGHT })),
        values.length === 0 && h("p", { class: "nothing" }, none || "no figures yet"))),
    h("div", { class: "xs", "aria-hidden": true }, h("span", {}, `${age(shownMs / 1000)} ago`), h("span", {}, "now")));
}

function drawn({ cls, points }, x, y) {
  let [line, begun, area] = ["", null, ""];
  const every = Math.max(1, Math.floor(points.length / 300));
  const close = (at) => {
    if (begun !== null) area += `${line.slice(line.lastIndexOf("M"))}L${x(at).toFixed(1)} ${HEIGHT}L${begun} ${HEIGHT}Z`;
    begun = null;
  };
  let last = null;
  points.forEach(([at, value], index) => {
    if (index % every && index !== points.length - 1) return;
    if (value === null) {
      if (last !== null) close(last);
      last = null;
      return;
    }
    const place = `${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
    line += begun === null ? `M${place}` : `L${place}`;
    begun ??= x(at).toFixed(1);
    last = at;
  });
  if (last !== null) close(last);
  return h("g", { class: cls }, h("path", { class: "area", d: area }), h("path", { class: "line", d: line }));
}

function nearest(points, at) {
  let best = null;
  for (const point of points) if (!best || Math.abs(point[0] - at) < Math.abs(best[0] - at)) best = point;
  return best && Math.abs(best[0] - at) < 10_000 ? best : null;
}

/** The next round number, at which the scale ends. */
function nice(value, base) {
  if (value <= 0) return base === 1024 ? 1024 : 1;
  const size = base ** Math.floor(Math.log(value) / Math.log(base));
  const steps = base === 1024 ? [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024] : [1, 2, 5, 10];
  return size * steps.find((step) => value <= size * step * 1.0001);
}
