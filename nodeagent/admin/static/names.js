// Discovery: every source that is followed, and how fresh what it says is.

import { chip, code, h } from "./dom.js";
import { follow } from "./fetching.js";
import { count, NONE, plural, seconds } from "./format.js";
import { check, number, Table, Tools } from "./table.js";

export function names({ signal }) {
  const only = h("input", { type: "checkbox" });
  const told = h("span.muted");
  const table = new Table("Names and their freshness", [
    { title: "Name", sort: (each) => each.name, cell: (each) => code(each.name), kind: "head" },
    { title: "Source", kind: "half", sort: (each) => each.source, cell: (each) => code(each.source) },
    { title: "What", sort: (each) => each.what, cell: (each) => each.what },
    { title: "State", sort: (each) => each.state, cell: (each) => state(each) },
    number("Endpoints", (each) => count(each.endpoints), (each) => each.endpoints),
    number("Confirmed", (each) => (each.age === null ? NONE : `${seconds(each.age)} ago`), (each) => each.age, "when its source said last that it is so"),
    { title: "Freshness", kind: "half", sort: (each) => each.stale, cell: (each) => freshness(each) },
    { title: "Last error", sort: (each) => each.error ?? "", cell: (each) => each.error ? [each.error, h("span.muted", each.error_age === null ? "" : ` ${seconds(each.error_age)} ago`)] : NONE, kind: "wide" },
    number("Asked again", (each) => (each.next_attempt === null ? NONE : `in ${seconds(each.next_attempt)}`), (each) => each.next_attempt),
    number("Used by", (each) => count(each.subscribers), (each) => each.subscribers),
  ], { key: (each) => `${each.source} ${each.what} ${each.name}`, mark: (each) => (each.error ? "failed" : ""), order: 6 });
  let all = [];
  const draw = () => {
    const found = all.filter((each) => (!only.checked || each.error || each.stale) && tools.fits(each.source, each.name, each.error));
    const bad = all.filter((each) => each.error || each.stale).length;
    told.textContent = `${plural(all.length, "source")}${bad ? `, ${bad} with an error` : ", all well"}`;
    table.show(found, all.length ? "No name is like that." : "No name is followed now: discovery begins with the first request for a name.");
  };
  const tools = new Tools("source, name, error", draw, check("with an error only", only));
  table.show([], "Loading.");
  follow("namer_state.json", 3, signal, (found) => {
    all = found;
    draw();
  }, (trouble) => table.show([], trouble.message));
  return [
    h("div.titled", h("h1", "Names and their freshness"), told),
    tools.element,
    table.element,
  ];
}

function state({ state: word }) {
  return chip({ bound: "ok", failed: "bad" }[word] ?? "", word ?? "known");
}

function freshness({ stale, overdue, error, age }) {
  if (overdue) return chip("bad", `✕ stale for ${seconds(stale)}, too long`);
  if (stale) return chip("warn", `! stale for ${seconds(stale)}`);
  if (error) return chip("warn", age === null ? "! never known" : "! fresh, with an error");
  return chip("ok", "fresh");
}
