// Recorded values over rounds, by agent or over all, and what each round took and came to.

import { show } from "../address.js";
import { ask } from "../api.js";
import { fill, h } from "../dom.js";
import { step } from "../tiles.js";

/** Numbers of rounds, as they are read. @type {Record<string, string>} */
const NUMBERS = {
  time: "time of a round (ms)",
  turns: "turns",
  failed: "failed turns",
  messages: "messages",
  effects: "effects",
  tokens: "tokens of models",
  fuel: "fuel",
  agents: "agents",
};
/** Colours of lines by theme. @type {Record<string, string[]>} */
const COLOURS = {
  light: ["#1f6f66", "#b5622a", "#4a63b0", "#8a4a8f", "#77802b", "#a8321f", "#3d8bb0", "#7a6a53"],
  dark: ["#6cc4b6", "#e8a06a", "#93a9ee", "#d79ddd", "#c3cc6a", "#f08c78", "#7fc4e6", "#c7b48f"],
};
const colours = () => COLOURS[document.documentElement.dataset.theme ?? "light"] ?? COLOURS.light;

/**
 * @param {HTMLElement} element
 * @returns {import("../app.js").View}
 */
export function records(element) {
  const choose = /** @type {HTMLSelectElement} */ (h("select", { "aria-label": "Value" }));
  const who = h("datalist", { id: "who-records" });
  const add = /** @type {HTMLInputElement} */ (h("input", { list: "who-records", placeholder: "of an agent…", "aria-label": "Add a line of an agent" }));
  const chips = h("span", { class: "chips" });
  const told = h("span", { class: "dim", role: "status" });
  const canvas = /** @type {HTMLCanvasElement} */ (h("canvas", { role: "img", "aria-label": "Values over rounds" }));
  const legend = h("div", { class: "legend" });
  fill(element, h("div", { class: "tools" }, choose, add, who, chips, told), canvas, legend);
  /** @type {import("../address.js").Shown} */
  let now = {};
  let asked = "";
  /** @type {any} */
  let found = null;
  let rounds = 1;

  const chosen = () => (now.of ? now.of.split(",") : []);
  const ofRounds = () => choose.value.startsWith("number ");
  const named = () => choose.value.replace(/^\w+ /, "");
  choose.addEventListener("change", () => show(ofRounds() ? { number: named(), record: null, of: null } : { record: named(), number: null }));
  add.addEventListener("change", () => {
    if (add.value && !chosen().includes(add.value)) show({ of: [...chosen(), add.value].join(",") });
    add.value = "";
  });
  add.addEventListener("input", async () => {
    const agents = await ask("agents", { run: now.run, search: add.value, count: 20 });
    fill(who, agents.agents.map(/** @param {any} agent */ (agent) => h("option", { value: agent.name })));
  });

  function draw() {
    const [width, height] = [Math.max(300, element.clientWidth - 34), Math.max(200, Math.min(460, element.clientHeight - 130))];
    const ratio = window.devicePixelRatio || 1;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    if (!found) return;
    fill(
      legend,
      found.lines.map(/** @param {any} one @param {number} index */ (one, index) => {
        const mark = h("i");
        mark.style.background = colours()[index % COLOURS.light.length];
        return h("span", {}, mark, one.agent);
      }),
    );
    const style = getComputedStyle(document.documentElement);
    const dim = style.getPropertyValue("--dim").trim();
    const line = style.getPropertyValue("--line").trim();
    let [low, high] = [Infinity, -Infinity];
    for (const { points } of found.lines) {
      for (const [, , least, , most] of points) [low, high] = [Math.min(low, least), Math.max(high, most)];
    }
    if (low > high) return;
    if (ofRounds() && low > 0) low = 0;
    if (low === high) [low, high] = [low - 1, high + 1];
    const mark = tick((high - low) / 4);
    [low, high] = [Math.floor(low / mark) * mark, Math.ceil(high / mark) * mark];
    const margin = { left: 64, right: 12, top: 10, bottom: 24 };
    const x = /** @param {number} round */ (round) => margin.left + ((round - 1) / Math.max(1, rounds - 1)) * (width - margin.left - margin.right);
    const y = /** @param {number} value */ (value) => height - margin.bottom - ((value - low) / (high - low)) * (height - margin.top - margin.bottom);
    context.font = "11px system-ui, 'DejaVu Sans', sans-serif";
    context.textBaseline = "middle";
    for (let value = low; value <= high + mark / 2; value += mark) {
      context.fillStyle = line;
      context.fillRect(margin.left, Math.round(y(value)), width - margin.left - margin.right, 1);
      context.fillStyle = dim;
      context.textAlign = "right";
      context.fillText(Number(value.toPrecision(6)).toLocaleString("en"), margin.left - 6, y(value), margin.left - 8);
    }
    const round_ = Math.max(1, step((rounds - 1) / 8));
    for (let round = 1; round <= rounds; round = round === 1 && round_ > 1 ? round_ : round + round_) {
      if (round > 1 && x(round) > width - margin.right - 24) break;
      context.fillStyle = dim;
      context.textAlign = "center";
      context.fillText(round.toLocaleString("en"), x(round), height - 9);
    }
    found.lines.forEach(/** @param {any} one @param {number} index */ (one, index) => {
      context.strokeStyle = context.fillStyle = colours()[index % COLOURS.light.length];
      context.globalAlpha = 0.18;
      context.beginPath();
      const middle = found.rounds_each / 2 - 0.5;
      for (const [round, , least] of one.points) context.lineTo(x(round + middle), y(least));
      for (const [round, , , , most] of [...one.points].reverse()) context.lineTo(x(round + middle), y(most));
      context.fill();
      context.globalAlpha = 1;
      context.lineWidth = 1.5;
      context.beginPath();
      for (const [round, , , mean] of one.points) context.lineTo(x(round + middle), y(mean));
      context.stroke();
      if (one.points.length < 80) for (const [round, , , mean] of one.points) context.fillRect(x(round + middle) - 1.5, y(mean) - 1.5, 3, 3);
    });
    if (now.round !== undefined) {
      context.fillStyle = dim;
      context.fillRect(Math.round(x(Number(now.round))), margin.top, 1, height - margin.top - margin.bottom);
    }
  }

  async function load() {
    const mine = asked;
    const answer = ofRounds() ? await ask("numbers", { run: now.run, name: named() }) : await ask("records", { run: now.run, name: named(), agent: chosen() });
    if (mine !== asked) return;
    found = answer;
    if (choose.value === "number time") for (const line of found.lines) line.points = line.points.map(/** @param {number[]} one */ ([round, values, ...times]) => [round, values, ...times.map((us) => us / 1000)]);
    const missing = found.lines.every(/** @param {any} one */ (one) => one.points.length === 0);
    fill(told, missing ? "no numbers under this name" : found.rounds_each > 1 ? `each point is ${found.rounds_each} rounds: lowest, mean, highest` : "");
    draw();
  }

  const resized = new ResizeObserver(() => draw());
  resized.observe(element);
  return {
    update(shownNow, facts) {
      now = shownNow;
      rounds = facts.last_round;
      const option = (/** @type {string} */ value, /** @type {string} */ words) => h("option", { value }, words);
      const numbers = Object.entries(NUMBERS).filter(([name]) => name !== "time" || facts.timings);
      fill(
        choose,
        facts.records.length > 0 && h("optgroup", { label: "recorded by agents" }, facts.records.map((name) => option(`record ${name}`, name))),
        h("optgroup", { label: "of each round" }, numbers.map(([name, words]) => option(`number ${name}`, words))),
      );
      const first = facts.records.length > 0 ? `record ${facts.records[0]}` : "number turns";
      const wanted = now.number !== undefined ? `number ${now.number}` : now.record !== undefined ? `record ${now.record}` : first;
      choose.value = [...choose.options].some((one) => one.value === wanted) ? wanted : first;
      add.hidden = ofRounds();
      fill(chips, (ofRounds() ? [] : chosen()).map((name) => h("button", { type: "button", title: "Leave out", onclick: () => show({ of: chosen().filter((one) => one !== name).join(",") || null }) }, `${name} ✕`)));
      const question = JSON.stringify([now.run, choose.value, now.of, facts.last_round]);
      if (question !== asked) {
        asked = question;
        load().catch((error) => fill(told, h("span", { class: "bad" }, error.message)));
      } else draw();
    },
    end() {
      resized.disconnect();
    },
  };
}

/**
 * The next of 1, 2, 5 times a power of ten that is at least this, below one too.
 * @param {number} least
 */
function tick(least) {
  const base = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((factor) => factor * base).find((found) => found >= least * 0.999) ?? base * 10;
}
