// A delegation tree with what becomes of traffic: which branch takes it, which is left, and why.

import { code, h } from "./dom.js";
import { plural, share as showShare } from "./format.js";

/**
 * Say of each node of a `/delegator.json` tree what it comes to. `decide(leaf)` returns {holds, why}. What is returned
 * mirrors the tree: {node, outcome, share, why, below}; `share` is the part of the traffic that goes there.
 */
export function judged(tree, decide) {
  const root = judge(tree, decide);
  give(root, root.outcome === "no" ? 0 : 1);
  return root;
}

function judge(node, decide, weight) {
  const below = branches(node).map(([each, part]) => judge(each, decide, part));
  return { node, weight, below, share: 0, ...outcome(node, below, decide) };
}

function branches(node) {
  if (node.type === "delegate") return [[node.delegate]];
  if (node.type === "alt") return node.alt.map((each) => [each]);
  if (node.type === "union") return node.union.map(({ weight, tree }) => [tree, weight]);
  return [];
}

function outcome(node, below, decide) {
  switch (node.type) {
    case "leaf": {
      const { holds, why } = decide(node);
      return { outcome: holds ? "yes" : "no", why };
    }
    case "delegate":
      return { outcome: below[0].outcome };
    case "alt":
      return { outcome: below.find((each) => each.outcome !== "no")?.outcome ?? "no" };
    case "union":
      return { outcome: ["yes", "fail", "empty"].find((kind) => below.some((each) => each.outcome === kind)) ?? "no" };
    case "neg":
      return { outcome: "no", why: node.path === "~" ? "a rule says that nothing is here" : "nothing is known by this name" };
    case "fail":
      return { outcome: "fail", why: "a rule refuses this name" };
    case "empty":
      return { outcome: "empty", why: "a rule says that nobody serves this name" };
    default:
      return { outcome: "fail", why: node.message };
  }
}

function give(judgement, share) {
  judgement.share = share;
  if (judgement.node.type === "alt") {
    const first = judgement.below.find((each) => each.outcome !== "no");
    for (const each of judgement.below) {
      if (each === first) give(each, share);
      else spare(each, Boolean(first) && judgement.below.indexOf(each) > judgement.below.indexOf(first));
    }
    return;
  }
  if (judgement.node.type === "union") {
    const holding = judgement.below.filter((each) => each.outcome !== "no");
    const all = holding.reduce((sum, each) => sum + each.weight, 0);
    for (const each of judgement.below) give(each, holding.includes(each) && all ? (share * each.weight) / all : 0);
    return;
  }
  for (const each of judgement.below) give(each, share);
}

function spare(judgement, later) {
  if (later && judgement.outcome !== "no") judgement.why = "not needed: an alternative before it holds";
  judgement.spare = later;
  for (const each of judgement.below) spare(each, later);
}

/** Where traffic goes, as a map from concrete names to shares. */
export function targets(judgement, found = new Map()) {
  if (!judgement.below.length && judgement.share > 0) {
    const { node, outcome } = judgement;
    const name = node.type === "leaf" ? node.bound.id : { fail: "refused", empty: "nowhere" }[outcome] ?? "nowhere";
    found.set(name, (found.get(name) ?? 0) + judgement.share);
  }
  for (const each of judgement.below) targets(each, found);
  return found;
}

const SIGNS = { taken: ["●", "taken"], fails: ["✕", "fails"], left: ["○", "left"], spare: ["◌", "spare"] };

function verdict({ outcome, share, spare: isSpare }) {
  if (share > 0) return outcome === "yes" ? "taken" : "fails";
  return isSpare && outcome !== "no" ? "spare" : "left";
}

/** Draw it; `note(leaf)` returns more to show of a leaf, if there is any. */
export function drawTree(judgement, note = () => null) {
  return h("ul.tree", drawNode(judgement, note));
}

function drawNode(judgement, note) {
  const { node, below, share, weight, why } = judgement;
  const kind = verdict(judgement);
  const [sign, word] = SIGNS[kind];
  const told = [why];
  if (node.type === "alt") told.push("the first that holds of:");
  if (node.type === "union") told.push("by weight:");
  if (node.type === "leaf" && kind === "taken") told.push(`gets ${showShare(share)}`);
  const line = h("div", { class: `node ${kind}` },
    h("span.sign", { title: word, "aria-hidden": "true" }, sign), h("span.unseen", `${word}: `),
    weight !== undefined && h("span.chip", `weight ${weight}`),
    code(node.path),
    node.dentry && h("span.dentry", "by ", code(`${node.dentry.prefix} => ${node.dentry.dst}`)),
    h("span.told", told.filter(Boolean).join(", ")),
    node.type === "leaf" && note(node));
  return h("li", line, below.length > 0 && h("ul", below.map((each) => drawNode(each, note))));
}

/** What names alone say of a leaf, without knowing how its endpoints do. */
export function byName(leaf) {
  const { addr } = leaf.bound;
  if (addr.type === "bound" && addr.addrs.length) return { holds: true, why: plural(addr.addrs.length, "address", "addresses") };
  if (addr.type === "failed") return { holds: false, why: `its addresses are not known: ${addr.cause}` };
  return { holds: false, why: addr.type === "pending" ? "its addresses are not known yet" : "there is no such address" };
}

/** What an agent says of its own leaves, by its answer to `/explain.json`. */
export function byExplanation(explained) {
  const taken = new Map((explained.bound ?? []).map((each) => [each.id, each]));
  const left = new Map((explained.left ?? []).map((each) => [each.id, each]));
  return (leaf) => {
    const named = byName(leaf);
    if (taken.has(leaf.bound.id)) return { holds: true, why: alive(taken.get(leaf.bound.id)) ?? named.why };
    if (left.has(leaf.bound.id) && named.holds) return { holds: false, why: `no usable endpoint: ${alive(left.get(leaf.bound.id)) ?? "all failed"}` };
    return named;
  };
}

function alive({ state }) {
  return state && `${state.filter((each) => each.health === "alive").length} of ${plural(state.length, "endpoint")} alive`;
}
