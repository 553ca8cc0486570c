// The first view: how the agent does, and all services.

import { agent, endpointsOf, sample, watch } from "./agent.js";
import { Chart, inWords } from "./charts.js";
import { chip, code, empty, h, section, shower } from "./dom.js";
import { bytes, count, ms, NONE, percent, perSecond, plural, seconds } from "./format.js";
import { SPAN } from "./numbers.js";
import { number, Table, Tools } from "./table.js";

const GOOD = 0.99; // success below is worth a sign
const BAD = 0.9;

export function overview({ signal }) {
  const tiles = new Tiles();
  const about = h("div.about");
  const services = new Services();
  watch(signal, () => {
    tiles.update();
    services.update();
  });
  const told = shower(about, makeAbout);
  watch(signal, () => told(aboutAgent()));
  return [h("h1.unseen", "Overview"), tiles.element, services.element, about];
}

/** A share of success: the number, and a sign where it is low, so that colour is not needed. */
export function successOf(part) {
  const text = percent(part);
  if (part === null || part >= GOOD) return text;
  return h("span", { class: part < BAD ? "bad" : "warn" }, h("span", { "aria-hidden": "true" }, part < BAD ? "▼ " : "▽ "), text);
}

export function serviceLink(router, name) {
  return h("a.name", { href: `#/service/${encodeURIComponent(router)}/${encodeURIComponent(name)}` }, name);
}

/** The numbers of one counted thing as tiles with charts; of the agent unless `counted` is given. */
export class Tiles {
  constructor(counted = () => agent.numbers.total, more = new Tile("Connections", "open to the listeners", (each) => [count(each.now.connections)], (each) => [{ points: each.values("connections"), kind: "flow", fill: true }])) {
    this.counted = counted;
    this.tiles = [
      new Tile("Requests", "a second; failed ones in red", (each) => [perSecond(each.rate()), "/s"], (each) => [
        { points: each.rates("requests"), kind: "flow", fill: true },
        { points: each.rates("failures"), kind: "fault", fill: true },
      ]),
      new Tile("Success", "of the last minute, as callers see it", (each) => [successOf(each.success)], (each) => [
        { points: each.rates("failures"), kind: "fault", fill: true },
      ], (each) => ["before retries ", successOf(each.actual)]),
      new Tile("Latency p50", "median of the last minute", (each) => [ms(each.now?.p50)], (each) => [{ points: each.values("p50"), kind: "flow", fill: true }]),
      new Tile("Latency p99", "of the last minute", (each) => [ms(each.now?.p99)], (each) => [{ points: each.values("p99"), kind: "slow", fill: true }]),
      new Tile("In flight", "requests under way", (each) => [count(each.now?.pending)], (each) => [{ points: each.values("pending"), kind: "flow", fill: true }]),
      more,
    ];
    this.element = h("dl.tiles", this.tiles.map((tile) => tile.element));
  }

  update() {
    const counted = this.counted();
    for (const tile of this.tiles) tile.update(counted);
  }
}

export class Tile {
  constructor(title, about, value, lines, note) {
    Object.assign(this, { title, value, lines, note });
    this.number = h("span.value", NONE);
    this.noted = h("span.muted.note");
    this.chart = new Chart(SPAN, 36);
    this.element = h("div.tile", h("dt", { title: about }, title), h("dd", this.number, note && this.noted, this.chart.element));
  }

  update(counted) {
    const known = counted?.now;
    this.number.replaceChildren(...(known ? this.value(counted) : [NONE]));
    if (!known) return;
    if (this.note) this.noted.replaceChildren(...this.note(counted));
    const lines = this.lines(counted);
    this.chart.draw(lines, inWords(`${this.title}, last ${SPAN / 60} minutes`, lines[0].points, count));
  }
}

class Services {
  constructor() {
    this.count = h("span.muted");
    this.charts = new WeakMap();
    this.table = new Table("Services", this.#columns(), { key: (each) => each.key, mark: (each) => (each.idle ? "idle" : ""), order: 2 });
    this.tools = new Tools("name or router", () => this.update(), this.count);
    this.hint = h("p.empty", { hidden: true });
    this.element = section("Services", this.hint, this.tools.element, this.table.element);
    this.element.classList.add("services");
  }

  #columns() {
    return [
      { title: "Service", sort: (each) => each.title, cell: (each) => [serviceLink(each.router, each.title), several() && h("span.muted.router", each.router)].filter(Boolean), kind: "head" },
      { title: "Rate", about: "requests a second, of the last minutes; failed ones in red", kind: "spark", cell: (each, element) => this.#spark(each, element, "requests a second", (of) => [
        { points: of.rates("requests"), kind: "flow", fill: true }, { points: of.rates("failures"), kind: "fault", fill: true },
      ], count) },
      number("Req/s", (each) => perSecond(each.rate()), (each) => each.rate(), "requests a second, of the last 10 seconds"),
      number("Success", (each) => successOf(each.success), (each) => -(each.success ?? 2), "as callers see it: after retries, of the last minute"),
      number("Actual", (each) => successOf(each.actual), (each) => -(each.actual ?? 2), "success of single attempts: before retries"),
      { title: "Latency", about: "p99 of the last minutes", kind: "spark", cell: (each, element) => this.#spark(each, element, "p99", (of) => [
        { points: of.values("p99"), kind: "slow", fill: true },
      ], ms) },
      number("p50", (each) => ms(each.now.p50), (each) => each.now.p50, "median latency of the last minute"),
      number("p99", (each) => ms(each.now.p99), (each) => each.now.p99, "latency of the last minute"),
      number("Retries/s", (each) => perSecond(each.rate("retries")), (each) => each.rate("retries"), "of the last 10 seconds"),
      number("In flight", (each) => count(each.now.pending), (each) => each.now.pending, "requests under way"),
      number("Endpoints", endpointCell, (each) => missing(endpointsOf(each)), "alive of all"),
    ];
  }

  #spark(service, element, what, lines, format) {
    let chart = this.charts.get(element);
    if (!chart) {
      chart = new Chart(SPAN, 22);
      this.charts.set(element, chart);
      element.append(chart.element);
    }
    const drawn = lines(service);
    chart.draw(drawn, inWords(what, drawn[0].points, format));
  }

  update() {
    const all = [...agent.numbers.services.values()];
    const found = all.filter((each) => this.tools.fits(each.title, each.router));
    this.hint.hidden = agent.numbers.total.now?.requests !== 0 || !all.length;
    if (!this.hint.hidden && !this.hint.firstChild && agent.routers.length) this.hint.append(...firstSteps());
    const idle = all.filter((each) => each.idle).length;
    this.count.textContent = all.length ? `${plural(all.length, "service")}${idle ? `, ${count(idle)} idle` : ""}` : "";
    this.table.show(found, all.length ? `No service has “${this.tools.field.value}” in its name.` : firstSteps());
  }
}

function missing(known) {
  return known && known.total - known.alive;
}

function several() {
  return agent.routers.length > 1;
}

function endpointCell(service) {
  const known = endpointsOf(service);
  if (!known) return NONE;
  const text = `${count(known.alive)}/${count(known.total)}`;
  if (known.alive === known.total) return text;
  return h("span", { class: known.alive ? "warn" : "bad" }, h("span", { "aria-hidden": "true" }, known.alive ? "▽ " : "▼ "), text);
}

/** What to do while nothing has come yet. */
export function firstSteps() {
  const trouble = agent.trouble.get("admin/metrics.json?tree=1");
  if (trouble) return `The agent does not give its numbers: ${trouble}`;
  if (agent.numbers.at === null) return "Loading.";
  const server = agent.routers.find((each) => each.servers.length)?.servers[0] ?? "127.0.0.1:4140";
  return [h("strong", "No requests yet."), " Try ", code(`http_proxy=http://${server} curl http://users/`),
    " with the name of a service of yours; the ", h("a", { href: "#/playground" }, "playground"), " tells where it would go."];
}

function aboutAgent() {
  const errors = {};
  for (const each of agent.samples.filter((found) => found.name === "nodeagent_errors_total" && found.value)) {
    errors[each.labels.error] = (errors[each.labels.error] ?? 0) + each.value;
  }
  const started = sample("process_start_time_seconds");
  return {
    started: started === null ? null : Math.floor((Date.now() / 1000 - started) / 5) * 5,
    memory: sample("process_resident_memory_bytes"),
    limit: sample("nodeagent_memory_limit_bytes"),
    shedding: sample("nodeagent_memory_shedding"),
    routers: agent.routers.map(({ router, servers, error }) => ({ router, servers, error })),
    errors: Object.entries(errors).sort(([, a], [, b]) => b - a),
    workers: agent.workers,
  };
}

function makeAbout(known) {
  return [
    section("Listeners", known.routers.length ? h("dl.facts", known.routers.map(routerFact)) : empty("No router is known yet.")),
    section("Errors of the agent's own", known.errors.length ? bars(known.errors) : empty("None since it was started.")),
    section("Process", h("dl.facts",
      fact("Uptime", seconds(known.started)),
      fact("Memory", `${bytes(known.memory)}${known.limit ? ` of ${bytes(known.limit)}` : ""}`),
      fact("Shedding", known.shedding ? chip("bad", "yes: memory is short") : known.shedding === null ? NONE : "no"),
      known.workers && fact("Workers", workerChips(known.workers)))),
  ];
}

export function fact(name, ...value) {
  return h("div", h("dt", name), h("dd", value));
}

function routerFact({ router, servers, error }) {
  return fact(router, servers.length ? code(servers.join(", ")) : "nowhere", error && h("p.bad", `! its dtab: ${error}`));
}

function bars(counts) {
  const most = counts[0][1];
  return h("ul.bars", counts.map(([name, value]) => h("li",
    code(name), h("span.number", count(value)), h("span.bar", { "aria-hidden": "true", style: { width: `${Math.max(2, (100 * value) / most)}%` } }))));
}

function workerChips(workers) {
  return h("span.chips", workers.map(({ worker, unready, deaths }) =>
    chip(unready ? "warn" : "ok", `${worker}: ${unready ?? "ready"}${deaths ? `, ${plural(deaths, "death")}` : ""}`)));
}
