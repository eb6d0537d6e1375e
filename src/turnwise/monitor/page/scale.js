// Colours of numbers: from the ground to an accent, by the logarithm of what was seen so far; failures in their own.

/** @typedef {[number, number, number]} Rgb */

export class Scale {
  constructor() {
    this.low = Infinity;
    this.high = 0;
    /** @type {Rgb} */
    this.ground = [255, 255, 255];
    /** @type {Rgb} */
    this.accent = [0, 0, 0];
    /** @type {Rgb} */
    this.bad = [200, 0, 0];
  }

  /** Begin again with other numbers. */
  forget() {
    this.low = Infinity;
    this.high = 0;
  }

  /**
   * Colours as `#rrggbb`.
   * @param {string} ground
   * @param {string} accent
   * @param {string} bad
   */
  dress(ground, accent, bad) {
    [this.ground, this.accent, this.bad] = [rgb(ground), rgb(accent), rgb(bad)];
  }

  /** See a number; the range grows by powers of two, so that pictures are not made again for each. @param {number} value */
  take(value) {
    if (!(value > 0 && value < Infinity)) return;
    if (value > this.high) this.high = 2 ** Math.ceil(Math.log2(value));
    if (value < this.low) this.low = 2 ** Math.floor(Math.log2(value));
  }

  /** What two pictures in the same colours have in common. */
  key() {
    return `${this.low} ${this.high} ${this.ground} ${this.accent}`;
  }

  /** A number between 0 and 1. @param {number} value */
  of(value) {
    if (!(value > 0)) return 0;
    if (this.high <= this.low) return 1;
    return Math.log(value / this.low) / Math.log(this.high / this.low);
  }

  /**
   * Four bytes of a picture.
   * @param {number} share Between 0 and 1.
   * @param {number} failed The part that failed.
   * @returns {[number, number, number, number]}
   */
  colour(share, failed) {
    const strength = 0.25 + 0.75 * Math.min(1, Math.max(0, share));
    const to = failed > 0 ? this.bad : this.accent;
    const mixed = this.ground.map((from, at) => Math.round(from + (to[at] - from) * strength));
    return [mixed[0], mixed[1], mixed[2], 255];
  }
}

/** @param {string} colour @returns {Rgb} */
function rgb(colour) {
  const number = Number.parseInt(colour.slice(1), 16);
  return [(number >> 16) & 255, (number >> 8) & 255, number & 255];
}
