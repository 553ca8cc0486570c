// Small SVG charts of [at, value] over the last minutes; whoever cannot see them is told the numbers.

import { svg } from "./dom.js";

const [WIDTH, HEIGHT] = [120, 32];
const LEAST = 30; // seconds that a chart is of at least

/** A chart of `lines`, each {points, kind, fill}. Draw it anew with `draw(lines, describe)`. */
export class Chart {
  constructor(span, height = HEIGHT) {
    this.span = span;
    this.height = height;
    this.element = svg("svg.chart", { viewBox: `0 0 ${WIDTH} ${height}`, preserveAspectRatio: "none", role: "img" });
    this.element.setAttribute("aria-label", "nothing yet");
  }

  draw(lines, describe) {
    lines = lines.filter(({ kind, points }) => kind !== "fault" || points.some(([, value]) => value > 0));
    const points = lines.flatMap((line) => line.points);
    this.element.setAttribute("aria-label", describe);
    if (points.length < 2) return this.element.replaceChildren();
    const until = Math.max(...points.map(([at]) => at));
    const top = Math.max(...points.map(([, value]) => value)) || 1;
    const span = Math.min(this.span, Math.max(LEAST, until - Math.min(...points.map(([at]) => at))));
    const x = (at) => (WIDTH * (1 - (until - at) / span)).toFixed(2);
    const y = (value) => (this.height - 1 - (this.height - 3) * (value / top)).toFixed(2);
    const shapes = [];
    for (const { points: each, kind, fill } of lines) {
      if (each.length < 2) continue;
      const path = each.map(([at, value]) => `${x(at)},${y(value)}`).join("L");
      if (fill) shapes.push(svg("path", { class: `area ${kind}`, d: `M${x(each[0][0])},${this.height}L${path}L${x(each.at(-1)[0])},${this.height}Z` }));
      shapes.push(svg("path", { class: `line ${kind}`, d: `M${path}` }));
    }
    this.element.replaceChildren(...shapes);
    return this.element;
  }
}

/** What a chart shows, in words. */
export function inWords(what, points, format) {
  if (!points.length) return `${what}: nothing yet`;
  const values = points.map(([, value]) => value);
  return `${what}: now ${format(values.at(-1))}, lowest ${format(Math.min(...values))}, highest ${format(Math.max(...values))}`;
}
