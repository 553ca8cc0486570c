// The recent requests: a table that follows them, and filters.

import { chip, code, h } from "./dom.js";
import { follow } from "./fetching.js";
import { clock, ms, NONE, plural } from "./format.js";
import { firstSteps, serviceLink } from "./overview.js";
import { check, number, Table, Tools } from "./table.js";

const KEPT = 200; // requests that are asked for
const SLOW = [10, 100, 500, 1000, 5000]; // milliseconds

export function requests({ query, signal }) {
  const list = new RequestTable();
  const failures = h("input", { type: "checkbox", checked: query.has("failures") });
  const slow = h("select", h("option", { value: 0 }, "any time"), SLOW.map((each) => h("option", { value: each }, `${each} ms or longer`)));
  const pause = h("button", { type: "button", class: "button", "aria-pressed": "false" }, "Pause");
  const told = h("span.muted");
  let records = [];
  let paused = false;
  const draw = () => {
    const found = records.filter((each) => (!failures.checked || failed(each)) && each.timings_ms.total >= Number(slow.value) && tools.fits(...words(each)));
    told.textContent = `${found.length} of the last ${plural(records.length, "request")}${paused ? ", paused" : ""}`;
    list.table.show(found, records.length ? "None of the last requests is like that." : firstSteps());
  };
  const tools = new Tools("name, URL, endpoint, id", draw, check("failures only", failures), check(h("span.unseen", "Took"), slow), pause);
  tools.field.value = query.get("text") ?? "";
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Go on" : "Pause";
    draw();
    if (!paused) again();
  });
  const again = follow(`requests.json?limit=${KEPT}`, 2, signal, (found) => {
    if (paused) return;
    records = found;
    draw();
  }, (trouble) => list.table.show([], trouble.message));
  list.table.show([], "Loading.");
  return [
    h("div.titled", h("h1", "Recent requests"), told),
    tools.element,
    list.element,
  ];
}

export function failed(record) {
  return record.classification === "failure" || record.error !== null || record.status >= 500;
}

function words(record) {
  return [record.name, record.url, record.id, record.trace, record.choice, record.caller, record.method, record.status, record.error, record.blame, record.router];
}

/** The status of an answer, with a sign where it failed. */
export function statusChip(record) {
  const text = String(record.status ?? "none");
  if (failed(record)) return chip("bad", `✕ ${text}`, record.error ?? undefined);
  return chip(record.status >= 400 ? "warn" : "ok", text);
}

export function recordLink(record, text) {
  return record.id ? h("a", { href: `#/request/${record.id}?time=${encodeURIComponent(record.time)}` }, text) : text;
}

/** The table of requests, also of one service. */
export class RequestTable {
  constructor({ service = true, page = 50 } = {}) {
    const columns = [
      { title: "Time", cell: (each) => recordLink(each, clock(each.time)), kind: "head" },
      { title: "Request", cell: (each) => h("span.url", { title: each.url }, `${each.method} ${each.url}`), kind: "wide" },
      service && { title: "Service", kind: "half", cell: (each) => (each.name ? serviceLink(each.router, each.name) : NONE) },
      { title: "Endpoint", kind: "half", cell: (each) => each.choice ? code(each.choice) : NONE },
      number("Attempts", (each) => each.attempts.length > 1 ? h("strong", String(each.attempts.length)) : String(each.attempts.length)),
      { title: "Status", cell: (each) => statusChip(each) },
      { title: "Blame", cell: (each) => each.blame ?? NONE },
      number("Total", (each) => ms(each.timings_ms.total)),
    ].filter(Boolean);
    this.table = new Table("Recent requests", columns, { key: keyOf, mark: (each) => (failed(each) ? "failed" : ""), page });
    this.element = this.table.element;
  }
}

function keyOf(record) {
  return `${record.id} ${record.time} ${record.caller} ${record.attempts[0]?.endpoint}`;
}
