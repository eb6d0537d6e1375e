// The runs of a folder: filter them, open one, choose two to compare.

import { leadTo, show } from "../address.js";
import { ask } from "../api.js";
import { branches } from "../branches.js";
import { count, duration, fill, h, moment } from "../dom.js";
import { Multiples } from "../multiples.js";

const ROWS_MAX = 500;

/**
 * @param {HTMLElement} element
 * @returns {import("../app.js").View}
 */
export function runs(element) {
  /** @type {any[]} */
  let rows = [];
  let more = false;
  let ended = false;
  /** @type {Set<string>} */
  const chosen = new Set();
  const filter = /** @type {HTMLInputElement} */ (h("input", { type: "search", placeholder: "Filter", "aria-label": "Filter the runs" }));
  const compare = /** @type {HTMLButtonElement} */ (h("button", { type: "button" }, "Compare"));
  const told = h("span", { class: "dim", role: "status" });
  const tree = h("button", { type: "button", "aria-pressed": "false" }, "Forks as branches");
  const small = h("button", { type: "button", "aria-pressed": "false" }, "Small multiples");
  const drawn = h("div", { class: "branches" });
  const cards = h("div", { class: "multiples" });
  const multiples = new Multiples(cards);
  const table = h("table");
  fill(element, h("h1", {}, "Runs"), h("div", { class: "tools" }, filter, compare, tree, small, told), drawn, cards, table);
  tree.addEventListener("click", () => show({ as: tree.getAttribute("aria-pressed") === "true" ? null : "branches" }));
  small.addEventListener("click", () => show({ as: small.getAttribute("aria-pressed") === "true" ? null : "multiples" }));
  filter.addEventListener("input", () => show({ filter: filter.value || null }, { replace: true }));
  compare.addEventListener("click", () => {
    const [left, right] = chosen;
    show({ left, right }, { from: {} });
  });

  function draw() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = rows.filter((row) => {
      const line = `${row.name} ${row.world ?? ""} seed ${row.seed ?? ""} ${row.status ?? ""} ${row.head ?? ""} ${row.result?.text ?? ""}`.toLowerCase();
      return words.every((word) => line.includes(word));
    });
    compare.disabled = chosen.size !== 2;
    const asTree = tree.getAttribute("aria-pressed") === "true";
    const asCards = small.getAttribute("aria-pressed") === "true";
    drawn.hidden = !asTree;
    cards.hidden = !asCards;
    table.hidden = asTree || asCards;
    if (asCards) {
      const left = multiples.show(found);
      fill(told, [count(found.length, "run"), left > 0 && `${count(left, "run")} not shown`, more && "there are more files than are listed"].filter(Boolean).join(", "));
      return;
    }
    if (asTree) {
      const hidden = branches(drawn, found);
      fill(told, [count(found.length - hidden, "run"), hidden > 0 && `${count(hidden, "run")} without forks not shown`, more && "there are more files than are listed"].filter(Boolean).join(", "));
      return;
    }
    const hidden = Math.max(0, found.length - ROWS_MAX);
    const parts = [count(found.length, "run"), hidden > 0 && `the latest ${ROWS_MAX} shown`, more && "there are more files than are listed"];
    fill(told, parts.filter(Boolean).join(", "));
    fill(
      table,
      h("tr", {}, ["", "run", "world", "ended", "rounds", "agents", "time", "head", "result"].map((name) => h("th", { class: ["rounds", "agents", "time"].includes(name) ? "number" : null }, name))),
      found.slice(0, ROWS_MAX).map(row),
    );
  }

  /** @param {any} row */
  function row(row) {
    const box = /** @type {HTMLInputElement} */ (h("input", { type: "checkbox", "aria-label": `Choose ${row.name}`, disabled: row.error !== null }));
    box.checked = chosen.has(row.name);
    box.addEventListener("change", () => {
      if (!box.checked) chosen.delete(row.name);
      else if (chosen.size < 2) chosen.add(row.name);
      else {
        const [first] = chosen;
        chosen.delete(first);
        chosen.add(row.name);
      }
      draw();
    });
    const name = [leadTo(h("a", {}, row.name), { run: row.name }, {}), h("div", { class: "dim moment" }, moment(row.changed_us))];
    if (row.error !== null) return h("tr", {}, h("td", {}, box), h("td", {}, row.name), h("td", { class: "bad", colspan: 7 }, row.error));
    const kind = row.status === "failed" ? "chip failed" : row.status === "open" ? "chip live" : "chip";
    return h(
      "tr",
      { "data-chosen": chosen.has(row.name) },
      h("td", {}, box),
      h("td", {}, name),
      h("td", {}, row.world, h("span", { class: "dim" }, ` seed ${row.seed}`), row.parent && h("div", { class: "dim" }, `fork of ${row.parent.run ?? row.parent.path}, after round ${row.parent.round.toLocaleString("en")}`)),
      h("td", {}, h("span", { class: kind }, row.status.replace("_", " ")), row.questions > 0 && h("div", { class: "waits" }, `${count(row.questions, "question")} to people`)),
      h("td", { class: "number" }, row.last_round.toLocaleString("en")),
      h("td", { class: "number" }, row.agents.toLocaleString("en")),
      h("td", { class: "number" }, duration(row.duration_us)),
      h("td", { class: "mono", title: row.head }, row.head.slice(0, 12)),
      h("td", { class: "dim" }, row.result ? row.result.text.slice(0, 80) : ""),
    );
  }

  async function load() {
    if (ended) return;
    const found = await ask("runs");
    ({ runs: rows, more } = found);
    if (rows.length === 1 && rows[0].error === null && !location.search) show({ run: rows[0].name }, { replace: true, from: {} });
    else if (!ended) draw();
  }
  const timer = setInterval(() => load().catch(() => {}), 3000);
  load().catch((error) => fill(told, h("span", { class: "bad" }, error.message)));
  return {
    update(now) {
      if (filter.value !== (now.filter ?? "")) filter.value = now.filter ?? "";
      tree.setAttribute("aria-pressed", String(now.as === "branches"));
      small.setAttribute("aria-pressed", String(now.as === "multiples"));
      if (rows.length > 0) draw();
    },
    end() {
      ended = true;
      clearInterval(timer);
    },
  };
}
