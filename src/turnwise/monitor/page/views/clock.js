// Agents by the time of the run: rounds one behind the other for as long as they took, idle time between them closed.
// From afar a column of a tile is as wide as its rounds took; from near each turn is a bar, its waiting for models darker.

import { show } from "../address.js";
import { ask } from "../api.js";
import { count, duration, fill, h, visible } from "../dom.js";
import { LaneNames } from "../lane_names.js";
import { Scale } from "../scale.js";
import { LABELS, Stage } from "../stage.js";
import { bitsFor, SIDE, step, Tiles } from "../tiles.js";

const HEADER = 36;
const CELL_MAX = 48;
const NEAR_ROUNDS = 48;
const BLOCK_ROUNDS = 16;
const BLOCK_PLACES = 256;
const BLOCKS_KEPT = 64;

/** @typedef {{offsets: number[], gaps: [number, number][], gaps_hidden: number, total_us: number, last_round: number, rounds_hidden: number}} Axis */
/** @typedef {{spans: [number, number, number, number, [number, number][], boolean][], hidden: number}} Block */

/**
 * @param {HTMLElement} element
 * @returns {import("../app.js").View}
 */
export function clock(element) {
  const whole = h("button", { type: "button" }, "whole run");
  const told = h("span", { class: "dim" });
  const label = "Agents by the time of the run. Arrow keys move, plus and minus zoom, Enter opens the turn at the cross.";
  const stage = new Stage(element, label, HEADER, draw, { drag, tip, click: openAt, wheel, settled: address }, told, whole);
  const { canvas, context } = stage;
  const soon = () => stage.soon();
  const size = () => stage.size();
  const tiles = new Tiles(soon);
  const names = new LaneNames(soon);
  const scale = new Scale();
  /** @type {Map<string, Axis | "asked">} */
  const axes = new Map();
  /** @type {Map<string, Block | "asked">} */
  const blocks = new Map();
  /** @type {import("../app.js").Facts | null} */
  let facts = null;
  // The part that is seen: microseconds and place at the upper left, and pixels a microsecond and a place.
  const seen = { us: 0, place: 0, x: 0, y: 18, fitted: true };
  /** @type {number | null} */
  let marked = null;
  let run = "";

  const X = (/** @type {number} */ us) => LABELS + (us - seen.us) * seen.x;
  const Y = (/** @type {number} */ place) => HEADER + (place - seen.place) * seen.y;

  /**
   * @template T
   * @param {Map<string, T | "asked">} kept
   * @param {string} key
   * @param {() => Promise<T>} fetched
   * @param {number} most
   * @returns {T | null}
   */
  function got(kept, key, fetched, most) {
    const found = kept.get(key);
    if (found === "asked") return null;
    if (found) return found;
    kept.set(key, "asked");
    const of = run;
    fetched()
      .then((answer) => {
        if (of !== run) return;
        kept.set(key, answer);
        for (const old of kept.keys()) {
          if (kept.size <= most) break;
          kept.delete(old);
        }
        soon();
      })
      .catch(() => kept.delete(key));
    return null;
  }

  /** @param {number} column @param {number} bits @returns {Axis | null} */
  function axis(column, bits) {
    const last = /** @type {any} */ (facts).last_round;
    const grows = (column + 1) * 2 ** (8 + bits) > last ? last : "";
    return got(axes, `${column} ${bits} ${grows}`, () => ask("clock", { run, column, round_bits: bits }), 200);
  }

  /** The whole run in one tile. */
  function overview() {
    const bits = Math.max(0, Math.ceil(Math.log2((/** @type {any} */ (facts).last_round + 1) / SIDE)));
    const found = axis(0, bits);
    return found && { ...found, rounds: 2 ** bits };
  }

  /** The round at a time, between those that the overview knows. @param {{offsets: number[], rounds: number}} over @param {number} us */
  function roundAt(over, us) {
    let [low, high] = [0, over.offsets.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (over.offsets[middle] <= us) low = middle;
      else high = middle - 1;
    }
    const next = over.offsets[Math.min(low + 1, over.offsets.length - 1)];
    const part = next > over.offsets[low] ? (us - over.offsets[low]) / (next - over.offsets[low]) : 0;
    return Math.max(0, Math.floor((low + Math.min(1, Math.max(0, part))) * over.rounds));
  }

  /** @param {number} total */
  function fit(total) {
    const { width, height } = size();
    seen.us = 0;
    seen.place = 0;
    seen.x = (width - LABELS - 20) / Math.max(1, total);
    seen.y = Math.min(32, Math.max((height - HEADER - 10) / Math.max(1, facts ? facts.agents : 1), 1e-4));
    seen.fitted = true;
  }

  /** @param {number} total */
  function keep(total) {
    const { width, height } = size();
    const agents = facts ? facts.agents : 1;
    seen.x = Math.min(1, Math.max(seen.x, (width - LABELS) / Math.max(1, total) / 1.5));
    seen.y = Math.min(CELL_MAX, Math.max(seen.y, Math.min(4, (height - HEADER) / agents / 1.5)));
    seen.us = Math.min(Math.max(seen.us, -40 / seen.x), Math.max(0, total - 40 / seen.x));
    seen.place = Math.min(Math.max(seen.place, 0), Math.max(0, agents - 1));
  }

  function address() {
    show({ when: seen.fitted ? null : [seen.us, seen.place, seen.x, seen.y].map((number) => Number(number.toPrecision(7))).join("~") }, { replace: true });
  }

  function draw() {
    if (!facts) return;
    const { width, height, colour } = stage.begin();
    scale.dress(colour("--ground"), colour("--accent"), colour("--bad"));
    const over = facts.timings ? overview() : null;
    if (!over || over.total_us === 0) {
      stage.write(colour);
      context.textAlign = "center";
      context.fillText(facts.timings ? (over ? "No round has times yet." : "") : "This journal holds no times.", width / 2, height / 2);
      return;
    }
    if (seen.x === 0 || seen.fitted) fit(over.total_us);
    keep(over.total_us);
    const [first, last] = [roundAt(over, seen.us), Math.min(over.last_round, roundAt(over, seen.us + (width - LABELS) / seen.x) + 1)];
    stage.clip();
    context.fillStyle = colour("--cell-empty");
    context.fillRect(X(0), Y(0), over.total_us * seen.x, facts.agents * seen.y);
    const near = last - first <= NEAR_ROUNDS && seen.y >= 3;
    const bits = Math.max(0, Math.ceil(Math.log2(((last - first + 1) * 1.5) / Math.max(1, width - LABELS))));
    let hidden = 0;
    for (let column = Math.floor(first / 2 ** (8 + bits)); column * 2 ** (8 + bits) <= last; column++) {
      const lie = axis(column, bits);
      if (!lie) continue;
      if (near) hidden += bars(column, lie, first, last, height, colour);
      else columns(column, lie, bits, width, height);
      closed(lie, height, colour, width);
      if (marked !== null) mark(column, lie, bits, marked, height, colour);
    }
    context.restore();
    labels(over, width, height, colour);
    fill(told, [`${duration(over.total_us)} of work, idle time closed`, near && "dark: waiting for effects", hidden > 0 && `${count(hidden, "turn")} not shown`, over.rounds_hidden > 0 && `${count(over.rounds_hidden, "later round")} not on it`].filter(Boolean).join(", "));
  }

  /** The round of the scrubber. */
  function mark(/** @type {number} */ column, /** @type {Axis} */ lie, /** @type {number} */ bits, /** @type {number} */ round, /** @type {number} */ height, /** @type {(name: string) => string} */ colour) {
    const at = Math.floor(round / 2 ** bits) - column * SIDE;
    if (at < 0 || at >= SIDE) return;
    context.strokeStyle = colour("--text");
    context.lineWidth = 1;
    const left = Math.round(X(lie.offsets[at]));
    context.strokeRect(left - 0.5, HEADER - 2, Math.max(1, Math.round(X(lie.offsets[at + 1])) - left), height + 4);
  }

  /**
   * Columns of tiles, each as wide as its rounds took.
   * @param {number} column
   * @param {Axis} lie
   * @param {number} bits
   * @param {number} width
   * @param {number} height
   */
  function columns(column, lie, bits, width, height) {
    const of = /** @type {import("../app.js").Facts} */ (facts);
    const placeBits = bitsFor(seen.y);
    const [places, tall] = [2 ** placeBits, 2 ** (8 + placeBits)];
    const lastPlace = Math.min(of.agents - 1, seen.place + (height - HEADER) / seen.y);
    context.imageSmoothingEnabled = false;
    for (let row = Math.floor(seen.place / tall); row * tall <= lastPlace; row++) {
      const tile = tiles.at("turns", column, row, bits, placeBits, of.last_round);
      if (!tile) continue;
      const image = tiles.picture(tile, "turns", scale, 2 ** (bits + placeBits));
      const rows = Math.min(SIDE, Math.ceil((of.agents - row * tall) / places));
      for (let at = 0; at < SIDE; at++) {
        const [left, right] = [X(lie.offsets[at]), X(lie.offsets[at + 1])];
        if (right <= left || right < LABELS || left > width) continue;
        context.drawImage(image, at, 0, 1, rows, left, Y(row * tall), Math.max(right - left, 0.5), rows * places * seen.y);
      }
    }
  }

  /**
   * Each turn as a bar. Returns how many are not shown.
   * @param {number} column
   * @param {Axis} lie
   * @param {number} first
   * @param {number} last
   * @param {number} height
   * @param {(name: string) => string} colour
   */
  function bars(column, lie, first, last, height, colour) {
    let hidden = 0;
    const lastPlace = seen.place + (height - HEADER) / seen.y;
    const [from, to] = [Math.max(first, column * SIDE), Math.min(last, (column + 1) * SIDE - 1)];
    context.fillStyle = colour("--line");
    for (let round = from; round <= to; round++) context.fillRect(Math.round(X(lie.offsets[round - column * SIDE])), HEADER, 1, height);
    for (let block = Math.floor(from / BLOCK_ROUNDS); block * BLOCK_ROUNDS <= to; block++) {
      for (let row = Math.floor(seen.place / BLOCK_PLACES); row * BLOCK_PLACES <= lastPlace; row++) {
        const found = blockAt(block, row);
        if (!found) continue;
        hidden += found.hidden;
        for (const [round, place, start, long, effects, failed] of found.spans) {
          if (round < from || round > to) continue;
          const begin = lie.offsets[round - column * SIDE] + start;
          const [y, high] = [Y(place) + 1, Math.max(1, seen.y - 2)];
          context.globalAlpha = 0.45;
          context.fillStyle = colour(failed ? "--bad" : "--accent");
          context.fillRect(X(begin), y, Math.max(1, long * seen.x), high);
          context.globalAlpha = 1;
          for (const [at, took] of effects) context.fillRect(X(lie.offsets[round - column * SIDE] + at), y + high / 4, Math.max(1, took * seen.x), high / 2);
        }
      }
    }
    return hidden;
  }

  /** @param {number} block @param {number} row */
  function blockAt(block, row) {
    const last = /** @type {any} */ (facts).last_round;
    const [first, end] = [Math.max(1, block * BLOCK_ROUNDS), (block + 1) * BLOCK_ROUNDS - 1];
    const range = { run, first, last: end, place_first: row * BLOCK_PLACES, place_last: (row + 1) * BLOCK_PLACES - 1 };
    return got(blocks, `${block} ${row} ${end >= last ? last : ""}`, () => ask("spans", range), BLOCKS_KEPT);
  }

  /** Idle time that was closed: a dashed line, and how long it was where there is room. */
  function closed(/** @type {Axis} */ lie, /** @type {number} */ height, /** @type {(name: string) => string} */ colour, /** @type {number} */ width) {
    context.fillStyle = colour("--bad");
    context.font = "11px system-ui, 'DejaVu Sans', sans-serif";
    context.textAlign = "left";
    let free = LABELS;
    for (const [us, idle] of lie.gaps) {
      const x = Math.round(X(us));
      if (x < LABELS || x > width) continue;
      for (let y = HEADER; y < height; y += 8) context.fillRect(x, y, 1, 4);
      if (x < free) continue;
      const text = `${duration(idle)} idle`;
      context.fillText(text, x + 4, height - 8);
      free = x + context.measureText(text).width + 12;
    }
  }

  function labels(/** @type {{offsets: number[], rounds: number, total_us: number}} */ over, /** @type {number} */ width, /** @type {number} */ height, /** @type {(name: string) => string} */ colour) {
    const of = /** @type {import("../app.js").Facts} */ (facts);
    stage.write(colour);
    context.textAlign = "center";
    const tick = step(90 / seen.x);
    for (let us = Math.max(0, Math.ceil(seen.us / tick) * tick); us <= over.total_us; us += tick) {
      const x = X(us);
      if (x > width - 20) break;
      if (x < LABELS + 10) continue;
      context.fillText(us === 0 ? "0" : duration(us), x, 10);
      context.fillText(`round ${roundAt(over, us).toLocaleString("en")}`, x, 25);
    }
    context.textAlign = "right";
    const places = step(15 / seen.y);
    for (let place = Math.max(0, Math.ceil(seen.place / places) * places); place < of.agents; place += places) {
      const y = Y(place + 0.5);
      if (y > height) break;
      const agent = names.of(place);
      if (agent) context.fillText(visible(agent.name).slice(0, 20), LABELS - 8, y, LABELS - 14);
    }
  }

  /** The turn at a point, where turns are bars. @param {number} x @param {number} y */
  function turnAt(x, y) {
    const over = facts?.timings ? overview() : null;
    if (!facts || !over || x < LABELS || y < HEADER) return null;
    const us = seen.us + (x - LABELS) / seen.x;
    const place = Math.floor(seen.place + (y - HEADER) / seen.y);
    const guess = roundAt(over, us);
    for (let round = Math.max(1, guess - over.rounds); round <= guess + over.rounds; round++) {
      const column = Math.floor(round / SIDE);
      const lie = axes.get([...axes.keys()].find((key) => key.startsWith(`${column} 0 `)) ?? "");
      const block = blocks.get([...blocks.keys()].find((key) => key.startsWith(`${Math.floor(round / BLOCK_ROUNDS)} ${Math.floor(place / BLOCK_PLACES)} `)) ?? "");
      if (!lie || !block || lie === "asked" || block === "asked") continue;
      for (const [of, at, start, long, effects] of block.spans) {
        const begin = lie.offsets[round - column * SIDE] + start;
        if (of === round && at === place && us >= begin - 2 / seen.x && us <= begin + long + 2 / seen.x) return { round, place, long, effects };
      }
    }
    return null;
  }

  /** @param {number} factor @param {number} x @param {number} y @param {boolean} onlyTime */
  function zoom(factor, x, y, onlyTime) {
    const us = seen.us + (x - LABELS) / seen.x;
    const place = seen.place + (y - HEADER) / seen.y;
    seen.fitted = false;
    seen.x *= factor;
    if (!onlyTime) seen.y = Math.min(CELL_MAX, seen.y * factor);
    seen.us = us - (x - LABELS) / seen.x;
    seen.place = place - (y - HEADER) / seen.y;
    soon();
  }

  /** @param {number} dx @param {number} dy */
  function drag(dx, dy) {
    seen.us -= dx / seen.x;
    seen.place -= dy / seen.y;
    seen.fitted = false;
  }

  /** @param {import("../stage.js").Point} at */
  function tip({ x, y }) {
    const found = turnAt(x, y);
    if (!found) return null;
    const waited = found.effects.reduce((sum, [, took]) => sum + took, 0);
    return [names.of(found.place)?.name ?? `agent ${found.place}`, `round ${found.round.toLocaleString("en")}`, duration(found.long), waited > 0 && `${duration(waited)} for ${count(found.effects.length, "effect")}`];
  }

  /** @param {import("../stage.js").Point} at */
  async function openAt({ x, y }) {
    const found = turnAt(x, y);
    if (found) show({ agent: await names.sure(found.place), round: found.round, message: null, why: null });
    else {
      zoom(4, x, y, false);
      address();
    }
  }

  /** @param {WheelEvent} event @param {import("../stage.js").Point} at */
  function wheel(event, at) {
    if (!event.shiftKey) return zoom(Math.exp(-event.deltaY / 400), at.x, at.y, !event.altKey);
    seen.us += event.deltaY / seen.x;
    seen.fitted = false;
  }

  canvas.addEventListener("keydown", (event) => {
    const { width, height } = size();
    const far = { x: (width - LABELS) / seen.x / 8, y: (height - HEADER) / seen.y / 8 };
    const middle = { x: LABELS + (width - LABELS) / 2, y: HEADER + (height - HEADER) / 2 };
    if (event.key === "ArrowLeft") seen.us -= far.x;
    else if (event.key === "ArrowRight") seen.us += far.x;
    else if (event.key === "ArrowUp") seen.place -= far.y;
    else if (event.key === "ArrowDown") seen.place += far.y;
    else if (event.key === "+" || event.key === "=") zoom(1.5, middle.x, middle.y, !event.altKey);
    else if (event.key === "-") zoom(1 / 1.5, middle.x, middle.y, !event.altKey);
    else if (event.key === "Enter") return void openAt(middle);
    else if (event.key !== "0") return;
    event.preventDefault();
    seen.fitted = event.key === "0";
    soon();
    address();
  });
  whole.addEventListener("click", () => {
    seen.fitted = true;
    soon();
    address();
  });
  return {
    whole: true,
    update(now, of) {
      if (run !== now.run) {
        run = now.run;
        tiles.begin(run);
        axes.clear();
        blocks.clear();
        names.begin(run);
      }
      if (facts && facts.agents !== of.agents) names.grow();
      facts = of;
      marked = now.round === undefined ? null : Number(now.round);
      const when = now.when?.split("~").map(Number);
      if (when && when.length === 4 && when.every(Number.isFinite) && when[2] > 0 && when[3] > 0) {
        [seen.us, seen.place, seen.x, seen.y] = when;
        seen.fitted = false;
      } else seen.fitted = true;
      soon();
    },
    end: () => stage.end(),
  };
}
