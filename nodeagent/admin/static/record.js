// One request: why it went where it did, and how that went.

import { chip, code, copyable, empty, h, section } from "./dom.js";
import { ask, Trouble } from "./fetching.js";
import { bytes, clock, load, ms, NONE, plural, share } from "./format.js";
import { fact, serviceLink } from "./overview.js";
import { failed, recordLink, statusChip } from "./requests.js";

export function record({ parts: [id = ""], query, signal }) {
  const place = h("div", empty("Loading."));
  ask(`requests/${encodeURIComponent(id)}.json`, { signal }).then(
    (found) => place.replaceChildren(...drawn(found, query.get("time"))),
    (trouble) => {
      if (trouble instanceof Trouble) place.replaceChildren(h("h1", "Request ", id), empty(trouble.message));
    },
  );
  return [h("p.crumbs", h("a", { href: "#/requests" }, "Requests"), " / ", code(id)), place];
}

function drawn(found, time) {
  const all = [found, ...(found.earlier ?? [])];
  const each = all.find((one) => one.time === time) ?? found;
  const others = all.filter((one) => one !== each);
  return [
    h("div.titled", h("h1.url", `${each.method} ${each.url}`), statusChip(each)),
    h("p.lead", because(each)),
    each.message && h("p", { class: failed(each) ? "message bad" : "message" }, failed(each) && "✕ ", each.message),
    h("div.columns", section("Timings", waterfall(each)), section("What it was", facts(each))),
    section("Where its name led", naming(each)),
    section("Attempts", each.attempts.length ? each.attempts.map((attempt, index) => attempted(attempt, index)) : empty("It never got to an endpoint.")),
    others.length > 0 && section(`Other requests of this trace (${others.length})`,
      h("ul", others.map((one) => h("li", recordLink(one, clock(one.time)), ` ${one.method} ${one.url} `, statusChip(one))))),
  ].filter(Boolean);
}

/** Say in a sentence why it went where it did. */
function because(each) {
  const { attempts } = each;
  if (!attempts.length) return each.blame ? `It got to no endpoint; to blame: ${each.blame}.` : "It got to no endpoint.";
  const last = attempts.findLast((one) => one.endpoint === each.choice) ?? attempts.at(-1);
  const others = last.candidates.filter((one) => !one.chosen);
  let why = `chosen among ${last.endpoints} without comparing loads`;
  if (last.trial) why = "a trial of an endpoint that had failed";
  else if (others.length) why = `the least load of ${plural(last.candidates.length, "endpoint")} drawn from ${last.endpoints}`;
  else if (last.endpoints === 1) why = "its only endpoint";
  const times = attempts.length > 1 ? ` at attempt ${attempts.indexOf(last) + 1}` : "";
  return ["It went to ", code(last.endpoint), `${times}: ${why}.`, each.blame ? ` To blame: ${each.blame}.` : ""];
}

function facts(each) {
  return h("dl.facts",
    fact("Service", each.name ? serviceLink(each.router, each.name) : NONE),
    fact("Time", h("time", { datetime: each.time }, clock(each.time))),
    fact("Router", `${each.router}, at ${each.server}`),
    fact("Caller", code(each.caller)),
    each.policy && fact("Policy", `${each.policy.verdict}, by ${each.policy.rule}`),
    fact("Outcome", each.classification, each.error ? [", ", code(each.error)] : ""),
    fact("To blame", each.blame ?? "nobody"),
    fact("Deadline", each.deadline_ms === null ? "none" : ms(each.deadline_ms)),
    fact("Retry budget left", each.retry_budget ?? NONE),
    fact("Bodies", `${bytes(each.bytes_received)} in, ${bytes(each.bytes_sent)} out${each.whole ? "" : ", cut short"}`),
    each.id && fact("Id", copyable(each.id, "request id")),
    each.trace && fact("Trace", copyable(each.trace, "trace id")));
}

function waterfall(each) {
  const { timings_ms: times, attempts } = each;
  const bars = [["Naming and waiting", [[0, times.bind, "bind"]], ms(times.bind)]];
  attempts.forEach((one, index) => {
    const { start_ms: start, duration_ms: took } = one;
    const connect = one.connect_ms ?? took;
    const parts = [[start, connect, "connect"], [start + connect, took - connect, one.error || one.classification !== "success" ? "fault" : "wait"]];
    bars.push([`Attempt ${index + 1}${one.copy ? " (second copy)" : ""}`, parts, ms(took)]);
  });
  bars.push(["Answer to the caller", [[times.answer, times.total - times.answer, "answer"]], ms(times.total - times.answer)]);
  const all = Math.max(times.total, 0.001);
  const bar = ([from, took, kind]) => h("span", { class: `part ${kind}`, style: { left: `${(100 * from) / all}%`, width: `${(100 * Math.max(took, 0)) / all}%` } });
  return h("table.waterfall",
    h("caption.unseen", "How long each stage took"),
    h("thead.unseen", h("tr", ["Stage", "When", "Took"].map((title) => h("th", { scope: "col" }, title)))),
    h("tbody", bars.map(([title, parts, took]) => h("tr", h("th", { scope: "row" }, title), h("td.lane", h("span.track", parts.map(bar))), h("td.number", took)))),
    h("tfoot", h("tr", h("th", { scope: "row" }, "Total"), h("td", h("span.legend", [["connect", "connecting"], ["wait", "waiting for the head"], ["fault", "failed"]].map(([kind, text]) => h("span", h("i", { class: `part ${kind}` }), text)))), h("td.number", ms(times.total)))));
}

function naming(each) {
  if (!each.steps.length && !each.branches.length) return empty("It was not bound to anything.");
  return [
    h("ol.steps", each.steps.map((step) => h("li", { class: step.result === "bound" ? "taken" : "left" },
      code(step.path), h("span.dentry", " by ", code(step.dentry)), " to ", code(step.to),
      step.result && chip(step.result === "bound" ? "ok" : "", step.result)))),
    each.dtab && h("p", "The caller's own dtab: ", code(each.dtab)),
    each.branches.length > 0 && h("p", "Its traffic went to ", each.branches.map(({ id, weight }, index) => [index ? ", " : "", code(id), ` (${share(weight)})`]), "."),
  ];
}

function attempted({ transport, ...one }, index) {
  const most = Math.max(...one.candidates.map((each) => each.load), 1e-9);
  return h("div.attempt",
    h("h3", `${index + 1}. `, code(one.endpoint), " ", one.status && chip(one.classification === "success" ? "ok" : "bad", String(one.status)), one.trial && chip("warn", "trial"), one.copy && chip("", "second copy")),
    one.error && h("p.bad", "✕ ", one.error),
    h("p.muted", `of ${one.client}; ${plural(one.endpoints, "endpoint")} to choose from; ${one.in_flight} in flight there; began after ${ms(one.start_ms)}, took ${ms(one.duration_ms)}`, transport && `; ${transport.kind}: ${transport.why ?? transport.identity}`),
    one.candidates.length > 0 && h("table.candidates",
      h("caption", "Loads that were compared"),
      h("thead", h("tr", h("th", { scope: "col" }, "Endpoint"), h("th", { scope: "col", class: "number" }, "Load"), h("th", { scope: "col" }, ""))),
      h("tbody", [...one.candidates].sort((a, b) => a.load - b.load).map((each) => h("tr", { class: each.chosen ? "chosen" : "" },
        h("td", code(each.endpoint), each.chosen && chip("ok", "chosen")), h("td.number", load(each.load)),
        h("td.lane", h("span.bar", { "aria-hidden": "true", style: { width: `${Math.max(1, (100 * each.load) / most)}%` } })))))));
}
