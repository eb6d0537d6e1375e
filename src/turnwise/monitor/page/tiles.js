// Tiles of a run: sums of turns in a grid of rounds and agents, fetched once, and drawn once in the colours of the moment.
// A frame draws pictures of tiles for some milliseconds at most: the others keep what they had until the next one.

import { bytes } from "./api.js";
import { shade } from "./scale.js";

export const SIDE = 256;
const KEPT = 400;
const PICTURES_MS = 4;

/**
 * @typedef {Object} Tile
 * @property {Uint32Array} index Of the cells with turns: column plus row times 256.
 * @property {Uint32Array} turns
 * @property {Uint32Array} failed
 * @property {Float32Array} values
 * @property {number} low The lowest mean of a cell.
 * @property {number} least The lowest above zero.
 * @property {number} high
 * @property {Map<number, number> | null} cells Where in these a cell stands, made when somebody points at one.
 * @property {HTMLCanvasElement | null} canvas
 * @property {string} drawn The colours of its picture.
 */

export class Tiles {
  /** @param {() => void} arrived Called when a tile that was asked for is there. */
  constructor(arrived) {
    this.arrived = arrived;
    this.run = "";
    this.lanes = "";
    /** @type {Map<string, Tile | "asked">} */
    this.kept = new Map();
    /** @type {Map<string, Tile>} Of tiles that grow with the run, as they were when they were read last. */
    this.newest = new Map();
    this.until = 0;
    this.behind = false;
  }

  /** Begin a frame, whose pictures may take so long. */
  frame() {
    this.until = performance.now() + PICTURES_MS;
    this.behind = false;
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
    this.newest.clear();
  }

  /**
   * A tile; while it is asked for, as it was before the run has grown, or null.
   * @param {string} measure
   * @param {number} column
   * @param {number} row
   * @param {number} roundBits
   * @param {number} placeBits
   * @param {number} last The last round of the run: a tile that it has not left behind yet is another one with every round.
   */
  at(measure, column, row, roundBits, placeBits, last) {
    const end = (column + 1) * 2 ** (8 + roundBits);
    const of = `${measure} ${column} ${row} ${roundBits} ${placeBits}`;
    const key = `${of} ${end > last ? last : ""}`;
    const found = this.kept.get(key);
    if (found === "asked") return this.newest.get(of) ?? null;
    if (found) {
      this.kept.delete(key);
      this.kept.set(key, found);
      return found;
    }
    this.kept.set(key, "asked");
    const [run, lanes] = [this.run, this.lanes];
    bytes("tile", { run, lanes, measure, column, row, round_bits: roundBits, place_bits: placeBits })
      .then((buffer) => {
        if (run !== this.run || lanes !== this.lanes) return;
        const tile = read(buffer);
        this.kept.set(key, tile);
        if (end > last) this.newest.set(of, tile);
        else this.newest.delete(of);
        for (const kept of [this.kept, this.newest]) {
          for (const old of kept.keys()) {
            if (kept.size <= KEPT) break;
            kept.delete(old);
          }
        }
        this.arrived();
      })
      .catch(() => this.kept.delete(key));
    return this.newest.get(of) ?? null;
  }

  /**
   * The picture of a tile, made when it is first needed in these colours; what it had before, if that must wait.
   * @param {Tile} tile
   * @param {string} measure
   * @param {import("./scale.js").Scale} scale
   * @param {number} share Turns that a cell can hold.
   */
  picture(tile, measure, scale, share) {
    const dressed = `${measure} ${scale.key()}`;
    if (tile.canvas && tile.drawn === dressed) return tile.canvas;
    if (this.behind) return tile.canvas;
    const made = tile.canvas ?? document.createElement("canvas");
    made.width = made.height = SIDE;
    const inner = /** @type {CanvasRenderingContext2D} */ (made.getContext("2d"));
    const image = inner.createImageData(SIDE, SIDE);
    const pixels = new Uint32Array(image.data.buffer);
    const palette = scale.palette();
    const { index, turns, failed, values } = tile;
    for (let at = 0; at < index.length; at++) {
      const strength = measure === "turns" ? turns[at] / share : scale.of(values[at] / turns[at]);
      pixels[index[at]] = palette[shade(strength, failed[at])];
    }
    inner.putImageData(image, 0, 0);
    tile.canvas = made;
    tile.drawn = dressed;
    this.behind = performance.now() > this.until;
    return made;
  }
}

/**
 * Where in the columns of a tile a cell stands; undefined if it has no turn.
 * @param {Tile} tile
 * @param {number} cell
 */
export function cellOf(tile, cell) {
  tile.cells ??= new Map(Array.from(tile.index, (of, at) => [of, at]));
  return tile.cells.get(cell);
}

/** @param {ArrayBuffer} buffer @returns {Tile} */
function read(buffer) {
  const cells = buffer.byteLength / 16;
  const [turns, values] = [new Uint32Array(buffer, 4 * cells, cells), new Float32Array(buffer, 12 * cells, cells)];
  let [low, least, high] = [Infinity, Infinity, -Infinity];
  for (let at = 0; at < cells; at++) {
    const mean = values[at] / turns[at];
    if (mean < low) low = mean;
    if (mean < least && mean > 0) least = mean;
    if (mean > high) high = mean;
  }
  const [index, failed] = [new Uint32Array(buffer, 0, cells), new Uint32Array(buffer, 8 * cells, cells)];
  return { index, turns, failed, values, low, least, high, cells: null, canvas: null, drawn: "" };
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
