// Two runs beside each other: where they first differ, and what the difference reached.

import { leadTo } from "../address.js";
import { ask } from "../api.js";
import { pair } from "../branches.js";
import { count, fill, h, text } from "../dom.js";

/**
 * @param {HTMLElement} element
 * @returns {import("../app.js").View}
 */
export function diff(element) {
  let asked = "";
  return {
    update(now) {
      const question = JSON.stringify([now.left, now.right]);
      if (question === asked) return;
      asked = question;
      fill(element, h("p", { class: "empty" }, "Comparing…"));
      ask("diff", { left: now.left, right: now.right })
        .then((found) => asked === question && fill(element, told(now, found)))
        .catch((error) => asked === question && fill(element, h("p", { class: "empty bad", role: "alert" }, error.message)));
    },
  };
}

/**
 * Two texts with what only one of them has between what both begin and end with.
 * @param {{text: string, cut: number} | null} left
 * @param {{text: string, cut: number} | null} right
 */
function parted(left, right) {
  if (!left || !right || left.cut > 0 || right.cut > 0) return [text(left), text(right)];
  const [one, other] = [[...left.text], [...right.text]];
  const common = Math.min(one.length, other.length);
  let start = 0;
  while (start < common && one[start] === other[start]) start += 1;
  let end = 0;
  while (end < common - start && one[one.length - 1 - end] === other[other.length - 1 - end]) end += 1;
  return [one, other].map((all, at) => h("pre", {}, all.slice(0, start).join(""), h("strong", { class: at === 0 ? "bad" : "good" }, all.slice(start, all.length - end).join("")), all.slice(all.length - end).join("")));
}

/**
 * @param {import("../address.js").Shown} now
 * @param {any} found
 */
function told(now, found) {
  const [left, right] = [now.left, now.right];
  const link = /** @param {string} run @param {string} label @param {Record<string, string | number>} [more] */ (run, label, more = {}) => leadTo(h("a", {}, label), { run, ...more }, {});
  const head = [h("h1", {}, link(left, left), " and ", link(right, right))];
  if (!found.related) return [...head, h("p", { class: "bad" }, "They share nothing: no agent is in both.")];
  const totals = Object.keys(found.totals[0]).map((name) => h("tr", {}, h("td", {}, name), ...found.totals.map(/** @param {any} side */ (side) => h("td", { class: "number" }, side[name].toLocaleString("en")))));
  const parts = [
    ...head,
    found.equal ? h("p", { class: "good" }, `Equal: ${count(found.rounds, "round")}, every turn.`) : h("p", {}, `${count(found.count, "turn")} of the runs differ, in ${count(found.rounds, "round")}.`),
    pair(left, right, found.branches, found.first ? found.first.round : null),
    found.plan.length > 0 && [h("h2", {}, "Another world"), h("table", {}, found.plan.map(/** @param {any} one */ (one) => h("tr", {}, h("td", {}, one.name), h("td", {}, text(one.left)), h("td", {}, text(one.right)))))],
    found.changes.map(/** @param {any} one */ (one) => h("p", {}, `changed in ${one.side === "left" ? left : right}, round ${one.round}: ${one.change.text}`)),
  ];
  if (found.first) {
    const { first } = found;
    const sides = first.parted
      ? first.parted.map(/** @param {any} side @param {number} at */ (side, at) => [h("pre", {}, h("span", { class: "dim" }, first.before.text), h("strong", { class: at === 0 ? "bad" : "good" }, side.text)), first.logprobs[at] !== null && h("p", { class: "dim" }, `log probability ${first.logprobs[at]}`)])
      : parted(first.left, first.right);
    parts.push(
      h("h2", {}, `First: round ${first.round}, ${first.agent}, ${first.what}`),
      h(
        "div",
        { class: "pair" },
        [left, right].map((run, at) => h("div", { class: "box" }, h("header", {}, link(run, run, { agent: first.agent, round: first.round })), sides[at])),
      ),
    );
  }
  const rounds = new Map();
  for (const [round, agent, what, causes] of found.turns) rounds.set(round, [...(rounds.get(round) ?? []), { agent, what, causes }]);
  parts.push(
    rounds.size > 0 && [
      h("h2", {}, "What it reached"),
      h("p", { class: "dim" }, `${count(found.reached_count, "agent")} reached, ${found.unreached_count.toLocaleString("en")} not: `, found.unreached.join(", ") || "nobody"),
      h(
        "table",
        {},
        [...rounds].map(([round, turns]) =>
          h(
            "tr",
            {},
            h("td", { class: "dim narrow" }, `round ${round}`),
            h(
              "td",
              {},
              turns.map(/** @param {any} turn */ (turn) => [h("span", { title: turn.what }, link(right, turn.agent, { agent: turn.agent, round })), h("span", { class: "dim" }, turn.causes.length === 0 ? " (origin)  " : ` (from ${turn.causes.join(", ")})  `)]).flat(),
            ),
          ),
        ),
      ),
    ],
    h("h2", {}, "Took"),
    h("table", {}, h("tr", {}, h("th", {}), h("th", { class: "number" }, left), h("th", { class: "number" }, right)), totals),
    found.end && [h("h2", {}, "Ended in other ways"), h("div", { class: "pair" }, h("div", { class: "box" }, text(found.end.left)), h("div", { class: "box" }, text(found.end.right)))],
  );
  return parts.flat();
}
