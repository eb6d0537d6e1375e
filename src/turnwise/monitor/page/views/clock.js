// Agents by the time of the run: rounds one behind the other for as long as they took, idle time between them closed.
// From afar a column of a tile is as wide as its rounds took; from near each turn is a bar, with what it waited for in it.
// Turns that wait over rounds, for people or slow tools, are bands below, from the round that asked to the one that goes on.

import { show } from "../address.js";
import { ask } from "../api.js";
import { Bars, WAITS_FOR } from "../bars.js";
import { count, duration, fill, h, number } from "../dom.js";
import { Kept } from "../kept.js";
import { LaneNames } from "../lane_names.js";
import { Scale } from "../scale.js";
import { LABELS, Stage } from "../stage.js";
import { bitsFor, SIDE, step, Tiles } from "../tiles.js";
import { waitAt, Waits } from "../waits.js";

const HEADER = 36;
const CELL_MAX = 48;
const NEAR_ROUNDS = 48;
const AXES_KEPT = 200;

/** @typedef {{offsets: number[], gaps: [number, number][], gaps_hidden: number, total_us: number, last_round: number, rounds_hidden: number}} Axis */

/**
 * @param {HTMLElement} element
 * @returns {import("../app.js").View}
 */
export function clock(element) {
  const whole = h("button", { type: "button" }, "whole run");
  const told = h("span", { class: "dim" });
  const legend = h("span", { class: "legend" });
  const label = "Agents by the time of the run. Arrow keys move, plus and minus zoom, Enter opens the turn at the cross.";
  const stage = new Stage(element, label, HEADER, draw, { drag, tip, click: openAt, wheel, settled: address }, legend, told, whole);
  const { canvas, context } = stage;
  const soon = () => stage.soon();
  const size = () => stage.size();
  const tiles = new Tiles(soon);
  const names = new LaneNames(soon);
  const scale = new Scale();
  const bars = new Bars(context, soon);
  const waits = new Waits(soon);
  /** @type {Kept<Axis>} */
  const axes = new Kept(AXES_KEPT, soon);
  /** @type {import("../app.js").Facts | null} */
  let facts = null;
  // The part that is seen: microseconds and place at the upper left, and pixels a microsecond and a place.
  const seen = { us: 0, place: 0, x: 0, y: 18, fitted: true };
  /** @type {number | null} */
  let marked = null;
  let run = "";
  let said = "";

  const X = (/** @type {number} */ us) => LABELS + (us - seen.us) * seen.x;
  const Y = (/** @type {number} */ place) => HEADER + (place - seen.place) * seen.y;

  /** @param {number} column @param {number} bits @returns {Axis | null} */
  function axis(column, bits) {
    const last = /** @type {any} */ (facts).last_round;
    const grows = (column + 1) * 2 ** (8 + bits) > last ? last : "";
    return axes.get(`${column} ${bits} ${grows}`, () => ask("clock", { run, column, round_bits: bits }));
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
    tiles.frame();
    let hidden = 0;
    /** @type {Set<string>} */
    const kinds = new Set();
    for (let column = Math.floor(first / 2 ** (8 + bits)); column * 2 ** (8 + bits) <= last; column++) {
      const lie = axis(column, bits);
      if (!lie) continue;
      if (!near) columns(column, lie, bits, width, height);
      if (near) hidden += turns(column, lie, first, last, height, colour, kinds);
      if (facts.waits > 0) hidden += bands(column, lie, bits, height, colour, kinds);
      closed(lie, height, colour, width);
      if (marked !== null) mark(column, lie, bits, marked, height, colour);
    }
    context.restore();
    labels(over, width, height, colour);
    if (tiles.behind) soon();
    tell([`${duration(over.total_us)} of work, idle time closed`, hidden > 0 && `${count(hidden, "turn")} not shown`, over.rounds_hidden > 0 && `${count(over.rounds_hidden, "later round")} not on it`].filter(Boolean).join(", "), kinds);
  }

  /** Say what is seen, if that has changed: writing to the page costs more than a frame. @param {string} words @param {Set<string>} kinds */
  function tell(words, kinds) {
    const now = JSON.stringify([words, ...[...kinds].sort()]);
    if (now === said) return;
    said = now;
    fill(told, words);
    fill(
      legend,
      Object.entries(WAITS_FOR)
        .filter(([kind]) => kinds.has(kind))
        .map(([kind, { words }]) => h("span", {}, h("i", { class: `waits-${kind}` }), words)),
    );
  }

  /**
   * Turns that wait over rounds. Returns how many are not told.
   * @param {number} column
   * @param {Axis} lie
   * @param {number} bits
   * @param {number} height
   * @param {(name: string) => string} colour
   * @param {Set<string>} kinds Of what is waited for, which this adds to.
   */
  function bands(column, lie, bits, height, colour, kinds) {
    const of = /** @type {import("../app.js").Facts} */ (facts);
    const placeBits = bitsFor(seen.y);
    const tall = 2 ** (8 + placeBits);
    const lastPlace = Math.min(of.agents - 1, seen.place + (height - HEADER) / seen.y);
    const offset = (/** @type {number} */ round) => lie.offsets[Math.min(SIDE, Math.max(0, Math.floor(round / 2 ** bits) - column * SIDE))];
    const high = Math.max(1, Math.min(13, seen.y * 0.4 - 1));
    let hidden = 0;
    for (let row = Math.floor(seen.place / tall); row * tall <= lastPlace; row++) {
      const found = waits.at(column, row, bits, placeBits, of.last_round);
      if (!found) continue;
      hidden += found.hidden;
      for (const [lane, asked, until, kind] of found.waits) {
        const [left, right] = [X(offset(asked)), X(offset(until ?? of.last_round + 1))];
        if (right <= left) continue;
        kinds.add(kind);
        context.fillStyle = colour(WAITS_FOR[kind].colour);
        const top = Y(lane + 1) - high - 1;
        context.fillRect(left, top, right - left, high);
        bars.label(kind === "tool" ? "slow tool" : kind, left, right, top, high, colour);
      }
    }
    return hidden;
  }

  /** The round of the scrubber. */
  function mark(/** @type {number} */ column, /** @type {Axis} */ lie, /** @type {number} */ bits, /** @type {number} */ round, /** @type {number} */ height, /** @type {(name: string) => string} */ colour) {
    const at = Math.floor(round / 2 ** bits) - column * SIDE;
    if (at < 0 || at >= SIDE) return;
    context.strokeStyle = colour("--text");
    context.lineWidth = 1;
    const left = Math.round(X(lie.offsets[at]));
    context.strokeRect(left - 0.5, HEADER - 2, Math.max(1, Math.round(X(lie.offsets[at + 1])) - left), Math.min(height, Y(/** @type {any} */ (facts).agents)) - HEADER + 4);
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
      if (!image) continue;
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
   * @param {Set<string>} kinds Of what is waited for, which this adds to.
   */
  function turns(column, lie, first, last, height, colour, kinds) {
    const of = /** @type {import("../app.js").Facts} */ (facts);
    const [from, to] = [Math.max(first, column * SIDE), Math.min(last, (column + 1) * SIDE - 1)];
    context.fillStyle = colour("--line");
    for (let round = from; round <= to; round++) context.fillRect(Math.round(X(lie.offsets[round - column * SIDE])), HEADER, 1, Math.min(height, Y(of.agents)) - HEADER);
    const found = bars.of(from, to, seen.place, seen.place + (height - HEADER) / seen.y, of.last_round);
    for (const bar of found.spans) {
      const begin = lie.offsets[bar[0] - column * SIDE];
      bars.draw(bar, (us) => X(begin + us), Y(bar[1]) + 1, Math.max(1, seen.y - 2), colour);
      for (const [, , kind] of bar[4]) kinds.add(kind);
    }
    return found.hidden;
  }

  /** Idle time that was closed: a dashed line, and how long it was where there is room. */
  function closed(/** @type {Axis} */ lie, /** @type {number} */ height, /** @type {(name: string) => string} */ colour, /** @type {number} */ width) {
    context.fillStyle = colour("--bad");
    context.font = "11px system-ui, 'DejaVu Sans', sans-serif";
    context.textAlign = "left";
    let free = LABELS;
    const bottom = Math.min(height, Y(/** @type {any} */ (facts).agents));
    for (const [us, idle] of lie.gaps) {
      const x = Math.round(X(us));
      if (x < LABELS || x > width) continue;
      for (let y = HEADER; y < bottom; y += 8) context.fillRect(x, y, 1, 4);
      if (x < free) continue;
      const text = `${duration(idle)} idle`;
      context.fillText(text, x + 4, Math.min(height - 8, bottom + 10));
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
      context.fillText(`round ${number(roundAt(over, us))}`, x, 25);
    }
    context.textAlign = "right";
    const places = step(15 / seen.y);
    for (let place = Math.max(0, Math.ceil(seen.place / places) * places); place < of.agents; place += places) {
      const y = Y(place + 0.5);
      if (y > height) break;
      const agent = names.of(place);
      if (agent) context.fillText(agent.label, LABELS - 8, y, LABELS - 14);
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
      const lie = axes.there(`${Math.floor(round / SIDE)} 0 `);
      if (!lie) continue;
      const begin = lie.offsets[round % SIDE];
      const bar = bars.at(round, place, (us - begin) | 0, 2 / seen.x);
      if (bar) return { round, place, long: bar[3], waited: bar[4], at: us - begin };
    }
    return null;
  }

  /** What a turn waits for over rounds, at a point. @param {number} x @param {number} y */
  function bandAt(x, y) {
    const over = facts?.timings ? overview() : null;
    if (!facts || !over || facts.waits === 0 || x < LABELS || y < HEADER) return null;
    const place = Math.floor(seen.place + (y - HEADER) / seen.y);
    const round = roundAt(over, seen.us + (x - LABELS) / seen.x);
    for (const found of waits.kept.values()) {
      const wait = waitAt(found, place, round);
      if (wait) return { place, wait };
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
    if (found) {
      const name = names.of(found.place)?.name ?? `agent ${found.place}`;
      const here = found.waited.find(([from, took]) => found.at >= from && found.at <= from + took);
      const waited = found.waited.reduce((sum, [, took]) => sum + took, 0);
      const words = here ? `${WAITS_FOR[here[2]].words}: ${here[3]}, ${duration(here[1])}` : waited > 0 && `${duration(waited)} for ${count(found.waited.length, "effect")}`;
      return [name, `round ${number(found.round)}`, duration(found.long), words];
    }
    const band = bandAt(x, y);
    if (!band) return null;
    const [, asked, until, kind] = band.wait;
    const when = until === null ? `since round ${number(asked)}` : `from round ${number(asked)} to ${number(until)}`;
    return [names.of(band.place)?.name ?? `agent ${band.place}`, `waits for ${kind === "tool" ? "a slow tool" : "people"}`, when];
  }

  /** @param {import("../stage.js").Point} at */
  async function openAt({ x, y }) {
    const found = turnAt(x, y);
    const band = found ? null : bandAt(x, y);
    if (found) show({ agent: await names.sure(found.place), round: found.round, message: null, why: null, led: null });
    else if (band) show({ agent: await names.sure(band.place), round: band.wait[1], message: null, why: null, led: null });
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
        bars.begin(run);
        waits.begin(run);
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
