// The dtab playground: where a name would go by another table, beside where it goes. Nothing is ever changed.

import { agent, watch } from "./agent.js";
import { chip, code, empty, h, section, show } from "./dom.js";
import { ask, Trouble } from "./fetching.js";
import { share } from "./format.js";
import { byName, drawTree, judged, targets } from "./tree.js";

const WAIT = 350; // milliseconds without a key, after which what was typed is tried

export function playground({ query, signal }) {
  const router = h("select", { id: "play-router" });
  const name = h("input", { id: "play-name", type: "text", value: query.get("name") ?? "", placeholder: "/svc/users or http://users/path", spellcheck: "false", autocomplete: "off" });
  const dtab = h("textarea", { id: "play-dtab", spellcheck: "false", "aria-describedby": "play-error" });
  const error = h("p", { id: "play-error", class: "message bad", role: "status" });
  const result = h("div", empty("Type a name or a URL to see where it goes."));
  const reset = h("button", { type: "button", class: "button" }, "Back to the running one");
  let running = null;
  let timer;
  let turn = 0;

  const take = () => {
    running = agent.routers.find((each) => each.router === router.value) ?? null;
    dtab.value = running?.dtab ?? "";
    dtab.rows = Math.min(20, Math.max(4, dtab.value.split("\n").length + 1));
    attempt();
  };
  const attempt = async () => {
    clearTimeout(timer);
    const mine = ++turn;
    const path = pathOf(name.value.trim(), running?.prefix ?? "/svc");
    if (!path || !running) return show(result, empty(running ? "Type a name or a URL to see where it goes." : "No router is known yet."));
    const about = (own) => ask("delegator.json", { signal, post: { path, namespace: router.value, ...(own === undefined ? {} : { dtab: own }) } });
    const [now, then, clients] = await Promise.allSettled([about(), about(dtab.value), ask("client_state.json", { signal })]);
    if (mine !== turn || signal.aborted) return;
    const wrong = then.reason ?? now.reason;
    if (wrong && !(wrong instanceof Trouble)) return;
    show(error, wrong ? marked(wrong.message, wrong.message.startsWith("path") ? name.value.trim() : dtab.value) : []);
    dtab.setAttribute("aria-invalid", String(Boolean(wrong)));
    if (!wrong) show(result, compared(judged(now.value, byName), judged(then.value, byName), running.dtab ?? "", dtab.value, noteOf(clients.value ?? {}, router.value)));
  };
  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(attempt, WAIT);
  };

  for (const each of [name, dtab]) each.addEventListener("input", soon);
  router.addEventListener("change", take);
  reset.addEventListener("click", take);
  signal.addEventListener("abort", () => clearTimeout(timer));
  watch(signal, () => {
    if (!agent.routers.length || running) return;
    show(router, agent.routers.map((each) => h("option", each.router)));
    const wanted = query.get("router");
    if (agent.routers.some((each) => each.router === wanted)) router.value = wanted;
    take();
  });
  return [
    h("h1", "Dtab playground"),
    h("p.lead", "Edit the table and see where a name would go. The agent answers what it would do; nothing is changed."),
    h("div.play",
      h("div.field", h("label", { for: "play-router" }, "Router"), router),
      h("div.field.grow", h("label", { for: "play-name" }, "Name or URL"), name)),
    h("div.field", h("label", { for: "play-dtab" }, "Dtab", h("span.muted", ": later dentries go first")), dtab),
    error,
    h("p", reset),
    result,
  ];
}

/** The name of a URL as the default identifier gives it, or the name itself. */
function pathOf(text, prefix) {
  if (!text || text.startsWith("/")) return text;
  try {
    const url = new URL(text.includes("://") ? text : `http://${text}`);
    return url.host ? `${prefix}/${url.host}` : text;
  } catch {
    return text;
  }
}

/** What is wrong, with the place where it is: "...column 7..." is pointed at. */
function marked(message, text) {
  const place = /(?:line (\d+), )?column (\d+)/.exec(message) ?? [];
  const line = text.split("\n")[Number(place[1] ?? 1) - 1] ?? "";
  const column = Number(place[2]) - 1;
  if (!(column >= 0)) return [h("span", `✕ ${message}`)];
  return [h("span", `✕ ${message}`), h("pre", { "aria-hidden": "true" }, line.slice(0, column), h("mark", line.slice(column, column + 1) || " "), line.slice(column + 1))];
}

function noteOf(clients, router) {
  return (leaf) => {
    const known = clients[leaf.bound.id]?.routers[router];
    if (!known) return null;
    const all = known.endpoints.length;
    return chip(known.alive ? "ok" : "bad", known.alive ? `${known.alive} of ${all} alive` : `✕ none of ${all} alive: it would be passed over`);
  };
}

function compared(now, then, before, after, note) {
  const changes = lineChanges(before, after);
  const edited = changes.some(([kind]) => kind !== " ");
  const [old, next] = [targets(now), targets(then)];
  const ids = [...new Set([...old.keys(), ...next.keys()])];
  const same = ids.every((id) => Math.abs((old.get(id) ?? 0) - (next.get(id) ?? 0)) < 1e-9);
  if (!edited) return [section("Where it goes", goes(old), drawTree(now, note))];
  return [
    section("What would change",
      h("p.lead", same ? chip("ok", "Nothing for this name") : chip("warn", "! It would go elsewhere"), same ? " Its traffic goes where it goes now." : ""),
      !same && h("table.shares", h("caption.unseen", "Shares of the traffic"),
        h("thead", h("tr", ["To", "Now", "Would be"].map((title, index) => h("th", { scope: "col", class: index ? "number" : "" }, title)))),
        h("tbody", ids.map((id) => h("tr", h("td", code(id)), h("td.number", old.has(id) ? share(old.get(id)) : "none"), h("td.number", next.has(id) ? share(next.get(id)) : "none"))))),
      h("h3", "In the table"),
      h("pre.changes", changes.map(([kind, line]) => h("span", { class: { "+": "added", "-": "gone" }[kind] ?? "" }, `${kind} ${line}\n`)))),
    h("div.columns", section("Running", goes(old), drawTree(now, note)), section("Edited", goes(next), drawTree(then, note))),
  ];
}

function goes(shares) {
  if (!shares.size) return h("p.warn", "! Nowhere: no alternative holds. It is answered with 502.");
  return h("p", "To ", [...shares].map(([id, part], index) => [index ? ", " : "", code(id), part < 1 ? ` (${share(part)})` : ""]), ".");
}

/** What was left out of the dentries of a table, and what was added: their longest common run stays. */
export function lineChanges(before, after) {
  const [a, b] = [before, after].map((text) => text.split("\n").flatMap((line) => line.replace(/(^|\s)#.*/, "").split(";")).map((line) => line.trim().replace(/\s+/g, " ")).filter(Boolean));
  const common = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) common[i][j] = a[i] === b[j] ? common[i + 1][j + 1] + 1 : Math.max(common[i + 1][j], common[i][j + 1]);
  }
  const changes = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) changes.push([" ", a[i++]]) && j++;
    else if (j === b.length || (i < a.length && common[i + 1][j] >= common[i][j + 1])) changes.push(["-", a[i++]]);
    else changes.push(["+", b[j++]]);
  }
  return changes;
}
