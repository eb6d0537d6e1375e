// Names of agents by lane, fetched a page at a time when they are first needed.

import { ask } from "./api.js";
import { visible } from "./dom.js";

const PAGE = 200;
const CHARS_MAX = 20;

/** @typedef {{name: string, label: string}} LaneName The name, and how it stands before its lane: as deep as it was spawned, and cut. */

export class LaneNames {
  /** @param {() => void} arrived Called when names that were missing are there. */
  constructor(arrived) {
    this.arrived = arrived;
    this.run = "";
    this.lanes = "";
    /** @type {Map<number, LaneName>} */
    this.known = new Map();
    /** @type {Set<number>} */
    this.asked = new Set();
  }

  /**
   * Begin with another run, or another order of lanes.
   * @param {string} run
   * @param {string} [lanes] `lineage`, or nothing for places.
   */
  begin(run, lanes = "") {
    this.run = run;
    this.lanes = lanes;
    this.known.clear();
    this.asked.clear();
  }

  /** Agents were added: the last page has more than it had. */
  grow() {
    this.asked.clear();
  }

  /** The name of a lane; undefined while it is asked for. @param {number} lane */
  of(lane) {
    const found = this.known.get(lane);
    if (!found) this.want(Math.floor(lane / PAGE));
    return found;
  }

  /** The name of a lane, waited for. @param {number} lane */
  async sure(lane) {
    if (!this.known.has(lane)) this.take(await ask("agents", { run: this.run, first: lane, count: 1, lanes: this.lanes }));
    return this.known.get(lane)?.name;
  }

  /** Known lanes of a name. @param {string} name */
  lanesOf(name) {
    return [...this.known].filter(([, agent]) => agent.name === name).map(([lane]) => lane);
  }

  /** @param {number} page */
  want(page) {
    if (this.asked.has(page)) return;
    this.asked.add(page);
    const [run, lanes] = [this.run, this.lanes];
    ask("agents", { run, first: page * PAGE, count: PAGE, lanes })
      .then((found) => {
        if (run !== this.run || lanes !== this.lanes) return;
        this.take(found);
        this.arrived();
      })
      .catch(() => this.asked.delete(page));
  }

  /** @param {{agents: {place: number, name: string, depth?: number}[]}} found */
  take(found) {
    for (const agent of found.agents) this.known.set(agent.place, { name: agent.name, label: label(agent.name, agent.depth ?? 0) });
  }
}

/** @param {string} name @param {number} depth */
function label(name, depth) {
  const seen = visible(name);
  return "·".repeat(Math.min(6, depth)) + (seen.length > CHARS_MAX ? `${seen.slice(0, CHARS_MAX - 1)}…` : seen);
}
