// Tiles of a run: sums of turns in a grid of rounds and agents, fetched once, and drawn once in the colours of the moment.

import { bytes } from "./api.js";

export const SIDE = 256;
const KEPT = 400;

/** @typedef {{cells: Map<number, number>, turns: Uint32Array, failed: Uint32Array, values: Float32Array, low: number, high: number, canvas: HTMLCanvasElement | null, drawn: string}} Tile */

export class Tiles {
  /** @param {() => void} arrived Called when a tile that was asked for is there. */
  constructor(arrived) {
    this.arrived = arrived;
    this.run = "";
    this.lanes = "";
    /** @type {Map<string, Tile | "asked">} */
    this.kept = new Map();
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
  }

  /**
   * A tile; null while it is asked for.
   * @param {string} measure
   * @param {number} column
   * @param {number} row
   * @param {number} roundBits
   * @param {number} placeBits
   * @param {number} last The last round of the run: a tile that it has not left behind yet is another one with every round.
   */
  at(measure, column, row, roundBits, placeBits, last) {
    const end = (column + 1) * 2 ** (8 + roundBits);
    const key = `${measure} ${column} ${row} ${roundBits} ${placeBits} ${end > last ? last : ""}`;
    const found = this.kept.get(key);
    if (found === "asked") return null;
    if (found) {
      this.kept.delete(key);
      this.kept.set(key, found);
      return found;
    }
    this.kept.set(key, "asked");
    const [of, lanes] = [this.run, this.lanes];
    bytes("tile", { run: of, lanes, measure, column, row, round_bits: roundBits, place_bits: placeBits })
      .then((buffer) => {
        if (of !== this.run || lanes !== this.lanes) return;
        this.kept.set(key, read(buffer));
        for (const old of this.kept.keys()) {
          if (this.kept.size <= KEPT) break;
          this.kept.delete(old);
        }
        this.arrived();
      })
      .catch(() => this.kept.delete(key));
    return null;
  }

  /**
   * The picture of a tile, made when it is first needed in these colours.
   * @param {Tile} tile
   * @param {string} measure
   * @param {import("./scale.js").Scale} scale
   * @param {number} share Turns that a cell can hold.
   */
  picture(tile, measure, scale, share) {
    const dressed = `${measure} ${scale.key()}`;
    if (tile.canvas && tile.drawn === dressed) return tile.canvas;
    const made = tile.canvas ?? document.createElement("canvas");
    made.width = made.height = SIDE;
    const inner = /** @type {CanvasRenderingContext2D} */ (made.getContext("2d"));
    const image = inner.createImageData(SIDE, SIDE);
    for (const [cell, at] of tile.cells) {
      const value = measure === "turns" ? Math.min(1, tile.turns[at] / share) : scale.of(tile.values[at] / tile.turns[at]);
      image.data.set(scale.colour(value, tile.failed[at] / tile.turns[at]), cell * 4);
    }
    inner.putImageData(image, 0, 0);
    tile.canvas = made;
    tile.drawn = dressed;
    return made;
  }
}

/** @param {ArrayBuffer} buffer @returns {Tile} */
function read(buffer) {
  const cells = buffer.byteLength / 16;
  const [turns, values] = [new Uint32Array(buffer, 4 * cells, cells), new Float32Array(buffer, 12 * cells, cells)];
  let [low, high] = [Infinity, 0];
  for (let at = 0; at < cells; at++) {
    const mean = values[at] / turns[at];
    if (mean > 0 && mean < low) low = mean;
    if (mean > high) high = mean;
  }
  const index = new Uint32Array(buffer, 0, cells);
  return {
    cells: new Map(Array.from(index, (cell, at) => [cell, at])),
    turns,
    failed: new Uint32Array(buffer, 8 * cells, cells),
    values,
    low,
    high,
    canvas: null,
    drawn: "",
  };
}

/** Bits by which cells are joined so that one is at least a pixel. @param {number} scaled Pixels a round, or a place. */
export function bitsFor(scaled) {
  return Math.max(0, Math.ceil(-Math.log2(scaled)));
}

/**
 * The next of 1, 2, 5, 10, 20, … that is at least this.
 * @param {number} least
 */
export function step(least) {
  const base = 10 ** Math.floor(Math.log10(Math.max(1, least)));
  return [1, 2, 5, 10].map((factor) => factor * base).find((number) => number >= least) ?? base * 10;
}
