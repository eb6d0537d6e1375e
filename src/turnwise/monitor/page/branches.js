// Forks as branches: bars over rounds, of which the part that a run shares with its parent is muted.

import { leadTo } from "./address.js";
import { fill, h } from "./dom.js";

const DEPTH_MAX = 12;

/**
 * A bar over rounds.
 * @param {{from: number, to: number, kind?: string}[]} parts
 * @param {number} last The round at the right end.
 */
function track(parts, last) {
  return h(
    "div",
    { class: "track" },
    parts.map(({ from, to, kind }) => {
      const part = h("span", { class: kind ?? null });
      part.style.left = `${(100 * from) / Math.max(1, last)}%`;
      if (to > from) part.style.width = `${(100 * (to - from)) / Math.max(1, last)}%`;
      return part;
    }),
  );
}

/**
 * Draw the families among some runs: each parent with its forks below it. Returns how many runs have no family.
 * @param {HTMLElement} element
 * @param {any[]} rows
 * @returns {number}
 */
export function branches(element, rows) {
  const there = new Map(rows.filter((row) => row.error === null).map((row) => [row.name, row]));
  /** @type {Map<string, any[]>} */
  const forks = new Map();
  for (const row of there.values()) {
    const parent = row.parent?.run;
    if (parent && there.has(parent)) forks.set(parent, [...(forks.get(parent) ?? []), row]);
  }
  const roots = [...there.values()].filter((row) => (row.parent ? !there.has(row.parent.run) : forks.has(row.name)));
  /** @type {HTMLElement[]} */
  const drawn = [];
  for (const root of roots) {
    /** @type {{row: any, depth: number}[]} */
    const family = [];
    /** @type {{row: any, depth: number}[]} */
    const open = [{ row: root, depth: 0 }];
    for (let next = open.pop(); next; next = open.pop()) {
      family.push(next);
      const { row, depth } = next;
      const below = [...(forks.get(row.name) ?? [])].sort((one, other) => one.parent.round - other.parent.round || (one.name < other.name ? -1 : 1));
      for (const fork of below.reverse()) open.push({ row: fork, depth: depth + 1 });
    }
    const last = Math.max(...family.map(({ row }) => row.last_round));
    for (const { row, depth } of family) drawn.push(branch(row, depth, last));
  }
  fill(element, drawn.length > 0 ? drawn : h("p", { class: "empty" }, "None of these runs is a fork of another. turnwise fork makes one; so does a turn's page."));
  return rows.length - drawn.length;
}

/**
 * @param {any} row
 * @param {number} depth
 * @param {number} last
 */
function branch(row, depth, last) {
  const left = row.parent ? row.parent.round : 0;
  const name = h("div", { class: "name" }, "\u00a0\u00a0\u00a0".repeat(Math.min(depth, DEPTH_MAX)), depth > 0 && "└ ", leadTo(h("a", {}, row.name), { run: row.name }, {}));
  const told = row.parent ? `forked after round ${left.toLocaleString("en")} of ${row.parent.run ?? row.parent.path}` : `${row.last_round.toLocaleString("en")} rounds`;
  const bar = track(
    [
      { from: 0, to: left, kind: "shared" },
      { from: left, to: Math.max(left, row.last_round), kind: row.status === "failed" ? "failed" : "" },
      ...(row.parent ? [{ from: left, to: left, kind: "joint" }] : []),
    ],
    last,
  );
  const compare = row.parent?.run ? leadTo(h("a", {}, "compare with its parent"), { left: row.parent.run, right: row.name }, {}) : h("span", { class: "dim" }, row.world);
  bar.setAttribute("title", told);
  bar.setAttribute("role", "img");
  bar.setAttribute("aria-label", `${row.name}: ${told}, to round ${row.last_round.toLocaleString("en")}`);
  return h("div", { class: "branch" }, name, bar, compare);
}

/**
 * Two runs as branches of what they share.
 * @param {string} left
 * @param {string} right
 * @param {{common: number, last: number[]}} found
 * @param {number | null} first The round of the first difference.
 */
export function pair(left, right, found, first) {
  const last = Math.max(...found.last);
  const rows = [left, right].map((run, at) => {
    const shared = Math.min(found.common, found.last[at]);
    const parts = [{ from: 0, to: shared, kind: "shared" }, { from: shared, to: found.last[at] }];
    if (shared > 0) parts.push({ from: shared, to: shared, kind: "joint" });
    if (first !== null && first <= found.last[at]) parts.push({ from: first - 1, to: first - 1, kind: "first" });
    const bar = track(parts, last);
    bar.setAttribute("role", "img");
    bar.setAttribute("aria-label", `${run}: ${shared} of ${found.last[at]} rounds shared`);
    return h("div", { class: "branch" }, h("div", { class: "name" }, run), bar, h("span", { class: "dim" }, `to round ${found.last[at].toLocaleString("en")}`));
  });
  const told = [found.common > 0 ? `one journal up to round ${found.common.toLocaleString("en")} (muted)` : "no round in common by forking", first !== null && `first difference in round ${first.toLocaleString("en")} (red)`];
  return h("div", { class: "branches block" }, rows, h("p", { class: "dim" }, told.filter(Boolean).join("; ")));
}
