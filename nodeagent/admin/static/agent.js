// The agent as this page knows it: numbers, routers, names. Views read it, and hear of "change".

import { ask, follow, poll } from "./fetching.js";
import { keyOf, Numbers, samples } from "./numbers.js";

const WANTED = [
  "nodeagent_build_info",
  "nodeagent_errors_total",
  "nodeagent_memory_limit_bytes",
  "nodeagent_memory_shedding",
  "nodeagent_service_concurrency",
  "nodeagent_service_concurrency_limit",
  "nodeagent_service_hedge_budget_exhausted_total",
  "nodeagent_service_hedges_total",
  "nodeagent_service_rejected_total",
  "nodeagent_worker_up",
  "process_resident_memory_bytes",
  "process_start_time_seconds",
];

export const agent = Object.assign(new EventTarget(), {
  numbers: new Numbers(),
  samples: [],
  routers: [],
  clientsOf: new Map(), // the concrete names of a logical one, by its key
  workers: null, // null where there are none
  ready: null,
  whyNot: "",
  trouble: new Map(), // what the agent says of a page that it does not give
});

function changed() {
  agent.dispatchEvent(new Event("change"));
}

/** Call `update` now if there is something to show, and at each change until `signal` aborts. */
export function watch(signal, update) {
  agent.addEventListener("change", update, { signal });
  if (agent.numbers.at !== null || agent.trouble.size) update();
}

/** The value of a sample, all that match added up; null where there is none. */
export function sample(name, labels = {}) {
  const found = agent.samples.filter((each) => each.name === name && Object.entries(labels).every(([key, value]) => each.labels[key] === value));
  return found.length ? found.reduce((sum, each) => sum + each.value, 0) : null;
}

/** Endpoints of a service: how many are alive, and how many there are; null while that is not known. */
export function endpointsOf(service) {
  const clients = (agent.clientsOf.get(service.key) ?? []).map((id) => agent.numbers.clients.get(keyOf(service.router, id))).filter(Boolean);
  if (!clients.length) return null;
  const sum = (key) => clients.reduce((total, client) => total + client.now[key], 0);
  return { alive: sum("available"), total: sum("size") };
}

function keep(path, every, take) {
  const heard = (value) => {
    agent.trouble.delete(path);
    take(value);
    changed();
  };
  return follow(path, every, undefined, heard, (trouble) => {
    agent.trouble.set(path, trouble.message);
    changed();
  });
}

/** Begin to follow the agent, for as long as the page is open. */
export function begin() {
  const again = keep("admin/metrics.json?tree=1", 2, (tree) => agent.numbers.take(tree, performance.now() / 1000));
  setTimeout(again, 1000); // a rate takes two moments
  keep("routers.json", 10, (routers) => (agent.routers = routers));
  keep("names.json", 5, (names) => {
    agent.clientsOf = new Map(names.filter((each) => !each.dtab).map((each) => [keyOf(each.router, each.name), each.clients.map((client) => client.id)]));
  });
  poll(async () => {
    const { status, body } = await ask(`metrics?${WANTED.map((name) => `name[]=${name}`).join("&")}`, { text: true });
    agent.samples = status === 200 ? samples(body) : [];
    agent.workers = sample("nodeagent_worker_up") === null ? null : await ask("workers.json");
    changed();
  }, 10);
  poll(async () => {
    const { status, body } = await ask("ready", { text: true });
    agent.ready = status === 200 || status === 503 ? status === 200 : null;
    agent.whyNot = body.trim();
    changed();
  }, 5);
}
