// What chosen agents said, heard and asked, as one reads it.

import { leadTo, show } from "../address.js";
import { ask } from "../api.js";
import { fill, h, text } from "../dom.js";
import { attached } from "../panel.js";
import { question } from "../questions.js";

/**
 * @param {HTMLElement} element
 * @returns {import("../app.js").View}
 */
export function conversation(element) {
  const who = h("datalist", { id: "who" });
  const add = /** @type {HTMLInputElement} */ (h("input", { list: "who", placeholder: "only of an agent…", "aria-label": "Show only an agent" }));
  const chips = h("span", { class: "chips" });
  const talk = h("div", { class: "talk" });
  const more = h("button", { type: "button", hidden: true }, "go on");
  fill(element, h("div", { class: "tools" }, add, who, chips), talk, h("p", { class: "empty" }, more));
  let asked = "";
  /** @type {number | null} */
  let next = null;
  let lastRound = 0;
  let start = 1;
  let stood = Infinity;
  let path = "";
  /** @type {import("../address.js").Shown} */
  let now = {};

  const chosen = () => (now.of ? now.of.split(",") : []);
  add.addEventListener("change", () => {
    if (add.value && !chosen().includes(add.value)) show({ of: [...chosen(), add.value].join(",") });
    add.value = "";
  });
  add.addEventListener("input", async () => {
    const found = await ask("agents", { run: now.run, search: add.value, count: 20 });
    fill(who, found.agents.map(/** @param {any} agent */ (agent) => h("option", { value: agent.name })));
  });
  more.addEventListener("click", () => load(false));

  /** @param {boolean} anew */
  async function load(anew) {
    const mine = asked;
    const after = anew ? start - 1 : (next ?? 0);
    const found = await ask("conversation", { run: now.run, agent: chosen(), after });
    if (mine !== asked) return;
    if (anew) {
      fill(talk);
      lastRound = 0;
    }
    if (anew && after > 0) talk.appendChild(h("p", { class: "dim" }, `Begins with round ${after + 1}. `, h("button", { type: "button", class: "plain", onclick: () => show({ from: null, round: null }) }, "from the beginning")));
    for (const turn of found.turns) {
      if (turn.round !== lastRound) talk.appendChild(h("div", { class: "round", "data-round": turn.round }, `round ${turn.round}`));
      lastRound = turn.round;
      talk.appendChild(said(turn));
    }
    if (anew && found.turns.length === 0) fill(talk, h("p", { class: "empty" }, "Nobody said anything here."));
    next = found.next;
    more.hidden = next === null;
    stand();
  }

  /** Have the round of the scrubber at the top, and what was said after it dimmed. */
  function stand() {
    const at = now.round === undefined ? Infinity : Number(now.round);
    let later = false;
    /** @type {Element | null} */
    let here = null;
    for (const part of talk.children) {
      const round = Number(part.getAttribute("data-round") ?? 0);
      if (round > at) later = true;
      if (round > 0 && round <= at) here = part;
      part.classList.toggle("later", later);
    }
    if (at !== stood && at < Infinity) (here ?? talk).scrollIntoView({ block: "start" });
    stood = at;
  }

  /** @param {any} turn */
  function said(turn) {
    const name = turn.agent === "outside" ? h("span", { class: "dim" }, turn.replies?.length ? "somebody" : "outside") : leadTo(h("a", {}, turn.agent), { agent: turn.agent, round: turn.round }, now);
    return h(
      "div",
      { class: "said" },
      h("div", { class: "who" }, name),
      h(
        "div",
        {},
        turn.answers.map(/** @param {any} answer */ (answer) =>
          h("div", { class: "model" }, text(answer.text), h("details", {}, h("summary", {}, `what ${answer.model} was asked`), text(answer.prompt))),
        ),
        (turn.calls ?? []).map(/** @param {any} call */ (call) =>
          h("div", { class: "model" }, h("span", { class: call.failed ? "bad" : "dim" }, `${call.tool}: `), text(call.text), h("details", {}, h("summary", {}, "what it was called with"), text(call.args))),
        ),
        turn.sent.map(/** @param {any} message */ (message) => h("div", {}, h("span", { class: "dim" }, `to ${message.to} `), leadTo(h("a", { class: "dim" }, `#${message.seq}`), { message: message.seq, why: 3, led: null }, now), text(message.body), attached(message))),
        (turn.replies ?? []).map(/** @param {any} reply */ (reply) =>
          h("div", { class: "reply" }, h("span", { class: "dim" }, `answers ${reply.kind === "ask" ? "question" : reply.kind} ${reply.question} of `), leadTo(h("a", {}, reply.agent), { agent: reply.agent, round: reply.asked }, now), text(reply.text)),
        ),
        (turn.defaults ?? []).map(/** @param {any} one */ (one) => h("div", { class: "reply" }, h("span", { class: "waits" }, "nobody answered in time: "), text(one.answer), h("details", {}, h("summary", {}, "the question"), text(one.text)))),
        (turn.asked ?? []).map(/** @param {any} one */ (one) => question(one, path)),
        turn.failed && h("div", { class: "bad" }, `failed: ${turn.failed}`),
      ),
    );
  }

  return {
    update(shownNow, facts) {
      now = shownNow;
      path = facts.path;
      fill(chips, chosen().map((name) => h("button", { type: "button", title: "Leave out", onclick: () => show({ of: chosen().filter((one) => one !== name).join(",") || null }) }, `${name} ✕`)));
      const at = Number(now.round ?? 0);
      const far = at > 0 && (at < start || (next !== null && at > next));
      const question = JSON.stringify([now.run, now.of, now.from]);
      if (question !== asked.split("\n")[0] || far) {
        start = Math.max(1, Number(far ? at : (now.from ?? 1)));
        next = null;
        asked = `${question}\n${start}`;
        load(true).catch((error) => fill(talk, h("p", { class: "empty bad" }, error.message)));
      } else if (next === null && facts.last_round > lastRound && facts.status === "open") {
        next = lastRound;
        load(false).catch(() => {});
      } else stand();
    },
  };
}
