// Colours of numbers: from the ground to an accent, by what was seen so far; failures in their own.
// Amounts go by their logarithm; recorded values, which may be below zero, by their distance from the lowest.

/** @typedef {[number, number, number]} Rgb */

const SHADES = 256;
/** Palette entry of a failed turn is this many behind that of one that did not fail. */
const FAILED = SHADES;
const NO_NUMBER = 2 * SHADES;

export class Scale {
  constructor() {
    this.low = Infinity;
    this.high = -Infinity;
    this.linear = false;
    /** @type {Rgb} */
    this.ground = [255, 255, 255];
    /** @type {Rgb} */
    this.accent = [0, 0, 0];
    /** @type {Rgb} */
    this.bad = [200, 0, 0];
    this.dressed = "";
    /** @type {Uint32Array | null} */
    this.shades = null;
  }

  /**
   * Begin again with other numbers.
   * @param {boolean} [linear] True for values that may be below zero.
   */
  forget(linear = false) {
    this.low = Infinity;
    this.high = -Infinity;
    this.linear = linear;
  }

  /**
   * Colours as `#rrggbb`.
   * @param {string} ground
   * @param {string} accent
   * @param {string} bad
   */
  dress(ground, accent, bad) {
    const dressed = `${ground} ${accent} ${bad}`;
    if (dressed === this.dressed) return;
    this.dressed = dressed;
    [this.ground, this.accent, this.bad] = [rgb(ground), rgb(accent), rgb(bad)];
    this.shades = null;
  }

  /** See a number; the range grows in steps, so that pictures are not made again for each. @param {number} value */
  take(value) {
    if (this.linear) {
      if (!Number.isFinite(value) || (value >= this.low && value <= this.high)) return;
      const [low, high] = [Math.min(this.low, value), Math.max(this.high, value)];
      const step = 2 ** (Math.ceil(Math.log2(Math.max(high - low, Math.abs(high) / 2 ** 20, 2 ** -60))) - 4);
      [this.low, this.high] = [Math.floor(low / step) * step, Math.ceil(high / step) * step];
      return;
    }
    if (!(value > 0 && value < Infinity)) return;
    if (value > this.high) this.high = 2 ** Math.ceil(Math.log2(value));
    if (value < this.low) this.low = 2 ** Math.floor(Math.log2(value));
  }

  /** See what a tile holds. @param {{low: number, least: number, high: number}} tile */
  see(tile) {
    this.take(this.linear ? tile.low : tile.least);
    this.take(tile.high);
  }

  /** What two pictures in the same colours have in common. */
  key() {
    return `${this.low} ${this.high} ${this.linear} ${this.dressed}`;
  }

  /** A number between 0 and 1; NaN for none. @param {number} value */
  of(value) {
    if (this.linear) return this.high > this.low ? (value - this.low) / (this.high - this.low) : value - value + 1;
    if (!(value > 0)) return 0;
    if (this.high <= this.low) return 1;
    return Math.log(value / this.low) / Math.log(this.high / this.low);
  }

  /**
   * A colour as three numbers.
   * @param {number} share Between 0 and 1.
   * @param {number} failed The part that failed.
   * @returns {Rgb}
   */
  colour(share, failed) {
    const strength = 0.25 + 0.75 * Math.min(1, Math.max(0, share));
    return this.mixed(failed > 0 ? this.bad : this.accent, strength);
  }

  /** @param {Rgb} to @param {number} strength @returns {Rgb} */
  mixed(to, strength) {
    const [red, green, blue] = this.ground.map((from, at) => Math.round(from + (to[at] - from) * strength));
    return [red, green, blue];
  }

  /** Colours as pixels of a picture: `shade` says which is whose. */
  palette() {
    if (this.shades) return this.shades;
    const bytes = new Uint8Array(4 * (NO_NUMBER + 1));
    for (let at = 0; at < SHADES; at++) {
      bytes.set([...this.colour(at / (SHADES - 1), 0), 255], 4 * at);
      bytes.set([...this.colour(at / (SHADES - 1), 1), 255], 4 * (at + FAILED));
    }
    bytes.set([...this.mixed(this.accent, 0.12), 255], 4 * NO_NUMBER);
    this.shades = new Uint32Array(bytes.buffer);
    return this.shades;
  }
}

/**
 * The place of a colour in a palette.
 * @param {number} share Between 0 and 1; NaN for a turn without the value.
 * @param {number} failed Turns that failed.
 */
export function shade(share, failed) {
  if (failed === 0 && !(share >= 0 || share < 0)) return NO_NUMBER;
  const at = Math.round((SHADES - 1) * Math.min(1, Math.max(0, share || 0)));
  return failed > 0 ? at + FAILED : at;
}

/** @param {string} colour @returns {Rgb} */
function rgb(colour) {
  const number = Number.parseInt(colour.slice(1), 16);
  return [(number >> 16) & 255, (number >> 8) & 255, number & 255];
}
