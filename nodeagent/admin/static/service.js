// One service: how it does, where its name leads, and how its endpoints are.

import { agent, sample, watch } from "./agent.js";
import { chip, code, empty, h, section, show, shower } from "./dom.js";
import { ask, follow, poll, Trouble } from "./fetching.js";
import { count, load, ms, NONE, perSecond, plural } from "./format.js";
import { keyOf } from "./numbers.js";
import { fact, successOf, Tile, Tiles } from "./overview.js";
import { RequestTable } from "./requests.js";
import { number, Table } from "./table.js";
import { byExplanation, drawTree, judged } from "./tree.js";

const RECENT = 200; // requests that are looked through for those of this service
const WARM = [1.5, 3, 8]; // times the latency of the quickest endpoint, from which on the colours of heat begin

export function service({ parts: [router = "", name = ""], signal }) {
  const key = keyOf(router, name);
  const found = () => agent.numbers.services.get(key);
  const tiles = new Tiles(found, new Tile("Retries", "a second", (each) => [perSecond(each.rate("retries")), "/s"], (each) => [{ points: each.rates("retries"), kind: "slow", fill: true }]));
  const policy = h("dl.facts");
  const tellPolicy = shower(policy, makePolicy);
  const missing = h("p.empty", { hidden: true }, "Nothing has been counted for this name yet, or it has been forgotten because nobody asked for it.");
  watch(signal, () => {
    tiles.update();
    missing.hidden = Boolean(found());
    tellPolicy(policyOf(router, name, found()));
  });

  const tree = h("div", empty("Loading."));
  const tellTree = shower(tree, ([drawn, explained]) => makeTree(drawn, explained));
  const endpoints = new Endpoints();
  poll(async () => {
    try {
      const query = `path=${encodeURIComponent(name)}`;
      const [drawn, explained] = await Promise.all([
        ask(`delegator.json?${query}&namespace=${encodeURIComponent(router)}`, { signal }),
        ask(`explain.json?${query}&router=${encodeURIComponent(router)}`, { signal }),
      ]);
      tellTree([drawn, settled(explained)]);
      endpoints.explained(explained, drawn);
    } catch (trouble) {
      if (trouble instanceof Trouble && trouble.status) show(tree, empty(trouble.message));
      throw trouble;
    }
  }, 3, signal);

  const list = new RequestTable({ service: false, page: 15 });
  list.table.show([], "Loading.");
  follow(`requests.json?limit=${RECENT}`, 3, signal, (all) => {
    const own = all.filter((each) => each.router === router && each.name === name);
    list.table.show(own, "None of the last requests was for this service.");
    endpoints.observed(own);
  }, (trouble) => list.table.show([], trouble.message));

  return [
    h("p.crumbs", h("a", { href: "#/" }, "Services"), " / ", router),
    h("div.titled", h("h1.name", name), h("a.button", { href: `#/playground?router=${encodeURIComponent(router)}&name=${encodeURIComponent(name)}` }, "Try another dtab")),
    missing,
    tiles.element,
    section("Where it goes", tree),
    section("Endpoints", endpoints.element),
    section("Retries, hedges and limits", policy),
    section("Recent requests", list.element),
  ];
}

/** An explanation without what each request changes, so that its tree is drawn only when it is another one. */
function settled(explained) {
  const still = ({ age, ...rest }) => ({ ...rest, state: rest.state?.map(({ endpoint, health }) => ({ endpoint, health })) });
  return { ...explained, bound: explained.bound.map(still), left: explained.left?.map(still), doubts: explained.doubts?.map(({ path, state, error }) => ({ path, state, error })) };
}

function makeTree(drawn, explained) {
  const word = { neg: "Nothing is known by this name", empty: "A rule says that nobody serves this name", fail: "A rule refuses this name" }[explained.outcome];
  return [
    explained.error && h("p.bad", "✕ ", explained.error),
    word && h("p.warn", `! ${word}: it is answered with 502.`),
    explained.dtab_error && h("p.warn", "! The table is the last good one: ", explained.dtab_error),
    explained.doubts?.map(({ path, state, error }) => h("p.warn", "! ", code(path), ` is ${state}`, error ? `: ${error}` : "")),
    drawTree(judged(drawn, byExplanation(explained)), (leaf) => allOut(explained, leaf) && chip("bad", "✕ no endpoint is alive")),
  ];
}

function allOut({ bound }, leaf) {
  const { state } = bound.find((each) => each.id === leaf.bound.id) ?? {};
  return state?.length && state.every((each) => each.health !== "alive");
}

class Endpoints {
  constructor() {
    this.latencies = new Map();
    this.rows = [];
    this.table = new Table("Endpoints", [
      { title: "Endpoint", sort: (each) => each.endpoint, cell: (each) => [code(each.endpoint), each.zone && chip("", each.zone), each.priority && chip("", `priority ${each.priority}`), each.transport && chip("", each.transport.split(/\W/)[0], each.transport)].filter(Boolean), kind: "head" },
      { title: "State", kind: "half", sort: (each) => each.health, cell: (each) => health(each) },
      number("Latency", (each, element) => this.#heat(each, element), (each) => this.latencies.get(each.endpoint)?.median, "median of its recent attempts; the colour tells how it compares with the quickest"),
      number("Load", (each) => each.load === undefined ? NONE : load(each.load), (each) => each.load, "what the balancer compares: the least one drawn gets the request"),
      number("In flight", (each) => each.pending === undefined ? NONE : count(each.pending), (each) => each.pending),
      number("Ejections", (each) => each.ejections === undefined ? NONE : count(each.ejections), (each) => each.ejections, "times that it was taken out for failing"),
      number("Weight", (each) => String(each.weight), (each) => each.weight),
      { title: "Of", cell: (each) => code(each.of), sort: (each) => each.of, kind: "wide" },
    ], { key: (each) => `${each.of} ${each.endpoint}`, order: 0, down: false, nothing: "It has no endpoint." });
    this.element = this.table.element;
  }

  explained(explained, drawn) {
    const weights = weightsIn(drawn);
    this.rows = [...explained.bound, ...(explained.left ?? [])].flatMap(({ id, endpoints, state, refused = [] }) => [
      ...(state ?? endpoints.map((endpoint) => ({ endpoint }))).map((each) => ({ ...each, of: id, weight: weights.get(each.endpoint) ?? 1 })),
      ...refused.map(({ endpoint, error }) => ({ endpoint, of: id, weight: weights.get(endpoint) ?? 1, health: "refused", error })),
    ]);
    this.table.show(this.rows);
  }

  observed(records) {
    const all = new Map();
    for (const { endpoint, duration_ms: took } of records.flatMap((each) => each.attempts).filter((each) => each.status)) all.set(endpoint, [...(all.get(endpoint) ?? []), took]);
    this.latencies = new Map([...all].map(([endpoint, times]) => [endpoint, { median: times.sort((a, b) => a - b)[times.length >> 1], of: times.length }]));
    this.least = Math.min(...[...this.latencies.values()].map((each) => each.median));
    this.table.show(this.rows, this.rows.length ? undefined : "It has no endpoint.");
  }

  #heat({ endpoint }) {
    const known = this.latencies.get(endpoint);
    if (!known) return h("span.muted", { title: "none of the recent requests went there" }, NONE);
    const step = WARM.filter((times) => known.median >= this.least * times).length;
    return h("span", { class: `heat heat${step}`, title: `median of ${plural(known.of, "attempt")}` }, ms(known.median));
  }
}

function health({ health: state, reason, kept, error }) {
  if (!state) return chip("", "not called yet");
  const [kind, sign] = { alive: ["ok", "●"], probing: ["warn", "◐"], dead: ["bad", "✕"], refused: ["bad", "✕"] }[state] ?? ["", ""];
  return [chip(kind, `${sign} ${state}${reason ? `: ${reason}` : ""}${kept ? ", kept" : ""}`, error), error && h("span.muted.why", error)].filter(Boolean);
}

function weightsIn(node, found = new Map()) {
  for (const { ip, port, meta } of node.bound?.addr.addrs ?? []) found.set(ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`, meta.endpoint_addr_weight ?? 1);
  for (const each of [node.delegate, ...(node.alt ?? []), ...(node.union ?? []).map((branch) => branch.tree)]) if (each) weightsIn(each, found);
  return found;
}

function policyOf(router, name, counted) {
  const labels = { router, service: name };
  const of = (metric, more = {}) => sample(`nodeagent_${metric}`, { ...labels, ...more });
  return {
    success: counted?.success ?? null,
    actual: counted?.actual ?? null,
    retries: counted?.now.retries ?? null,
    budget: counted?.now.budget ?? null,
    exhausted: counted?.now.exhausted ?? null,
    won: of("service_hedges_total", { result: "won" }),
    lost: of("service_hedges_total", { result: "lost" }),
    failed: of("service_hedges_total", { result: "failed" }),
    refused: of("service_hedge_budget_exhausted_total"),
    limit: of("service_concurrency_limit"),
    underWay: of("service_concurrency"),
    rejected: of("service_rejected_total"),
  };
}

function makePolicy(known) {
  const hedged = known.won !== null;
  return [
    fact("Success, effective", successOf(known.success)),
    fact("Success, actual", successOf(known.actual), h("span.muted", " of single attempts")),
    fact("Retries", count(known.retries), h("span.muted", " since the start")),
    fact("Retry budget", count(known.budget), h("span.muted", known.exhausted ? ` left; spent ${plural(known.exhausted, "time")}` : " left, never spent")),
    fact("Hedges", hedged ? `${count(known.won)} won, ${count(known.lost)} lost, ${count(known.failed)} failed` : "none", hedged && known.refused ? h("span.warn", ` ! ${plural(known.refused, "time")} no budget`) : ""),
    fact("Concurrency", known.limit === null ? "no limit" : `${count(known.underWay)} of ${count(known.limit)}`, known.rejected ? h("span.warn", ` ! ${count(known.rejected)} rejected`) : ""),
  ];
}
