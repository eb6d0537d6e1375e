// Agents × rounds, drawn from tiles that are made once, whatever the zoom: a frame is a few copies of images.

import { show } from "../address.js";
import { count, fill, h, number } from "../dom.js";
import { LaneNames } from "../lane_names.js";
import { Measures } from "../measures.js";
import { Scale } from "../scale.js";
import { LABELS, Stage } from "../stage.js";
import { bitsFor, cellOf, SIDE, step, Tiles } from "../tiles.js";
import { waitAt, Waits } from "../waits.js";

const HEADER = 24;
const CELL_MAX = 64;

/**
 * @param {HTMLElement} element
 * @returns {import("../app.js").View}
 */
export function timeline(element) {
  const measure = new Measures((name) => show({ colour: name }));
  const order = /** @type {HTMLSelectElement} */ (h("select", { "aria-label": "Order of lanes", hidden: true }, h("option", { value: "" }, "lanes by place"), h("option", { value: "lineage" }, "lanes by lineage")));
  const whole = h("button", { type: "button" }, "whole run");
  const waiting = h("span", { class: "dim legend", hidden: true });
  const label = "Timeline: agents by rounds. Arrow keys move, plus and minus zoom, Enter opens the turn at the cross.";
  const stage = new Stage(element, label, HEADER, draw, { drag, tip, click: (at) => openCell(cellAt(at)), wheel, settled: address }, waiting, h("label", { class: "dim" }, "colour "), measure.select, order, whole);
  const { canvas, context } = stage;
  const soon = () => stage.soon();
  const size = () => stage.size();

  const tiles = new Tiles(soon);
  const names = new LaneNames(soon);
  const waits = new Waits(soon);
  /** @type {import("../address.js").Shown} */
  let now = {};
  /** @type {import("../app.js").Facts | null} */
  let facts = null;
  const scale = new Scale();
  // The part that is seen: the round and the place at the upper left, and pixels a round and a place.
  const seen = { round: 1, place: 0, x: 8, y: 18, fitted: false };
  let run = "";
  let told = "";

  function fit() {
    if (!facts) return;
    const { width, height } = size();
    seen.round = 1;
    seen.place = 0;
    seen.x = Math.min(CELL_MAX, Math.max((width - LABELS - 20) / Math.max(1, facts.last_round), 1e-4));
    seen.y = Math.min(32, Math.max((height - HEADER - 10) / Math.max(1, facts.agents), 1e-4));
    seen.fitted = true;
  }

  function keep() {
    if (!facts) return;
    const { width, height } = size();
    const least = { x: (width - LABELS) / facts.last_round / 1.5, y: (height - HEADER) / facts.agents / 1.5 };
    seen.x = Math.min(CELL_MAX, Math.max(seen.x, Math.min(least.x, 4)));
    seen.y = Math.min(CELL_MAX, Math.max(seen.y, Math.min(least.y, 4)));
    seen.round = Math.min(Math.max(seen.round, 1 - 20 / seen.x), Math.max(1, facts.last_round - 2));
    seen.place = Math.min(Math.max(seen.place, 0), Math.max(0, facts.agents - 1));
  }

  function address() {
    show(
      { at: seen.fitted ? null : [seen.round, seen.place, seen.x, seen.y].map((number) => Number(number.toPrecision(6))).join("~") },
      { replace: true },
    );
  }

  /**
   * @param {number} column
   * @param {number} row
   * @param {number} roundBits
   * @param {number} placeBits
   */
  const tileAt = (column, row, roundBits, placeBits) => tiles.at(measure.value, column, row, roundBits, placeBits, facts ? facts.last_round : 0);

  function draw() {
    if (!facts) return;
    if (seen.fitted) fit();
    const { width, height, colour } = stage.begin();
    tiles.frame();
    scale.dress(colour("--ground"), colour("--accent"), colour("--bad"));
    stage.clip();
    context.fillStyle = colour("--cell-empty");
    const left = LABELS + (1 - seen.round) * seen.x;
    const top = HEADER - seen.place * seen.y;
    context.fillRect(left, top, facts.last_round * seen.x, facts.agents * seen.y);
    context.imageSmoothingEnabled = false;
    const [roundBits, placeBits] = [bitsFor(seen.x), bitsFor(seen.y)];
    const [tileRounds, tilePlaces] = [2 ** (8 + roundBits), 2 ** (8 + placeBits)];
    const lastRound = Math.min(facts.last_round, seen.round + (width - LABELS) / seen.x);
    const lastPlace = Math.min(facts.agents - 1, seen.place + (height - HEADER) / seen.y);
    /** @type {[number, import("../waits.js").Waiting][]} */
    const waiting_ = [];
    for (let column = Math.max(0, Math.floor(seen.round / tileRounds)); column * tileRounds <= lastRound; column++) {
      for (let row = Math.max(0, Math.floor(seen.place / tilePlaces)); row * tilePlaces <= lastPlace; row++) {
        const waited = facts.waits > 0 ? waits.at(column, row, roundBits, placeBits, facts.last_round) : null;
        if (waited) waiting_.push([column * tileRounds, waited]);
        const tile = tileAt(column, row, roundBits, placeBits);
        if (!tile) continue;
        scale.see(tile);
        const image = tiles.picture(tile, measure.value, scale, 2 ** (roundBits + placeBits));
        if (image) drawPart(image, column * tileRounds, row * tilePlaces, 2 ** roundBits, 2 ** placeBits, width, height);
      }
    }
    if (seen.x >= 6 && seen.y >= 6) lines(width, height, colour("--ground"));
    for (const [first, waited] of waiting_) bands(waited.waits, first, first + tileRounds, colour);
    marks(width, height, colour);
    context.restore();
    labels(width, height, colour);
    if (tiles.behind) soon();
    const hidden = waiting_.reduce((sum, [, waited]) => sum + waited.hidden, 0);
    const kinds = ["people", "tool"].filter((kind) => waiting_.some(([, waited]) => waited.waits.some((wait) => wait[3] === kind)));
    const words = JSON.stringify([kinds, hidden]);
    if (words === told) return;
    told = words;
    waiting.hidden = kinds.length === 0;
    fill(waiting, kinds.map((kind) => h("span", {}, h("i", { class: `waits-${kind}` }), kind === "people" ? "waits for an answer" : "waits for a slow tool")), hidden > 0 && h("span", {}, `${count(hidden, "wait")} not shown`));
  }

  /**
   * Turns that wait for people: a band from the round that asked to the one in which the turn went on.
   * @param {import("../waits.js").Wait[]} found
   * @param {number} first The part of them that lies in a tile.
   * @param {number} end
   * @param {(name: string) => string} colour
   */
  function bands(found, first, end, colour) {
    const last = /** @type {import("../app.js").Facts} */ (facts).last_round + 1;
    const high = Math.max(1, Math.min(seen.y / 3, 8));
    for (const [lane, asked, until, kind] of found) {
      const [from, to] = [Math.max(asked, first), Math.min(until ?? last, end)];
      if (to <= from) continue;
      context.fillStyle = colour(kind === "tool" ? "--tool" : "--waits");
      context.fillRect(LABELS + (from - seen.round) * seen.x, HEADER + (lane + 0.5 - seen.place) * seen.y - high / 2, (to - from) * seen.x, high);
    }
  }

  /**
   * The part of a tile that is seen: some browsers work through all that is asked for, seen or not.
   * @param {HTMLCanvasElement} image
   * @param {number} round The first of the tile.
   * @param {number} place The first of the tile.
   * @param {number} rounds That a cell covers.
   * @param {number} places That a cell covers.
   * @param {number} width
   * @param {number} height
   */
  function drawPart(image, round, place, rounds, places, width, height) {
    const last = { round: seen.round + (width - LABELS) / seen.x, place: seen.place + (height - HEADER) / seen.y };
    const x = Math.max(0, Math.floor((seen.round - round) / rounds));
    const y = Math.max(0, Math.floor((seen.place - place) / places));
    const endX = Math.min(SIDE, Math.ceil((Math.min(last.round, /** @type {any} */ (facts).last_round + 1) - round) / rounds));
    const endY = Math.min(SIDE, Math.ceil((Math.min(last.place, /** @type {any} */ (facts).agents) - place) / places));
    if (endX <= x || endY <= y) return;
    context.drawImage(
      image,
      x,
      y,
      endX - x,
      endY - y,
      LABELS + (round + x * rounds - seen.round) * seen.x,
      HEADER + (place + y * places - seen.place) * seen.y,
      (endX - x) * rounds * seen.x,
      (endY - y) * places * seen.y,
    );
  }

  /**
   * Lines between cells that are large enough to have some.
   * @param {number} width
   * @param {number} height
   * @param {string} colour
   */
  function lines(width, height, colour) {
    context.fillStyle = colour;
    for (let round = Math.ceil(seen.round); ; round++) {
      const x = LABELS + (round - seen.round) * seen.x;
      if (x > width) break;
      context.fillRect(Math.round(x) - 1, HEADER, 1, height - HEADER);
    }
    for (let place = Math.ceil(seen.place); ; place++) {
      const y = HEADER + (place - seen.place) * seen.y;
      if (y > height) break;
      context.fillRect(LABELS, Math.round(y) - 1, width - LABELS, 1);
    }
  }

  /** The round of the scrubber, and the agent whose details are open. */
  function marks(/** @type {number} */ width, /** @type {number} */ height, /** @type {(name: string) => string} */ colour) {
    if (!facts) return;
    context.strokeStyle = colour("--text");
    context.lineWidth = 1;
    if (now.round !== undefined) {
      const x = LABELS + (Number(now.round) - seen.round) * seen.x;
      const bottom = Math.min(height, HEADER + (facts.agents - seen.place) * seen.y);
      context.strokeRect(Math.round(x) - 0.5, HEADER - 2, Math.max(1, Math.round(seen.x)), bottom - HEADER + 4);
    }
    if (now.agent !== undefined) {
      for (const place of names.lanesOf(now.agent)) {
        const y = HEADER + (place - seen.place) * seen.y;
        const right = Math.min(width, LABELS + (facts.last_round + 1 - seen.round) * seen.x);
        context.strokeRect(LABELS - 2, Math.round(y) - 0.5, right - LABELS + 4, Math.max(1, Math.round(seen.y)));
      }
    }
  }

  function labels(/** @type {number} */ width, /** @type {number} */ height, /** @type {(name: string) => string} */ colour) {
    if (!facts) return;
    stage.write(colour);
    const roundStep = step(60 / seen.x);
    context.textAlign = "center";
    for (let round = Math.max(roundStep, Math.ceil(seen.round / roundStep) * roundStep); round <= facts.last_round; round += roundStep) {
      const x = LABELS + (round - seen.round + 0.5) * seen.x;
      if (x > width - 10) break;
      context.fillText(number(round), x, HEADER / 2);
    }
    const placeStep = step(15 / seen.y);
    context.textAlign = "right";
    for (let place = Math.max(0, Math.ceil(seen.place / placeStep) * placeStep); place < facts.agents; place += placeStep) {
      const y = HEADER + (place - seen.place + 0.5) * seen.y;
      if (y > height) break;
      const agent = names.of(place);
      if (agent) context.fillText(agent.label, LABELS - 8, y, LABELS - 14);
    }
  }

  /** @param {import("../stage.js").Point} at */
  function cellAt({ x, y }) {
    if (!facts || x < LABELS || y < HEADER) return null;
    const round = Math.floor(seen.round + (x - LABELS) / seen.x);
    const place = Math.floor(seen.place + (y - HEADER) / seen.y);
    if (round < 1 || round > facts.last_round || place < 0 || place >= facts.agents) return null;
    return { round, place };
  }

  /** The wait that a cell lies in. @param {{round: number, place: number}} cell */
  function waitOf(cell) {
    if (!facts || facts.waits === 0) return null;
    const [roundBits, placeBits] = [bitsFor(seen.x), bitsFor(seen.y)];
    const [column, row] = [Math.floor(cell.round / 2 ** (8 + roundBits)), Math.floor(cell.place / 2 ** (8 + placeBits))];
    return waitAt(waits.at(column, row, roundBits, placeBits, facts.last_round), cell.place, cell.round);
  }

  /** @param {{round: number, place: number}} cell */
  function sums(cell) {
    const [roundBits, placeBits] = [bitsFor(seen.x), bitsFor(seen.y)];
    const [column, row] = [Math.floor(cell.round / 2 ** (8 + roundBits)), Math.floor(cell.place / 2 ** (8 + placeBits))];
    const tile = tileAt(column, row, roundBits, placeBits);
    if (!tile) return null;
    const index = ((cell.round >> roundBits) % SIDE) + ((cell.place >> placeBits) % SIDE) * SIDE;
    const at = cellOf(tile, index);
    const rounds = 2 ** roundBits;
    const places = 2 ** placeBits;
    if (at === undefined) return { turns: 0, failed: 0, value: 0, rounds, places };
    return { turns: tile.turns[at], failed: tile.failed[at], value: tile.values[at], rounds, places };
  }

  /** @param {number} dx @param {number} dy */
  function drag(dx, dy) {
    seen.round -= dx / seen.x;
    seen.place -= dy / seen.y;
    seen.fitted = false;
    keep();
  }

  /** @param {import("../stage.js").Point} at */
  function tip(at) {
    const cell = cellAt(at);
    const found = cell && sums(cell);
    if (!cell || !found) return null;
    const one = found.rounds === 1 && found.places === 1;
    const wait = one ? waitOf(cell) : null;
    const who = one ? (names.of(cell.place)?.name ?? `agent ${cell.place}`) : count(found.places, "agent");
    const when = found.rounds === 1 ? `round ${number(cell.round)}` : count(found.rounds, "round");
    const what = wait ? `waits for an answer since round ${number(wait[1])}` : found.turns === 0 ? "no turn" : one ? "" : count(found.turns, "turn");
    const failed = found.failed > 0 ? (one ? "failed" : `${found.failed} failed`) : "";
    return [who, when, what, measure.words(found.value, found.turns), failed];
  }

  /** @param {{round: number, place: number} | null} cell */
  async function openCell(cell) {
    const found = cell && sums(cell);
    if (!cell || !found) return;
    if (found.rounds > 1 || found.places > 1) {
      zoom(4, LABELS + (cell.round - seen.round) * seen.x, HEADER + (cell.place - seen.place) * seen.y);
      return address();
    }
    const wait = waitOf(cell);
    const agent = await names.sure(cell.place);
    if (found.turns > 0) show({ agent, round: cell.round, message: null, why: null, led: null });
    else if (wait) show({ agent, round: wait[1], message: null, why: null, led: null });
    else show({ round: cell.round, details: 1, agent: null, message: null });
  }

  /**
   * @param {number} factor
   * @param {number} x
   * @param {number} y
   * @param {boolean} [onlyRounds]
   */
  function zoom(factor, x, y, onlyRounds = false) {
    const round = seen.round + (x - LABELS) / seen.x;
    const place = seen.place + (y - HEADER) / seen.y;
    seen.x *= factor;
    if (!onlyRounds) seen.y *= factor;
    keep();
    seen.round = round - (x - LABELS) / seen.x;
    seen.place = place - (y - HEADER) / seen.y;
    seen.fitted = false;
    keep();
    soon();
  }

  /** @param {WheelEvent} event @param {import("../stage.js").Point} at */
  function wheel(event, at) {
    if (!event.shiftKey) return zoom(Math.exp(-event.deltaY / 400), at.x, at.y, event.altKey);
    seen.round += event.deltaY / seen.x;
    seen.fitted = false;
    keep();
  }

  canvas.addEventListener("keydown", (event) => {
    const { width, height } = size();
    const far = { x: (width - LABELS) / seen.x / 8, y: (height - HEADER) / seen.y / 8 };
    if (event.key === "ArrowLeft") seen.round -= far.x;
    else if (event.key === "ArrowRight") seen.round += far.x;
    else if (event.key === "ArrowUp") seen.place -= far.y;
    else if (event.key === "ArrowDown") seen.place += far.y;
    else if (event.key === "+" || event.key === "=") zoom(1.5, width / 2, height / 2);
    else if (event.key === "-") zoom(1 / 1.5, width / 2, height / 2);
    else if (event.key === "0") fit();
    else if (event.key === "Enter") {
      const cell = { round: Math.floor(seen.round + (width - LABELS) / seen.x / 2), place: Math.floor(seen.place + (height - HEADER) / seen.y / 2) };
      openCell(cell);
      return;
    } else return;
    event.preventDefault();
    if (event.key !== "0") seen.fitted = false;
    keep();
    soon();
    address();
  });
  order.addEventListener("change", () => show({ lanes: order.value || null }));
  whole.addEventListener("click", () => {
    fit();
    address();
    soon();
  });
  /** @param {string} lanes */
  function begin(lanes) {
    tiles.begin(run, lanes);
    names.begin(run, lanes);
    waits.begin(run, lanes);
  }

  return {
    whole: true,
    update(shownNow, of) {
      now = shownNow;
      if (run !== now.run) {
        run = now.run;
        begin(order.value);
        seen.fitted = false;
        facts = null;
      }
      const grown = facts !== null && facts.agents !== of.agents;
      const lanes = now.lanes === "lineage" && of.totals.spawned > 0 ? "lineage" : "";
      order.hidden = of.totals.spawned === 0;
      if (lanes !== order.value || (grown && lanes)) {
        order.value = lanes;
        begin(lanes);
      }
      if (grown) names.grow();
      const first = facts === null;
      facts = of;
      if (measure.update(of, now.colour)) scale.forget(measure.recorded);
      const at = now.at?.split("~").map(Number);
      if (at && at.length === 4 && at.every(Number.isFinite)) {
        [seen.round, seen.place, seen.x, seen.y] = at;
        seen.fitted = false;
        keep();
      } else if (first || seen.fitted) fit();
      soon();
    },
    end: () => stage.end(),
  };
}
