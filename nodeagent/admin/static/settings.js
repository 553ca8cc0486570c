// The configuration with the origin of each value, log levels, raw pages.

import { chip, code, empty, h, section, show } from "./dom.js";
import { ask, Trouble } from "./fetching.js";
import { seconds } from "./format.js";
import { check, Table, Tools } from "./table.js";

const pages = document.getElementById("pages"); // they stand in the page for whoever has no scripts

export function configuration({ signal }) {
  const own = h("input", { type: "checkbox", checked: true });
  const table = new Table("Configuration", [
    { title: "Key", cell: (each) => code(each.key), sort: (each) => each.key, kind: "head" },
    { title: "Value", cell: (each) => (each.value.includes("\n") ? h("pre", each.value) : code(each.value)), kind: "wide" },
    { title: "Origin", cell: (each) => (each.origin === "default" ? h("span.muted", "default") : code(each.origin)), sort: (each) => each.origin },
  ], { key: (each) => each.key, page: 200 });
  let all = [];
  const draw = () => {
    const found = all.filter((each) => (!own.checked || each.origin !== "default") && tools.fits(each.key, each.value, each.origin));
    table.show(found, all.length ? "No value is like that." : "Loading.");
  };
  const tools = new Tools("key, value, file", draw, check("without defaults", own));
  draw();
  ask("config.json", { signal }).then((found) => {
    all = flat(found);
    draw();
  }, (trouble) => {
    if (trouble instanceof Trouble) table.show([], trouble.message);
  });
  return [
    h("h1", "Configuration"),
    tools.element,
    table.element,
  ];
}

/** All values by their path: `routers[0].servers[0].port`. */
function flat(value, key = "") {
  if (value !== null && typeof value === "object" && "value" in value && "origin" in value) {
    return [{ key, value: readable(value.value), origin: value.origin }];
  }
  if (Array.isArray(value)) return value.flatMap((each, index) => flat(each, `${key}[${index}]`));
  if (value !== null && typeof value === "object") return Object.entries(value).flatMap(([name, each]) => flat(each, key ? `${key}.${name}` : name));
  return [{ key, value: readable(value), origin: "" }];
}

function readable(value) {
  if (typeof value === "string") return value.includes(" => ") ? value.replaceAll(" ; ", " ;\n") : value;
  return JSON.stringify(value);
}

export function more({ signal }) {
  const levels = h("div", empty("Loading."));
  ask("logging.json", { signal }).then((found) => show(levels, drawLevels(found)), (trouble) => {
    if (trouble instanceof Trouble) show(levels, empty(trouble.status === 404 ? "This agent does not show its log levels." : trouble.message));
  });
  return [
    h("h1", "More"),
    section("Pages for programs", pages),
    section("Log levels", levels),
  ];
}

function drawLevels(found) {
  if (!Array.isArray(found) || !found.length) return empty("There are none.");
  const table = new Table("Log levels", [
    { title: "Logger", cell: (each) => code(each.logger), kind: "head" },
    { title: "Level", cell: (each) => chip("", each.level) },
    { title: "Changed", cell: (each) => (each.secondsLeft ? `for ${seconds(each.secondsLeft)} more` : "") },
    { title: "What it tells", cell: (each) => each.tells ?? "", kind: "wide" },
  ], { key: (each) => each.logger });
  table.show(found);
  return table.element;
}
