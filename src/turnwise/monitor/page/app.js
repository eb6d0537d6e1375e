// The page as a whole: the bar, the views, the details beside them, and the scrubber.

import { address, leadTo, onShown, show, shown } from "./address.js";
import { ask, watch } from "./api.js";
import { byId, count, fill, h } from "./dom.js";
import { LiveStrip } from "./live.js";
import { showPanel } from "./panel.js";
import { Slider } from "./slider.js";
import { clock } from "./views/clock.js";
import { conversation } from "./views/conversation.js";
import { diff } from "./views/diff.js";
import { messages } from "./views/messages.js";
import { records } from "./views/records.js";
import { runs } from "./views/runs.js";
import { search } from "./views/search.js";
import { summary } from "./views/summary.js";
import { timeline } from "./views/timeline.js";

/**
 * @typedef {Object} Facts
 * @property {number} last_round
 * @property {number} agents
 * @property {string} status
 * @property {string} head
 * @property {string} world
 * @property {number} seed
 * @property {string} path
 * @property {{text: string, cut: number} | null} result
 * @property {{text: string, cut: number} | null} message
 * @property {Record<string, number>} totals
 * @property {string[]} records
 * @property {boolean} timings
 * @property {boolean} redacted
 * @property {{id: number, agent: {text: string, cut: number}, text: {text: string, cut: number}, schema: {text: string, cut: number} | null, deadline: number | null, default: {text: string, cut: number} | null, command: string}[]} questions
 * @property {number} waits Turns that were left waiting for people, once for each round.
 * @property {{path: string, round: number, head: string} | null} parent
 * @property {{name: string, sha256: string, class: string | null}[]} models
 */

/**
 * @typedef {Object} View
 * @property {(shown: import("./address.js").Shown, facts: Facts) => void} update Called whenever the address or the run has changed.
 * @property {() => void} [end] Called when another view takes its place.
 * @property {boolean} [whole] True for a view that fills the place to its edges.
 */

/** @type {Record<string, {title: string, make: (element: HTMLElement) => View}>} */
const OF_A_RUN = {
  timeline: { title: "Timeline", make: timeline },
  clock: { title: "Clock", make: clock },
  conversation: { title: "Conversation", make: conversation },
  messages: { title: "Messages", make: messages },
  records: { title: "Records", make: records },
  summary: { title: "Summary", make: summary },
  search: { title: "", make: search },
};
const OTHERS = { runs: { title: "Runs", make: runs }, diff: { title: "Difference", make: diff } };
const WORDS = /** @type {Record<string, string>} */ ({
  open: "under way, or interrupted",
  quiet: "ended: nobody had anything to do",
  rounds_max: "ended at its bound of rounds",
});

/** @type {{name: string, view: View} | null} */
let current = null;
/** @type {Facts | null} */
let facts = null;
let factsOf = "";
/** @type {(() => void) | null} */
let stopWatching = null;
/** @type {(round: number) => void} */
let chooseRound = () => {};
const live = new LiveStrip(byId("live"));
const slider = new Slider("Round", (round) => chooseRound(round));

function update() {
  const now = shown();
  if (!now.run && !now.left) return place("runs", OTHERS.runs.make, now, null);
  if (now.left) return place("diff", OTHERS.diff.make, now, null);
  if (factsOf !== now.run) return open(now.run);
  const name = now.view && now.view in OF_A_RUN ? now.view : "timeline";
  place(name, OF_A_RUN[name].make, now, facts);
}

/** @param {string} run */
async function open(run) {
  stopWatching?.();
  stopWatching = null;
  factsOf = run;
  facts = null;
  try {
    facts = await ask("summary", { run });
  } catch (error) {
    current?.view.end?.();
    current = null;
    bar(null);
    live.show({}, null);
    fill(byId("view"), h("p", { class: "empty bad", role: "alert" }, String(/** @type {Error} */ (error).message)));
    return;
  }
  if (factsOf !== run) return;
  let first = true;
  stopWatching = watch(run, async (pulse) => {
    if (first) first = false;
    else if (facts && (pulse.last_round !== facts.last_round || pulse.status !== facts.status)) {
      facts = await ask("summary", { run });
      if (factsOf === run) update();
    }
  });
  update();
}

/**
 * @param {string} name
 * @param {(element: HTMLElement) => View} make
 * @param {import("./address.js").Shown} now
 * @param {Facts | null} of
 */
function place(name, make, now, of) {
  if (!of) {
    stopWatching?.();
    stopWatching = null;
    factsOf = "";
  }
  const element = byId("view");
  if (current?.name !== name) {
    current?.view.end?.();
    fill(element);
    current = { name, view: make(element) };
    element.classList.toggle("whole", Boolean(current.view.whole));
  }
  bar(of, name);
  scrubber(now, of);
  live.show(now, of);
  showPanel(byId("panel"), now, of);
  current.view.update(now, /** @type {Facts} */ (of));
  document.title = of ? `${of.world} · Turnwise` : "Turnwise monitor";
}

/**
 * @param {Facts | null} of
 * @param {string} [name]
 */
function bar(of, name) {
  const about = byId("about");
  const views = byId("views");
  byId("search").hidden = !of;
  if (!of) {
    fill(about);
    fill(views);
    return;
  }
  const status = of.status;
  const kind = status === "failed" ? "chip failed" : status === "open" ? "chip live" : "chip";
  fill(
    about,
    h("strong", {}, of.world),
    h("span", { class: "dim" }, `seed ${of.seed}`),
    h("span", { class: kind, title: WORDS[status] ?? status }, status === "open" ? "open" : status.replace("_", " ")),
    of.questions.length > 0 && leadTo(h("a", { class: "chip waits", title: "Questions to people that wait for an answer" }, count(of.questions.length, "question")), { view: "summary", text: null }),
    h("span", { class: "dim mono", title: `head ${of.head}` }, of.head.slice(0, 12)),
  );
  fill(
    views,
    Object.entries(OF_A_RUN)
      .filter(([, view]) => view.title)
      .map(([key, view]) =>
        leadTo(h("a", { "aria-current": key === name ? "page" : null }, view.title), { view: key, text: null }),
      ),
  );
}

/**
 * The scrubber: everything on the page shows the round that it stands at.
 * @param {import("./address.js").Shown} now
 * @param {Facts | null} of
 */
function scrubber(now, of) {
  const element = byId("scrubber");
  element.hidden = !of || of.last_round === 0;
  if (!of || element.hidden) return;
  const at = Math.min(Number(now.round ?? of.last_round), of.last_round);
  /** @param {number} value */
  const go = (value) => {
    const round = Math.max(1, Math.min(of.last_round, Math.round(value) || 1));
    show({ round: round === of.last_round ? null : round }, { replace: true });
  };
  chooseRound = go;
  if (!element.firstChild) {
    fill(
      element,
      h("span", { class: "dim" }, "round"),
      h("input", { type: "number", min: 1, "aria-label": "Number of the round" }),
      slider.element,
      h("span", { class: "dim of" }),
      h("button", { type: "button", class: "latest" }, "latest"),
    );
  }
  const number = /** @type {HTMLInputElement} */ (element.querySelector("input[type=number]"));
  number.max = String(of.last_round);
  if (number.value !== String(at)) number.value = String(at);
  number.onchange = () => go(Number(number.value));
  slider.set(at, of.last_round);
  const latest = /** @type {HTMLButtonElement} */ (element.querySelector("button.latest"));
  latest.disabled = now.round === undefined;
  latest.onclick = () => show({ round: null });
  fill(/** @type {Element} */ (element.querySelector(".of")), `of ${count(of.last_round, "round")}`);
}

byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = /** @type {HTMLInputElement} */ (byId("search").querySelector("input")).value.trim();
  if (text) show({ view: "search", text });
});

leadTo(byId("brand"), {}, {});
byId("brand").setAttribute("href", address({}, {}));

/** @param {string} theme */
function dress(theme) {
  document.documentElement.dataset.theme = theme;
}
dress(localStorage.getItem("theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
byId("theme").addEventListener("click", () => {
  const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("theme", next);
  dress(next);
  update();
});

document.addEventListener("keydown", (event) => {
  const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !facts) return;
  const at = Number(shown().round ?? facts.last_round);
  if (event.key === "[") show({ round: Math.max(1, at - 1) }, { replace: true });
  else if (event.key === "]") show({ round: Math.min(facts.last_round, at + 1) }, { replace: true });
  else if (event.key === "/") {
    event.preventDefault();
    /** @type {HTMLInputElement} */ (byId("search").querySelector("input")).focus();
  } else if (event.key === "Escape") show({ agent: null, message: null, why: null, led: null });
});

onShown(update);
update();
