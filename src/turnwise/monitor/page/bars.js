// Turns by the clock, from near: a bar each, and in it what the turn waited for, by kind and with its name.

import { ask } from "./api.js";
import { visible } from "./dom.js";
import { Kept } from "./kept.js";
import { LABELS } from "./stage.js";

const BLOCK_ROUNDS = 16;
const BLOCK_PLACES = 256;
const BLOCKS_KEPT = 64;
const CHAR_PIXELS = 6.2;
const LABEL_HIGH_MIN = 11;
const LABEL_CHARS_MIN = 3;

/** @typedef {"model" | "tool" | "people" | "other"} WaitKind */
/** @typedef {[number, number, WaitKind, string]} Waited From when, for how long (microseconds), for what, and its name. */
/** @typedef {[number, number, number, number, Waited[], boolean]} Bar Round, place, start, length, what it waited for, whether it failed. */
/** @typedef {{spans: Bar[], hidden: number}} Block */

/** Colours and words of what a turn waits for. @type {Record<WaitKind, {colour: string, words: string}>} */
export const WAITS_FOR = {
  model: { colour: "--model", words: "waits for a model" },
  tool: { colour: "--tool", words: "waits for a tool" },
  people: { colour: "--waits", words: "waits for people" },
  other: { colour: "--dim", words: "waits for something else" },
};

export class Bars {
  /**
   * @param {CanvasRenderingContext2D} context
   * @param {() => void} arrived Called when turns that were asked for are there.
   */
  constructor(context, arrived) {
    this.context = context;
    /** @type {Kept<Block>} */
    this.blocks = new Kept(BLOCKS_KEPT, arrived);
    this.run = "";
  }

  /** Begin with another run. @param {string} run */
  begin(run) {
    this.run = run;
    this.blocks.clear();
  }

  /**
   * Turns of some rounds and places, as far as they are there, and how many are not told.
   * @param {number} first
   * @param {number} last
   * @param {number} placeFirst
   * @param {number} placeLast
   * @param {number} lastRound Of the run: what is not behind it yet is asked for again when it has grown.
   * @returns {Block}
   */
  of(first, last, placeFirst, placeLast, lastRound) {
    /** @type {Block} */
    const found = { spans: [], hidden: 0 };
    for (let block = Math.floor(first / BLOCK_ROUNDS); block * BLOCK_ROUNDS <= last; block++) {
      for (let row = Math.floor(placeFirst / BLOCK_PLACES); row * BLOCK_PLACES <= placeLast; row++) {
        const [from, end] = [Math.max(1, block * BLOCK_ROUNDS), (block + 1) * BLOCK_ROUNDS - 1];
        const range = { run: this.run, first: from, last: end, place_first: row * BLOCK_PLACES, place_last: (row + 1) * BLOCK_PLACES - 1 };
        const answer = this.blocks.get(`${block} ${row} ${end >= lastRound ? lastRound : ""}`, () => ask("spans", range));
        if (!answer) continue;
        found.hidden += answer.hidden;
        for (const bar of answer.spans) if (bar[0] >= first && bar[0] <= last) found.spans.push(bar);
      }
    }
    return found;
  }

  /**
   * The turn of a place at a time of its round, if it is there.
   * @param {number} round
   * @param {number} place
   * @param {number} us
   * @param {number} near Microseconds by which one may miss it.
   */
  at(round, place, us, near) {
    const found = this.blocks.there(`${Math.floor(round / BLOCK_ROUNDS)} ${Math.floor(place / BLOCK_PLACES)} `);
    return found?.spans.find(([of, at, start, long]) => of === round && at === place && us >= start - near && us <= start + long + near) ?? null;
  }

  /**
   * Draw a turn.
   * @param {Bar} bar
   * @param {(us: number) => number} at Pixels of a time since the beginning of its round.
   * @param {number} y
   * @param {number} high
   * @param {(name: string) => string} colour
   */
  draw([, , start, long, waited, failed], at, y, high, colour) {
    const { context } = this;
    context.globalAlpha = 0.45;
    context.fillStyle = colour(failed ? "--bad" : "--accent");
    context.fillRect(at(start), y, Math.max(1, at(start + long) - at(start)), high);
    context.globalAlpha = 1;
    const { rows, count } = stacked(waited);
    const each = Math.max(1, (high * 0.54) / count);
    waited.forEach(([from, took, kind, name], index) => {
      const [left, right] = [at(from), at(from + took)];
      const top = y + high * 0.07 + rows[index] * each;
      context.fillStyle = colour((WAITS_FOR[kind] ?? WAITS_FOR.other).colour);
      context.fillRect(left, top, Math.max(1, right - left), Math.max(1, each - (count > 1 ? 1 : 0)));
      this.label(name, left, right, top, each, colour);
    });
  }

  /**
   * The name of what is waited for, as much of it as there is room.
   * @param {string} name
   * @param {number} left
   * @param {number} right
   * @param {number} top
   * @param {number} high
   * @param {(name: string) => string} colour
   */
  label(name, left, right, top, high, colour) {
    const from = Math.max(left, LABELS) + 4;
    const room = Math.floor((right - from - 4) / CHAR_PIXELS);
    if (high < LABEL_HIGH_MIN || room < LABEL_CHARS_MIN) return;
    const { context } = this;
    const seen = visible(name);
    context.fillStyle = colour("--raised");
    context.font = "11px system-ui, 'DejaVu Sans', sans-serif";
    context.textAlign = "left";
    context.textBaseline = "middle";
    context.fillText(seen.length > room ? `${seen.slice(0, room - 1)}…` : seen, from, top + high / 2);
  }
}

/**
 * Rows of what a turn waited for, so that what it waited for at the same time lies above each other.
 * @param {Waited[]} waited
 */
export function stacked(waited) {
  /** @type {number[]} */
  const ends = [];
  const rows = new Array(waited.length).fill(0);
  const order = waited.map((_, index) => index).sort((one, other) => waited[one][0] - waited[other][0] || one - other);
  for (const index of order) {
    const [from, took] = waited[index];
    let row = ends.findIndex((end) => end <= from);
    if (row < 0) row = ends.length;
    ends[row] = from + took;
    rows[index] = row;
  }
  return { rows, count: Math.max(1, ends.length) };
}
