// The strip of live data: who moves now, and what models are writing. Lossy, newest only, and apart from the journal.

import { show } from "./address.js";
import { listen } from "./api.js";
import { count, fill, h } from "./dom.js";

const NAMES_MAX = 6;
const OLD_MS = 2000;

export class LiveStrip {
  /** @param {HTMLElement} element */
  constructor(element) {
    this.element = element;
    this.run = "";
    /** @type {import("./address.js").Shown} */
    this.now = {};
    /** @type {import("./api.js").Live | null} */
    this.told = null;
    this.facts = h("span");
    this.mark = h("span", { class: "chip live", title: "Told by the process that plays the run, some times a second. Samples may be missed; what is exact comes from the journal." }, "live, may miss some");
    this.texts = h("div", { class: "texts", role: "log", "aria-live": "off", "aria-label": "Texts that models are writing now" });
    this.toggle = h("button", { type: "button", class: "plain", onclick: () => show({ live: this.open() ? "none" : "texts" }) });
    /** @type {(() => void) | null} */
    this.stop = null;
  }

  /**
   * Show the live data of a run that has not ended, and nothing of any other.
   * @param {import("./address.js").Shown} now
   * @param {{status: string} | null} facts
   */
  show(now, facts) {
    this.now = now;
    const run = facts && facts.status === "open" ? now.run : "";
    if (run !== this.run) {
      this.stop?.();
      this.stop = null;
      this.run = run;
      this.told = null;
      if (run) {
        this.stop = listen(run, (told) => {
          this.told = told;
          this.draw();
        });
      }
    }
    this.draw();
  }

  /** Whether the texts themselves are shown: in a conversation unless they are hidden, elsewhere if they are asked for. */
  open() {
    return this.now.live === "texts" || (this.now.live !== "none" && this.now.view === "conversation");
  }

  draw() {
    const told = this.told;
    this.element.hidden = !told;
    if (!told) return;
    if (!this.element.firstChild) {
      fill(this.element, this.mark, this.facts, this.toggle, this.texts);
    }
    this.mark.hidden = this.toggle.hidden = told.none !== undefined;
    this.texts.hidden = told.none !== undefined || !this.open();
    if (told.none !== undefined) {
      fill(this.facts, h("span", { class: "dim" }, `Nothing live: ${told.none}. The journal is read as it grows.`));
      return;
    }
    fill(this.facts, facts(told).filter(Boolean).join(" · "));
    const count_ = told.texts.length + told.hidden;
    fill(this.toggle, `${this.open() ? "hide" : "show"} ${count(count_, "text")} being written`);
    if (!this.texts.hidden) {
      fill(
        this.texts,
        told.texts.map((text) => h("div", { class: "now" }, h("div", { class: "who" }, text.agent), h("pre", {}, text.cut && h("span", { class: "dim" }, "… "), text.text.replace(/\n\s*\n/g, "\n"), h("span", { class: "dim" }, ` ▍${count(text.tokens, "token")}`)))),
        told.hidden > 0 && h("p", { class: "dim" }, `${count(told.hidden, "more text")} not shown`),
      );
    }
  }
}

/** @param {import("./api.js").Live} told */
function facts(told) {
  const busy = told.workers.filter((jobs) => jobs > 0).length;
  const begins = told.workers.filter((jobs) => jobs < 0).length;
  return [
    told.age_ms > OLD_MS && `last heard of ${Math.round(told.age_ms / 1000)} s ago`,
    `round ${told.round.toLocaleString("en")}`,
    told.executing_count > 0 && `${told.executing_count.toLocaleString("en")} moving: ${some(told.executing, told.executing_count)}`,
    told.asking_count > 0 && `${count(told.asking_count, "answer")} awaited by ${some(told.asking, told.asking.length)}`,
    `workers: ${busy} of ${told.workers_count} busy${begins > 0 ? `, ${begins} starting` : ""}${told.jobs_queued > 0 ? `, ${count(told.jobs_queued, "turn")} queued` : ""}${told.worker_deaths > 0 ? `, ${told.worker_deaths} replaced` : ""}`,
    told.slots > 0 && `models: ${told.running} of ${told.slots} slots, ${told.waiting.toLocaleString("en")} waiting, ${(told.kv_bytes / 2 ** 20).toFixed(1)} MiB of KV cache${told.restarts > 0 ? `, ${count(told.restarts, "restart")}` : ""}`,
    told.tokens > 0 && count(told.tokens, "token"),
    told.steps > 0 && `${count(told.steps, "step")} of ${(told.step_rows / told.steps).toFixed(1)} sequences each`,
    told.reused_tokens > 0 && `${Math.round((100 * told.reused_tokens) / (told.reused_tokens + told.prompt_tokens))} % of prompts from the cache`,
  ];
}

/**
 * @param {string[]} names
 * @param {number} all
 */
function some(names, all) {
  const shown = names.slice(0, NAMES_MAX);
  return shown.join(", ") + (all > shown.length ? ` and ${(all - shown.length).toLocaleString("en")} more` : "");
}
