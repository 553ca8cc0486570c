// Which view is shown for which address, and what stands above all of them.

import { agent, begin, sample } from "./agent.js";
import { h, setText, show } from "./dom.js";
import { link } from "./fetching.js";
import { names } from "./names.js";
import { overview } from "./overview.js";
import { playground } from "./playground.js";
import { record } from "./record.js";
import { requests } from "./requests.js";
import { service } from "./service.js";
import { configuration, more } from "./settings.js";

const VIEWS = [
  { at: "", title: "Overview", view: overview },
  { at: "requests", title: "Requests", view: requests },
  { at: "playground", title: "Dtab", view: playground },
  { at: "names", title: "Names", view: names },
  { at: "configuration", title: "Config", view: configuration },
  { at: "more", title: "More", view: more },
  { at: "service", title: "Service", view: service, under: "" },
  { at: "request", title: "Request", view: record, under: "requests" },
];
const THEME = "nodeagent-theme";

const byId = (id) => document.getElementById(id);
const main = byId("main");
let leave = null;

function frame() {
  const links = VIEWS.filter((each) => each.under === undefined);
  show(byId("views"), links.map(({ at, title }) => h("a", { href: `#/${at}`, "data-at": at }, title)));
  byId("skip").addEventListener("click", (event) => {
    event.preventDefault();
    main.focus();
  });
  const theme = byId("theme");
  theme.value = localStorage.getItem(THEME) ?? "";
  const apply = () => (document.documentElement.style.colorScheme = theme.value || "light dark");
  theme.addEventListener("change", () => {
    localStorage.setItem(THEME, theme.value);
    apply();
  });
  apply();
}

/** Show the view of the address: `#/VIEW/PART/PART?KEY=VALUE`, each part encoded. */
function go(moved = true) {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [at, ...parts] = path.split("/").map(decoded);
  const found = VIEWS.find((each) => each.at === at) ?? VIEWS[0];
  leave?.abort();
  leave = new AbortController();
  for (const each of byId("views").children) {
    if (each.dataset.at === (found.under ?? found.at)) each.setAttribute("aria-current", "page");
    else each.removeAttribute("aria-current");
  }
  const titled = parts.length ? `${found.title} ${parts.at(-1)}` : found.title;
  document.title = `${titled} · nodeagent`;
  show(main, found.view({ parts, query: new URLSearchParams(query), signal: leave.signal }));
  if (moved) {
    main.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function standing() {
  const element = byId("standing");
  const version = agent.samples.find((each) => each.name === "nodeagent_build_info")?.labels.version;
  setText(byId("version"), version ?? "");
  const shedding = sample("nodeagent_memory_shedding") === 1;
  let [kind, text] = ["quiet", "Connecting"];
  if (link.lost) [kind, text] = ["bad", "No answer"];
  else if (agent.ready === false) [kind, text] = ["warn", `Not ready: ${agent.whyNot}`];
  else if (shedding) [kind, text] = ["warn", "Short of memory"];
  else if (agent.ready) [kind, text] = ["ok", "Ready"];
  element.className = `standing ${kind}`;
  element.title = text;
  setText(element, text);
}

function gone() {
  const banner = byId("gone");
  if (link.lost) {
    const since = new Date(link.since).toLocaleTimeString();
    setText(banner, `The agent does not answer. What stands here is of ${since}; it goes on by itself when the agent is back.`);
  }
  banner.hidden = !link.lost;
  document.body.classList.toggle("stale", link.lost);
  standing();
}

frame();
go(false);
addEventListener("hashchange", () => go());
agent.addEventListener("change", standing);
link.addEventListener("change", gone);
begin();
standing();
