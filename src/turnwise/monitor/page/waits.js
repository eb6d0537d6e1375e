// Which turns waited for people, from which round to which: fetched for as much of a run as a tile covers.

import { ask } from "./api.js";
import { SIDE } from "./tiles.js";

const KEPT = 400;

/** @typedef {[number, number, number | null, "people" | "tool"]} Wait The lane, the round that asked, the one in which the turn went on, and what for. */
/** @typedef {{waits: Wait[], hidden: number, last: number}} Waiting */

export class Waits {
  /** @param {() => void} arrived Called when waits that were asked for are there. */
  constructor(arrived) {
    this.arrived = arrived;
    this.run = "";
    this.lanes = "";
    /** @type {Map<string, Waiting>} */
    this.kept = new Map();
    /** @type {Set<string>} */
    this.asked = new Set();
  }

  /**
   * Begin with another run, or another order of lanes.
   * @param {string} run
   * @param {string} [lanes] `lineage`, or nothing for places.
   */
  begin(run, lanes = "") {
    this.run = run;
    this.lanes = lanes;
    this.kept.clear();
    this.asked.clear();
  }

  /**
   * Waits that lie in a tile, as far as they are known: those that go on are asked for again when the run has grown.
   * @param {number} column
   * @param {number} row
   * @param {number} roundBits
   * @param {number} placeBits
   * @param {number} last The last round of the run.
   * @returns {Waiting | null}
   */
  at(column, row, roundBits, placeBits, last) {
    const key = `${column} ${row} ${roundBits} ${placeBits}`;
    const found = this.kept.get(key) ?? null;
    const [rounds, places] = [SIDE * 2 ** roundBits, SIDE * 2 ** placeBits];
    const changes = found && found.last !== last && ((column + 1) * rounds > found.last || found.hidden > 0 || found.waits.some(([, , until]) => until === null));
    if (found && !changes) return found;
    if (this.asked.has(key)) return found;
    this.asked.add(key);
    const [run, lanes] = [this.run, this.lanes];
    const range = { first: column * rounds, last: (column + 1) * rounds - 1, row_first: row * places, row_last: (row + 1) * places - 1 };
    ask("waits", { run, lanes, ...range })
      .then((answer) => {
        if (run !== this.run || lanes !== this.lanes) return;
        this.asked.delete(key);
        this.kept.delete(key);
        this.kept.set(key, { ...answer, last });
        for (const old of this.kept.keys()) {
          if (this.kept.size <= KEPT) break;
          this.kept.delete(old);
        }
        this.arrived();
      })
      .catch(() => this.asked.delete(key));
    return found;
  }
}

/**
 * The wait of a lane that a round lies in.
 * @param {Waiting | null} found
 * @param {number} lane
 * @param {number} round
 */
export function waitAt(found, lane, round) {
  return found?.waits.find(([of, asked, until]) => of === lane && asked <= round && (until === null || round < until)) ?? null;
}
