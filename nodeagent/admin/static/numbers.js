// Counters as they were read, and what follows from them: rates, shares, quantiles. Pure.

export const SPAN = 300; // seconds that are kept
const LATELY = 10; // seconds that a rate is of
const MINUTE = 60;

/** One counted thing over time; each point has the counters and gauges of one moment. */
export class Counted {
  points = [];

  add(point) {
    const last = this.points.at(-1);
    if (last && point.requests < last.requests) this.points = []; // the agent was started anew
    this.points.push(point);
    while (this.points[0].at < point.at - SPAN) this.points.shift();
  }

  get now() {
    return this.points.at(-1);
  }

  /** How much `key` grew within about the last `seconds`, and in what time; null while only one moment is known. */
  growth(key, seconds) {
    const last = this.now;
    const first = this.points.findLast((point) => point.at <= last.at - seconds + 0.5) ?? this.points[0];
    return first === last ? null : { by: last[key] - first[key], in: last.at - first.at };
  }

  rate(key = "requests", seconds = LATELY) {
    const growth = this.growth(key, seconds);
    return growth === null ? null : growth.by / growth.in;
  }

  /** The part of `part` in `whole` within the last minute; since the start while only one moment is known. */
  part(part, whole) {
    const [of, all] = this.points.length > 1
      ? [this.growth(part, MINUTE).by, this.growth(whole, MINUTE).by]
      : [this.now[part], this.now[whole]];
    return all > 0 ? of / all : null;
  }

  get success() {
    return this.part("success", "requests");
  }

  /** Success of single attempts: each retry is one that failed. */
  get actual() {
    return this.part("success", "attempts");
  }

  get idle() {
    const growth = this.growth("requests", MINUTE);
    return growth !== null && growth.by === 0;
  }

  /** A series for a chart: [at, value] for each interval, of how much `key` grew in a second. */
  rates(key) {
    const shown = [];
    for (let i = 1; i < this.points.length; i++) {
      const [before, after] = [this.points[i - 1], this.points[i]];
      shown.push([after.at, (after[key] - before[key]) / (after.at - before.at)]);
    }
    return shown;
  }

  values(key) {
    return this.points.filter((point) => point[key] !== null && point[key] !== undefined).map((point) => [point.at, point[key]]);
  }
}

/** All numbers of the agent, taken from `/admin/metrics.json?tree=1` moment by moment. */
export class Numbers {
  at = null;
  total = new Counted();
  services = new Map();
  clients = new Map();

  take(tree, at) {
    const summaries = [];
    const seen = new Set();
    const sum = { at, requests: 0, success: 0, failures: 0, connections: 0, pending: 0, retries: 0, p50: null, p99: null };
    for (const [router, scopes] of Object.entries(tree.rt ?? {})) {
      for (const server of Object.values(scopes.server ?? {})) {
        for (const key of ["requests", "success", "failures"]) sum[key] += server[key].counter;
        sum.connections += server.connections.gauge;
      }
      for (const [name, service] of Object.entries(scopes.service ?? {})) {
        const key = keyOf(router, name);
        seen.add(key);
        this.#put(this.services, key, { router, name }, servicePoint(service, at));
        sum.pending += service.pending.gauge;
        sum.retries += service.retries.total.counter;
        if (service.request_latency_ms["stat.count"]) summaries.push(service.request_latency_ms);
      }
      for (const [name, client] of Object.entries(scopes.client ?? {})) {
        const key = keyOf(router, name);
        seen.add(key);
        this.#put(this.clients, key, { router, name }, clientPoint(client, at));
      }
    }
    for (const map of [this.services, this.clients]) {
      for (const key of map.keys()) if (!seen.has(key)) map.delete(key);
    }
    if (summaries.length) [sum.p50, sum.p99] = [0.5, 0.99].map((part) => quantile(summaries, part));
    this.total.add({ ...sum, attempts: sum.requests + sum.retries });
    this.at = at;
  }

  #put(map, key, about, point) {
    let known = map.get(key);
    if (!known) {
      known = Object.assign(new Counted(), { ...about, key, title: about.name === "other" ? "other" : `/${about.name}` });
      map.set(key, known);
      // What was not there a moment ago had counted nothing.
      if (this.at !== null) known.add({ ...point, at: this.at, requests: 0, success: 0, failures: 0, retries: 0, attempts: 0 });
    }
    known.add(point);
  }
}

export function keyOf(router, name) {
  return JSON.stringify([router, name.replace(/^\//, "")]);
}

function counters(scope, at) {
  return { at, requests: scope.requests.counter, success: scope.success.counter, failures: scope.failures.counter };
}

function latency(scope) {
  const stat = scope.request_latency_ms;
  const known = stat["stat.count"] > 0;
  return { p50: known ? stat["stat.p50"] : null, p99: known ? stat["stat.p99"] : null };
}

function servicePoint(scope, at) {
  const point = { ...counters(scope, at), ...latency(scope), pending: scope.pending.gauge };
  point.retries = scope.retries.total.counter;
  point.attempts = point.requests + point.retries;
  point.budget = scope.retries.budget.gauge;
  point.exhausted = scope.retries.budget_exhausted.counter;
  return point;
}

function clientPoint(scope, at) {
  const balancer = scope.loadbalancer ?? {};
  const point = { ...counters(scope, at), ...latency(scope), pending: scope.pending.gauge };
  point.size = balancer.size?.gauge ?? 0;
  point.available = balancer.available?.gauge ?? 0;
  return point;
}

const KNOWN = [[0.5, "p50"], [0.9, "p90"], [0.95, "p95"], [0.99, "p99"], [0.999, "p9990"], [1, "max"]];

/** A quantile of several distributions together, by the few that are known of each: between those it is interpolated. */
export function quantile(summaries, part) {
  const all = summaries.reduce((sum, each) => sum + each["stat.count"], 0);
  let [low, high] = [0, Math.max(...summaries.map((each) => each["stat.max"]))];
  for (let i = 0; i < 30; i++) {
    const middle = (low + high) / 2;
    const below = summaries.reduce((sum, each) => sum + each["stat.count"] * partBelow(each, middle), 0);
    if (below < part * all) low = middle;
    else high = middle;
  }
  return high;
}

function partBelow(summary, value) {
  let [part, at] = [0, summary["stat.min"]];
  if (value < at) return 0;
  for (const [next, name] of KNOWN) {
    const to = summary[`stat.${name}`];
    if (value < to) return part + ((next - part) * (value - at)) / (to - at);
    [part, at] = [next, to];
  }
  return 1;
}

/** Samples of Prometheus' text format: [{name, labels, value}]. */
export function samples(text) {
  const found = [];
  for (const line of text.split("\n")) {
    const match = /^([a-z_:][\w:]*)(?:\{(.*)\})? (\S+)/i.exec(line);
    if (!match) continue;
    const labels = {};
    for (const [, key, value] of (match[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
      labels[key] = value.replace(/\\(.)/g, (_, char) => (char === "n" ? "\n" : char));
    }
    found.push({ name: match[1], labels, value: Number(match[3]) });
  }
  return found;
}
