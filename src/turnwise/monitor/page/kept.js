// Answers of the server that are kept: each is asked for once, and the oldest go.

/** @template T */
export class Kept {
  /**
   * @param {number} most Answers that are kept.
   * @param {() => void} arrived Called when one that was asked for is there.
   */
  constructor(most, arrived) {
    this.most = most;
    this.arrived = arrived;
    /** @type {Map<string, T | "asked">} */
    this.answers = new Map();
    this.begun = 0;
  }

  /** Begin with another run. */
  clear() {
    this.answers.clear();
    this.begun += 1;
  }

  /**
   * An answer; null while it is asked for.
   * @param {string} key
   * @param {() => Promise<T>} fetched
   * @returns {T | null}
   */
  get(key, fetched) {
    const found = this.answers.get(key);
    if (found === "asked") return null;
    if (found) return found;
    this.answers.set(key, "asked");
    const begun = this.begun;
    fetched()
      .then((answer) => {
        if (begun !== this.begun) return;
        this.answers.set(key, answer);
        for (const old of this.answers.keys()) {
          if (this.answers.size <= this.most) break;
          this.answers.delete(old);
        }
        this.arrived();
      })
      .catch(() => {
        if (begun === this.begun) this.answers.delete(key);
      });
    return null;
  }

  /** An answer that is there, by what its key begins with. @param {string} beginning @returns {T | null} */
  there(beginning) {
    for (const [key, found] of this.answers) if (found !== "asked" && key.startsWith(beginning)) return found;
    return null;
  }
}
