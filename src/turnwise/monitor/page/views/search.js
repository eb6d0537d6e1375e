// Places in a run where a text occurs.

import { leadTo } from "../address.js";
import { ask } from "../api.js";
import { fill, h } from "../dom.js";

/**
 * @param {HTMLElement} element
 * @returns {import("../app.js").View}
 */
export function search(element) {
  let asked = "";
  const list = h("div");
  const told = h("p", { class: "dim", role: "status" });
  const more = h("button", { type: "button", hidden: true }, "look further");
  fill(element, told, list, more);
  /** @type {import("../address.js").Shown} */
  let now = {};
  let after = 0;
  let hits = 0;
  more.addEventListener("click", () => look());

  async function look() {
    const mine = asked;
    more.hidden = true;
    fill(told, `Looking for “${now.text}”…`);
    const found = await ask("search", { run: now.run, text: now.text, after });
    if (mine !== asked) return;
    for (const hit of found.hits) {
      const to = hit.what === "message" ? { message: hit.seq, why: 3, round: hit.round } : { agent: hit.agent, round: Math.max(1, hit.round), message: null };
      list.appendChild(h("div", { class: "box" }, h("header", {}, leadTo(h("a", {}, `${hit.what} of ${hit.agent}, round ${hit.round}`), to, now)), h("pre", {}, hit.text.text)));
    }
    hits += found.hits.length;
    after = found.next ?? 0;
    more.hidden = found.next === null;
    fill(told, `“${now.text}”: ${hits} found${found.next === null ? "" : ` up to round ${found.next}`}`);
    if (found.next !== null && hits < 20) await look();
  }

  return {
    update(shownNow) {
      now = shownNow;
      const question = JSON.stringify([now.run, now.text]);
      if (question === asked) return;
      asked = question;
      after = hits = 0;
      fill(list);
      look().catch((error) => fill(told, h("span", { class: "bad" }, error.message)));
    },
  };
}
