// Agents × rounds, drawn from tiles that are made once, whatever the zoom: a frame is a few copies of images.

import { show } from "../address.js";
import { ask } from "../api.js";
import { count, fill, h, visible } from "../dom.js";
import { Scale } from "../scale.js";
import { bitsFor, SIDE, step, Tiles } from "../tiles.js";

const LABELS = 130;
const HEADER = 24;
const CELL_MAX = 64;
const MEASURES = /** @type {Record<string, string>} */ ({
  turns: "who moved",
  fuel: "fuel",
  effects: "effects (models)",
  executions: "executions",
});

/**
 * @param {HTMLElement} element
 * @returns {import("../app.js").View}
 */
export function timeline(element) {
  const canvas = /** @type {HTMLCanvasElement} */ (h("canvas", { tabindex: 0, role: "img", "aria-label": "Timeline: agents by rounds. Arrow keys move, plus and minus zoom, Enter opens the turn at the cross." }));
  const tip = h("div", { class: "tip", hidden: true });
  const measure = /** @type {HTMLSelectElement} */ (h("select", { "aria-label": "Colour by" }, Object.entries(MEASURES).map(([name, words]) => h("option", { value: name }, words))));
  const order = /** @type {HTMLSelectElement} */ (h("select", { "aria-label": "Order of lanes", hidden: true }, h("option", { value: "" }, "lanes by place"), h("option", { value: "lineage" }, "lanes by lineage")));
  const whole = h("button", { type: "button" }, "whole run");
  fill(element, h("div", { class: "stage" }, canvas, tip, h("div", { class: "float" }, h("label", { class: "dim" }, "colour "), measure, order, whole)));
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));

  const tiles = new Tiles(() => soon());
  /** @type {Map<number, string>} */
  const names = new Map();
  /** @type {Map<number, number>} */
  const depths = new Map();
  /** @type {Set<number>} */
  const namesAsked = new Set();
  /** @type {import("../address.js").Shown} */
  let now = {};
  /** @type {import("../app.js").Facts | null} */
  let facts = null;
  const scale = new Scale();
  // The part that is seen: the round and the place at the upper left, and pixels a round and a place.
  const seen = { round: 1, place: 0, x: 8, y: 18, fitted: false };
  let frame = 0;
  let run = "";
  let ended = false;

  const size = () => ({ width: element.clientWidth, height: element.clientHeight });

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

  function soon() {
    if (!frame) frame = requestAnimationFrame(draw);
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
    frame = 0;
    if (!facts || ended) return;
    const { width, height } = size();
    const ratio = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const style = getComputedStyle(document.documentElement);
    const colour = /** @param {string} name */ (name) => style.getPropertyValue(name).trim();
    scale.dress(colour("--ground"), colour("--accent"), colour("--bad"));
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = colour("--ground");
    context.fillRect(0, 0, width, height);
    context.save();
    context.beginPath();
    context.rect(LABELS, HEADER, width - LABELS, height - HEADER);
    context.clip();
    context.fillStyle = colour("--cell-empty");
    const left = LABELS + (1 - seen.round) * seen.x;
    const top = HEADER - seen.place * seen.y;
    context.fillRect(left, top, facts.last_round * seen.x, facts.agents * seen.y);
    context.imageSmoothingEnabled = false;
    const [roundBits, placeBits] = [bitsFor(seen.x), bitsFor(seen.y)];
    const [tileRounds, tilePlaces] = [2 ** (8 + roundBits), 2 ** (8 + placeBits)];
    const lastRound = Math.min(facts.last_round, seen.round + (width - LABELS) / seen.x);
    const lastPlace = Math.min(facts.agents - 1, seen.place + (height - HEADER) / seen.y);
    for (let column = Math.max(0, Math.floor(seen.round / tileRounds)); column * tileRounds <= lastRound; column++) {
      for (let row = Math.max(0, Math.floor(seen.place / tilePlaces)); row * tilePlaces <= lastPlace; row++) {
        const tile = tileAt(column, row, roundBits, placeBits);
        if (!tile) continue;
        for (let at = 0; at < tile.values.length; at++) scale.take(tile.values[at] / tile.turns[at]);
        drawPart(tiles.picture(tile, measure.value, scale, 2 ** (roundBits + placeBits)), column * tileRounds, row * tilePlaces, 2 ** roundBits, 2 ** placeBits, width, height);
      }
    }
    if (seen.x >= 6 && seen.y >= 6) lines(width, height, colour("--ground"));
    marks(width, height, colour);
    context.restore();
    labels(width, height, colour);
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
      context.strokeRect(Math.round(x) - 0.5, HEADER - 2, Math.max(1, Math.round(seen.x)), height + 4);
    }
    if (now.agent !== undefined) {
      for (const [place, name] of names) {
        if (name !== now.agent) continue;
        const y = HEADER + (place - seen.place) * seen.y;
        context.strokeRect(LABELS - 2, Math.round(y) - 0.5, width, Math.max(1, Math.round(seen.y)));
      }
    }
  }

  function labels(/** @type {number} */ width, /** @type {number} */ height, /** @type {(name: string) => string} */ colour) {
    if (!facts) return;
    context.fillStyle = colour("--dim");
    context.font = "12px system-ui, 'DejaVu Sans', sans-serif";
    context.textBaseline = "middle";
    const roundStep = step(60 / seen.x);
    context.textAlign = "center";
    for (let round = Math.max(roundStep, Math.ceil(seen.round / roundStep) * roundStep); round <= facts.last_round; round += roundStep) {
      const x = LABELS + (round - seen.round + 0.5) * seen.x;
      if (x > width - 10) break;
      context.fillText(round.toLocaleString("en"), x, HEADER / 2);
    }
    const placeStep = step(15 / seen.y);
    context.textAlign = "right";
    for (let place = Math.max(0, Math.ceil(seen.place / placeStep) * placeStep); place < facts.agents; place += placeStep) {
      const y = HEADER + (place - seen.place + 0.5) * seen.y;
      if (y > height) break;
      const name = names.get(place);
      if (name === undefined) wantNames(place);
      else context.fillText("·".repeat(Math.min(6, depths.get(place) ?? 0)) + clipped(visible(name)), LABELS - 8, y, LABELS - 14);
    }
  }

  /** @param {string} name */
  function clipped(name) {
    return name.length > 20 ? `${name.slice(0, 19)}…` : name;
  }

  /** @param {number} place */
  function wantNames(place) {
    const page = Math.floor(place / 200);
    if (namesAsked.has(page)) return;
    namesAsked.add(page);
    const of = run;
    const lanes = order.value;
    ask("agents", { run, first: page * 200, count: 200, lanes })
      .then((found) => {
        if (of !== run || lanes !== order.value) return;
        for (const agent of found.agents) {
          names.set(agent.place, agent.name);
          depths.set(agent.place, agent.depth ?? 0);
        }
        soon();
      })
      .catch(() => namesAsked.delete(page));
  }

  /** @param {MouseEvent} event */
  function cellAt(event) {
    const box = canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    if (!facts || x < LABELS || y < HEADER) return null;
    const round = Math.floor(seen.round + (x - LABELS) / seen.x);
    const place = Math.floor(seen.place + (y - HEADER) / seen.y);
    if (round < 1 || round > facts.last_round || place < 0 || place >= facts.agents) return null;
    return { round, place, x, y };
  }

  /** @param {{round: number, place: number}} cell */
  function sums(cell) {
    const [roundBits, placeBits] = [bitsFor(seen.x), bitsFor(seen.y)];
    const [column, row] = [Math.floor(cell.round / 2 ** (8 + roundBits)), Math.floor(cell.place / 2 ** (8 + placeBits))];
    const tile = tileAt(column, row, roundBits, placeBits);
    if (!tile) return null;
    const index = ((cell.round >> roundBits) % SIDE) + ((cell.place >> placeBits) % SIDE) * SIDE;
    const at = tile.cells.get(index);
    const rounds = 2 ** roundBits;
    const places = 2 ** placeBits;
    if (at === undefined) return { turns: 0, failed: 0, value: 0, rounds, places };
    return { turns: tile.turns[at], failed: tile.failed[at], value: tile.values[at], rounds, places };
  }

  /** @type {{x: number, y: number, moved: boolean} | null} */
  let held = null;

  canvas.addEventListener("mousedown", (event) => {
    held = { x: event.clientX, y: event.clientY, moved: false };
  });
  const onMove = (/** @type {MouseEvent} */ event) => {
    if (held) {
      const [dx, dy] = [event.clientX - held.x, event.clientY - held.y];
      if (!held.moved && Math.abs(dx) + Math.abs(dy) < 4) return;
      held.moved = true;
      held.x = event.clientX;
      held.y = event.clientY;
      seen.round -= dx / seen.x;
      seen.place -= dy / seen.y;
      seen.fitted = false;
      tip.hidden = true;
      keep();
      soon();
      return;
    }
    if (event.target !== canvas) {
      tip.hidden = true;
      return;
    }
    const cell = cellAt(event);
    const found = cell && sums(cell);
    if (!cell || !found) {
      tip.hidden = true;
      return;
    }
    const one = found.rounds === 1 && found.places === 1;
    const who = one ? (names.get(cell.place) ?? `agent ${cell.place}`) : count(found.places, "agent");
    const when = found.rounds === 1 ? `round ${cell.round.toLocaleString("en")}` : count(found.rounds, "round");
    const what = found.turns === 0 ? "no turn" : one ? "" : count(found.turns, "turn");
    const value = measure.value !== "turns" && found.turns > 0 ? `${MEASURES[measure.value]} ${Math.round(found.value).toLocaleString("en")}` : "";
    const failed = found.failed > 0 ? (one ? "failed" : `${found.failed} failed`) : "";
    fill(tip, [who, when, what, value, failed].filter(Boolean).join(" · "));
    tip.hidden = false;
    tip.style.left = `${Math.min(cell.x + 14, size().width - tip.offsetWidth - 8)}px`;
    tip.style.top = `${Math.min(cell.y + 16, size().height - tip.offsetHeight - 8)}px`;
    if (!names.has(cell.place)) wantNames(cell.place);
  };
  const onUp = (/** @type {MouseEvent} */ event) => {
    const before = held;
    held = null;
    if (!before) return;
    if (before.moved) return address();
    const cell = cellAt(event);
    if (cell) openCell(cell);
  };
  window.addEventListener("mousemove", onMove);
  window.addEventListener("mouseup", onUp);
  canvas.addEventListener("mouseleave", () => (tip.hidden = true));

  /** @param {{round: number, place: number}} cell */
  async function openCell(cell) {
    const found = sums(cell);
    if (!found) return;
    if (found.rounds > 1 || found.places > 1) {
      zoom(4, LABELS + (cell.round - seen.round) * seen.x, HEADER + (cell.place - seen.place) * seen.y);
      return address();
    }
    if (!names.has(cell.place)) {
      const page = await ask("agents", { run, first: cell.place, count: 1, lanes: order.value });
      for (const agent of page.agents) names.set(agent.place, agent.name);
    }
    if (found.turns > 0) show({ agent: names.get(cell.place), round: cell.round, message: null, why: null });
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

  let settled = 0;
  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const box = canvas.getBoundingClientRect();
      if (event.shiftKey) {
        seen.round += event.deltaY / seen.x;
        seen.fitted = false;
        keep();
        soon();
      } else zoom(Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top, event.altKey);
      clearTimeout(settled);
      settled = window.setTimeout(address, 200);
    },
    { passive: false },
  );
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
  measure.addEventListener("change", () => show({ colour: measure.value === "turns" ? null : measure.value }));
  order.addEventListener("change", () => show({ lanes: order.value || null }));
  whole.addEventListener("click", () => {
    fit();
    address();
    soon();
  });
  const resized = new ResizeObserver(() => {
    if (seen.fitted) fit();
    soon();
  });
  resized.observe(element);

  return {
    whole: true,
    update(shownNow, of) {
      now = shownNow;
      if (run !== now.run) {
        run = now.run;
        tiles.begin(run, order.value);
        names.clear();
        namesAsked.clear();
        seen.fitted = false;
        facts = null;
      }
      const grown = facts !== null && facts.agents !== of.agents;
      const lanes = now.lanes === "lineage" && of.totals.spawned > 0 ? "lineage" : "";
      order.hidden = of.totals.spawned === 0;
      if (lanes !== order.value || (grown && lanes)) {
        order.value = lanes;
        tiles.begin(run, lanes);
        names.clear();
        depths.clear();
        namesAsked.clear();
      }
      if (grown) namesAsked.clear();
      const first = facts === null;
      facts = of;
      if (now.colour && now.colour in MEASURES && measure.value !== now.colour) {
        measure.value = now.colour;
        scale.forget();
      } else if (!now.colour && measure.value !== "turns") {
        measure.value = "turns";
        scale.forget();
      }
      const at = now.at?.split("~").map(Number);
      if (at && at.length === 4 && at.every(Number.isFinite)) {
        [seen.round, seen.place, seen.x, seen.y] = at;
        seen.fitted = false;
        keep();
      } else if (first || seen.fitted) fit();
      soon();
    },
    end() {
      ended = true;
      resized.disconnect();
      window.removeEventListener("mousemove", onMove);
      window.removeEventListener("mouseup", onUp);
    },
  };
}
