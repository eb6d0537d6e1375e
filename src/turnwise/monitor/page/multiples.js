// Many runs as small pictures beside each other, all over the same rounds: who moved, and what failed.

import { leadTo } from "./address.js";
import { fill, h, visible } from "./dom.js";
import { Scale } from "./scale.js";
import { SIDE, Tiles } from "./tiles.js";

const RUNS_MAX = 60;
const [WIDE, HIGH] = [256, 80];

export class Multiples {
  /** @param {HTMLElement} element */
  constructor(element) {
    this.element = element;
    /** @type {Map<string, {card: HTMLElement, draw: (last: number) => void}>} */
    this.made = new Map();
  }

  /**
   * Show some runs. Returns how many are left out.
   * @param {any[]} rows
   */
  show(rows) {
    const shown = rows.filter((row) => row.error === null).slice(0, RUNS_MAX);
    const last = Math.max(1, ...shown.map((row) => row.last_round));
    const cards = shown.map((row) => {
      const key = JSON.stringify([row.name, row.last_round, row.status]);
      const found = this.made.get(key) ?? made(row);
      this.made.set(key, found);
      found.draw(last);
      return found.card;
    });
    fill(this.element, cards.length > 0 ? cards : h("p", { class: "empty" }, "There is no run to show."));
    return rows.length - shown.length;
  }
}

/** A run as a card, and what draws it over so many rounds. @param {any} row */
function made(row) {
  const canvas = /** @type {HTMLCanvasElement} */ (h("canvas", { width: WIDE, height: HIGH, role: "img", "aria-label": `${row.name}: who moved, over ${row.last_round} rounds` }));
  const result = row.result ? row.result.text : row.status.replace("_", " ");
  const card = h("div", { class: "box" }, leadTo(h("a", { title: visible(row.name) }, row.name), { run: row.name }, {}), canvas, h("span", { class: row.status === "failed" ? "bad dim" : "dim", title: visible(result) }, `seed ${row.seed}: ${result}`));
  const scale = new Scale();
  let over = row.last_round;
  const bits = (/** @type {number} */ count) => Math.max(0, Math.ceil(Math.log2(count / SIDE)));
  const [roundBits, placeBits] = [bits(row.last_round + 1), bits(row.agents)];
  const tiles = new Tiles(() => draw(over));
  tiles.begin(row.name);
  /** @param {number} last */
  function draw(last) {
    over = last;
    const style = getComputedStyle(document.documentElement);
    const colour = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
    scale.dress(colour("--ground"), colour("--accent"), colour("--bad"));
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    context.fillStyle = colour("--cell-empty");
    context.fillRect(0, 0, WIDE, HIGH);
    tiles.frame();
    const tile = tiles.at("turns", 0, 0, roundBits, placeBits, row.last_round);
    const image = tile && tiles.picture(tile, "turns", scale, 2 ** (roundBits + placeBits));
    if (!image) return;
    const [columns, lanes] = [(row.last_round + 1) / 2 ** roundBits, Math.max(1, row.agents / 2 ** placeBits)];
    const wide = Math.max(1, (WIDE * row.last_round) / last);
    context.imageSmoothingEnabled = wide < columns || HIGH < lanes; // else cells that fall together would be left out
    context.drawImage(image, 0, 0, columns, lanes, 0, 0, wide, HIGH);
  }
  return { card, draw };
}
