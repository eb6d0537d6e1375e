// What cells of the timeline are coloured by: who moved, an amount of each turn, or a value that agents recorded.

import { duration, fill, h, number } from "./dom.js";

const RECORD = "record:";
const AMOUNTS = /** @type {Record<string, string>} */ ({
  turns: "who moved",
  fuel: "fuel",
  tokens: "tokens",
  time: "time",
  effects: "effects (models, tools)",
  executions: "executions",
});

export class Measures {
  /** @param {(name: string | null) => void} chosen Called with what a person chooses; null is who moved. */
  constructor(chosen) {
    this.select = /** @type {HTMLSelectElement} */ (h("select", { "aria-label": "Colour by" }));
    this.select.addEventListener("change", () => chosen(this.select.value === "turns" ? null : this.select.value));
    this.value = "turns";
    this.made = "";
  }

  /** True for a value that agents recorded, which may be below zero. */
  get recorded() {
    return this.value.startsWith(RECORD);
  }

  /**
   * Have what a run offers to choose from, and stand at one. Returns whether that is another than before.
   * @param {import("./app.js").Facts} facts
   * @param {string | undefined} wanted
   */
  update(facts, wanted) {
    const amounts = Object.entries(AMOUNTS).filter(([name]) => name !== "time" || facts.timings);
    const made = JSON.stringify([amounts.length, facts.records]);
    if (made !== this.made) {
      this.made = made;
      const option = (/** @type {string} */ value, /** @type {string} */ words) => h("option", { value }, words);
      const records = facts.records.map((name) => option(RECORD + name, name));
      fill(this.select, amounts.map(([name, words]) => option(name, words)), records.length > 0 && h("optgroup", { label: "recorded" }, records));
    }
    const there = [...this.select.options].some((one) => one.value === wanted);
    const before = this.value;
    this.value = this.select.value = wanted !== undefined && there ? wanted : "turns";
    return this.value !== before;
  }

  /**
   * What a cell has of it, in words; nothing where it only says who moved.
   * @param {number} sum
   * @param {number} turns
   */
  words(sum, turns) {
    if (this.value === "turns" || turns === 0) return "";
    if (this.recorded) return Number.isNaN(sum) ? "not recorded" : `${this.value.slice(RECORD.length)} ${number(Number((sum / turns).toPrecision(6)))}${turns > 1 ? " on average" : ""}`;
    if (this.value === "time") return duration(Math.round(sum));
    return `${this.value} ${number(Math.round(sum))}`;
  }
}
