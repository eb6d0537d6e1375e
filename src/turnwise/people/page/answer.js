// The page on which somebody answers what agents ask: what was said, the questions that wait, and how the run ended.

import { byId, count, fill, h, text } from "./dom.js";
import { form } from "./forms.js";

/** @typedef {{text: string, cut: number}} Text */
/** @typedef {{id: number, agent: string, text: Text, schema: unknown, deadline: number | null, default: Text | null, given: Text | null}} Question */
/**
 * @typedef {Object} Standing
 * @property {string} version
 * @property {number} last_round
 * @property {string} status
 * @property {string} world
 * @property {number} seed
 * @property {string | null} as
 * @property {string} path
 * @property {Text | null} result
 * @property {Text | null} message
 * @property {boolean} played
 * @property {Question[]} questions
 * @property {number} questions_hidden
 * @property {{id: number, agent: string, text: Text, command: string}[]} others
 * @property {number} others_hidden
 */

const AGAIN_MS = 1000;
const BOTTOM_PIXELS = 80;
const ENDS = /** @type {Record<string, string>} */ ({
  finished: "The run is over.",
  quiet: "The run is over: nobody had anything to do.",
  rounds_max: "The run is over: it came to its bound of rounds.",
  failed: "The run has failed.",
});

// The token stands behind the # of the first address: it is kept for this tab, and leaves the address.
if (location.hash.length > 1) {
  sessionStorage.setItem("turnwise-token", location.hash.slice(1));
  history.replaceState(null, "", location.pathname);
}
const token = sessionStorage.getItem("turnwise-token") ?? "";

/** Something that the server refused, in its words. */
class Refused extends Error {}

/**
 * @param {string} path
 * @param {RequestInit} [how]
 * @returns {Promise<any>}
 */
async function ask(path, how = {}) {
  let response;
  try {
    response = await fetch(`/api/${path}`, { ...how, headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" } });
  } catch {
    throw new Refused("The page's server does not answer: it was ended, or the run that it belongs to.");
  }
  const said = await response.text();
  if (response.ok) return JSON.parse(said);
  let message = said;
  try {
    const decoded = JSON.parse(said);
    message = [decoded.error, decoded.hint].filter(Boolean).join(". ");
  } catch {
    // not JSON: shown as it is
  }
  throw new Refused(message);
}

const view = byId("view");
/** @type {Map<string, HTMLElement>} */
const cards = new Map();
let own = "";
let firstRound = 1;
let lastRound = 0;

/** @param {Standing} now */
function about(now) {
  const kind = now.status === "failed" ? "chip failed" : now.status === "open" ? "chip live" : "chip";
  const status = now.status === "open" ? (now.played ? "under way" : "not played now") : now.status.replace("_", " ");
  fill(
    byId("about"),
    h("strong", {}, now.world),
    h("span", { class: "dim" }, `seed ${now.seed}`),
    h("span", { class: kind }, status),
    h("span", { class: "dim" }, `round ${now.last_round.toLocaleString("en")}`),
    now.as !== null && h("span", {}, "you are ", h("strong", {}, now.as)),
  );
  const waits = now.questions.filter((one) => !one.given).length;
  document.title = `${waits > 0 ? `(${waits}) ` : ""}${now.as ?? now.world} · Turnwise`;
}

/** Questions stay as they are, with what is being written in them, until they are others. @param {Standing} now */
function questions(now) {
  const wanted = new Map(now.questions.map((one) => [`${one.id} ${one.given ? `${now.played} ${one.given.text}` : ""}`, one]));
  const idle = !document.activeElement || document.activeElement === document.body || [...cards].some(([key, card]) => !wanted.has(key) && card.contains(document.activeElement));
  for (const [key, card] of cards) {
    if (wanted.has(key)) continue;
    card.remove();
    cards.delete(key);
  }
  const added = [];
  for (const [key, one] of wanted) {
    if (cards.has(key)) continue;
    const card = cardOf(one, now);
    cards.set(key, card);
    byId("questions").appendChild(card);
    if (!one.given) added.push(card);
  }
  if (added.length > 0) {
    if (idle) /** @type {HTMLElement | null} */ (added[0].querySelector("textarea, input, select, button"))?.focus();
    added[0].scrollIntoView({ block: "nearest" });
  }
  others(now);
}

/** @param {Standing} now */
function others(now) {
  const nobody = now.status === "open" && now.questions.length === 0;
  fill(
    byId("others"),
    nobody && (now.played ? h("p", { class: "dim" }, "Nobody asks you anything now. The others move on.") : h("p", {}, "Nobody asks you anything, and nobody plays the run now. This goes on with it: ", h("code", {}, `turnwise resume ${now.path}`))),
    now.questions_hidden > 0 && h("p", { class: "dim" }, `${count(now.questions_hidden, "more question")}, shown when some of these are answered`),
    now.others.length > 0 && h("h3", {}, "Others are asked, too"),
    now.others.map((one) => h("div", { class: "box said" }, h("header", {}, `${one.agent}, question ${one.id}`), text(one.text), h("pre", { class: "dim", tabindex: 0, "aria-label": "The command that answers" }, one.command))),
    now.others_hidden > 0 && h("p", { class: "dim" }, `and ${now.others_hidden.toLocaleString("en")} more`),
  );
}

/**
 * @param {Question} one
 * @param {Standing} now
 */
function cardOf(one, now) {
  const heading = `question-${one.id}`;
  const wrong = h("p", { id: `wrong-${one.id}`, class: "bad", role: "alert" });
  const otherwise = one.default ? h("code", {}, one.default.text) : "it is told that nobody answered";
  const parts = [
    h("h2", { id: heading }, `${one.agent} asks`, h("span", { class: "dim" }, ` · question ${one.id}`)),
    text(one.text),
    one.deadline !== null && h("p", { class: "dim" }, `until round ${one.deadline.toLocaleString("en")}; if nobody answers: `, otherwise),
  ];
  if (one.given) {
    const when = now.played ? "the run takes it with its next round" : "the run takes it when it goes on";
    return h("section", { class: "question", "aria-labelledby": heading }, ...parts, h("p", { role: "status" }, "Answered: ", h("code", {}, one.given.text), `; ${when}.`));
  }
  const fields = form(one.schema, send, wrong.id);
  /** @param {boolean} locked */
  function lock(locked) {
    for (const field of fields.querySelectorAll("button, input, textarea, select")) /** @type {HTMLButtonElement} */ (field).disabled = locked;
  }
  /** @param {import("./forms.js").Given} answer */
  async function send(answer) {
    fill(wrong);
    lock(true);
    try {
      const found = await ask("answer", { method: "POST", body: JSON.stringify({ question: one.id, ...answer }) });
      if (!found.taken) fill(wrong, "This has been answered before, or its turn is over: your answer has no effect.");
    } catch (error) {
      lock(false);
      fill(wrong, String(/** @type {Error} */ (error).message));
      /** @type {HTMLElement | null} */ (fields.querySelector("textarea, input, select, button"))?.focus();
    }
  }
  return h("section", { class: "question", "aria-labelledby": heading }, ...parts, fields, wrong);
}

/** @param {Standing} now */
async function talk(now) {
  if (now.as === null || now.last_round <= lastRound) return;
  const found = await ask(`talk?after=${lastRound}&before=${now.last_round + 1}`);
  if (lastRound === 0) firstRound = found.first;
  lastRound = now.last_round;
  const atEnd = view.scrollHeight - view.scrollTop - view.clientHeight < BOTTOM_PIXELS;
  byId("talk").append(...said(found.turns));
  byId("before").hidden = firstRound <= 1;
  if (atEnd) view.scrollTop = view.scrollHeight;
}

byId("earlier").addEventListener("click", async () => {
  const found = await ask(`talk?before=${firstRound}`);
  firstRound = found.first;
  byId("before").hidden = firstRound <= 1;
  const high = view.scrollHeight;
  byId("talk").prepend(...said(found.turns));
  view.scrollTop += view.scrollHeight - high;
});

/**
 * @param {any[]} turns
 * @returns {HTMLElement[]}
 */
function said(turns) {
  return turns.flatMap((turn) =>
    [
      h("div", { class: "round" }, `round ${turn.round.toLocaleString("en")}`),
      turn.read.map(/** @param {any} one */ (one) => row(one.sender, text(one.body), attached(one))),
      turn.answers.map(/** @param {any} one */ (one) => row(one.model, h("div", { class: "model" }, text(one.text)))),
      turn.calls.map(/** @param {any} one */ (one) => row(one.tool, h("div", { class: "model" }, text(one.reply)))),
      turn.asked.map(/** @param {any} one */ (one) => row(one.default ? "nobody answered" : "answered", h("div", { class: "dim" }, text(one.text)), h("div", { class: "reply" }, text(one.answer)))),
      turn.sent.map(/** @param {any} one */ (one) => row(own, h("span", { class: "dim" }, `to ${one.to} `), text(one.body), attached(one))),
      turn.logs.map(/** @param {any} one */ (one) => row("", h("span", { class: one.level === "warning" || one.level === "error" ? "waits" : "dim" }, `${one.level}: `), text(one))),
      turn.finish ? row(own, h("span", { class: "dim" }, "ended the run with "), text(turn.finish)) : [],
      turn.failed ? row("", h("div", { class: "bad" }, "failed: ", text(turn.failed))) : [],
      turn.hidden > 0 ? row("", h("span", { class: "dim" }, `${turn.hidden.toLocaleString("en")} more not shown`)) : [],
    ].flat(),
  );
}

/**
 * @param {string} who
 * @param {...import("./dom.js").Child} what
 */
function row(who, ...what) {
  return h("div", { class: "said" }, h("div", { class: "who" }, who), h("div", {}, ...what));
}

/** @param {any} message */
function attached(message) {
  return message.attach && h("p", { class: "dim attached" }, "with content ", h("code", {}, message.attach.text));
}

/** @param {Standing} now */
function end(now) {
  if (now.status === "open") return fill(byId("end"));
  fill(byId("end"), h("h2", {}, ENDS[now.status] ?? now.status), now.result && h("div", { class: "box" }, text(now.result)), now.message && h("p", { class: "bad" }, now.message.text), h("pre", {}, `turnwise log ${now.path}\nturnwise monitor ${now.path}`));
}

/** Show the run as it is, again whenever it is another, until it is over. */
async function follow() {
  let seen = "";
  for (;;) {
    try {
      const now = /** @type {Standing} */ (await ask(`now?seen=${seen}`));
      byId("told").hidden = true;
      if (now.version === seen) continue;
      own = now.as ?? "";
      about(now);
      await talk(now);
      end(now);
      questions(now);
      seen = now.version;
      if (now.status !== "open") return;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      fill(byId("told"), error.message);
      byId("told").hidden = false;
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }
}

/** @param {string} theme */
function dress(theme) {
  document.documentElement.dataset.theme = theme;
}
dress(localStorage.getItem("theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
byId("theme").addEventListener("click", () => {
  const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("theme", next);
  dress(next);
});

follow();
