// What is asked of the agent: each question has an end, and the page knows when the agent is gone.

const PATIENCE = 10_000; // milliseconds
const SHARE = 20; // a question that took 1 ms is asked again after 20 ms at the earliest: 5 % of the agent's time
const HIDDEN = 10; // so many times slower while nobody looks
const SLOWEST = 60_000;
const KEPT = "nodeagent-token";

/** An answer that is none: its status, 0 when there was no answer at all, and what the agent said. */
export class Trouble extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Whether the agent answers: "change" when that changes; `since` is when it last did. */
export const link = Object.assign(new EventTarget(), { lost: false, since: Date.now() });

function linked(answers) {
  if (answers) link.since = Date.now();
  if (link.lost !== answers) return;
  link.lost = !answers;
  link.dispatchEvent(new Event("change"));
}

/** Ask for a page by its relative path; `post` is a body. Throws Trouble, or an AbortError when `signal` says so. */
export async function ask(path, { signal, post, text = false } = {}) {
  let response;
  let body;
  const headers = { accept: text ? "text/plain" : "application/json" };
  const token = sessionStorage.getItem(KEPT);
  if (token) headers.authorization = `Bearer ${token}`;
  if (post) headers["content-type"] = "application/json";
  const end = AbortSignal.timeout(PATIENCE);
  try {
    response = await fetch(path, {
      method: post ? "POST" : "GET",
      body: post ? JSON.stringify(post) : undefined,
      headers,
      signal: signal ? AbortSignal.any([signal, end]) : end,
    });
    body = await response.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    linked(false);
    throw new Trouble(0, end.aborted ? "the agent has not answered in time" : "the agent cannot be reached");
  }
  linked(true);
  if (response.status === 401) {
    await newToken(token);
    return ask(path, { signal, post, text });
  }
  if (text) return { status: response.status, body };
  let value;
  try {
    value = JSON.parse(body);
  } catch {
    throw new Trouble(response.status, response.ok ? "the answer is no JSON" : body.trim() || response.statusText);
  }
  if (!response.ok) throw new Trouble(response.status, value.error ?? response.statusText);
  return value;
}

let asking = null;

/** Have another token than `refused`: the one that was given meanwhile, or what the user types. */
function newToken(refused) {
  if (sessionStorage.getItem(KEPT) !== refused) return Promise.resolve();
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById("token");
    const input = document.getElementById("token-value");
    dialog.addEventListener("close", () => {
      sessionStorage.setItem(KEPT, input.value);
      input.value = "";
      asking = null;
      resolve();
    }, { once: true });
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    dialog.showModal();
  });
  return asking;
}

/** Run `task` now and every `every` seconds until `signal` aborts; less often when it takes long or nobody looks. Returns
 * what runs it at once. */
export function poll(task, every, signal) {
  let timer;
  let running = false;
  const run = async () => {
    if (running || signal?.aborted) return;
    running = true;
    clearTimeout(timer);
    const began = performance.now();
    try {
      await task();
    } catch (error) {
      if (!(error instanceof Trouble) && !signal?.aborted) console.error(error);
    }
    running = false;
    if (signal?.aborted) return;
    const pause = Math.max(every * 1000, (performance.now() - began) * SHARE) * (document.hidden ? HIDDEN : 1);
    timer = setTimeout(run, link.lost ? 2000 : Math.min(pause, SLOWEST));
  };
  document.addEventListener("visibilitychange", () => document.hidden || run(), { signal });
  signal?.addEventListener("abort", () => clearTimeout(timer));
  run();
  return run;
}

/** Ask for `path` (or what it returns) again and again; `show` gets each answer, `fail` what the agent says instead. */
export function follow(path, every, signal, show, fail = () => {}) {
  return poll(async () => {
    let value;
    try {
      value = await ask(typeof path === "function" ? path() : path, { signal });
    } catch (error) {
      if (error instanceof Trouble && error.status && !signal?.aborted) fail(error);
      throw error;
    }
    if (!signal?.aborted) show(value);
  }, every, signal);
}
