// Recorded values over rounds, by agent or over all, and the rounds' own numbers.

import { show } from "../address.js";
import { ask } from "../api.js";
import { fill, h } from "../dom.js";

const COLOURS = ["#1f6f66", "#b5622a", "#4a63b0", "#8a4a8f", "#77802b", "#a8321f", "#3d8bb0", "#7a6a53"];

/**
 * @param {HTMLElement} element
 * @returns {import("../app.js").View}
 */
export function records(element) {
  const choose = /** @type {HTMLSelectElement} */ (h("select", { "aria-label": "Recorded value" }));
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
  choose.addEventListener("change", () => show({ record: choose.value }));
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
    const style = getComputedStyle(document.documentElement);
    const dim = style.getPropertyValue("--dim").trim();
    const line = style.getPropertyValue("--line").trim();
    let [low, high] = [Infinity, -Infinity];
    for (const { points } of found.lines) {
      for (const [, , least, , most] of points) [low, high] = [Math.min(low, least), Math.max(high, most)];
    }
    if (low > high) return;
    if (low === high) [low, high] = [low - 1, high + 1];
    const margin = { left: 64, right: 12, top: 10, bottom: 24 };
    const x = /** @param {number} round */ (round) => margin.left + ((round - 1) / Math.max(1, rounds - 1)) * (width - margin.left - margin.right);
    const y = /** @param {number} value */ (value) => height - margin.bottom - ((value - low) / (high - low)) * (height - margin.top - margin.bottom);
    context.font = "11px system-ui, 'DejaVu Sans', sans-serif";
    context.textBaseline = "middle";
    for (let mark = 0; mark <= 4; mark++) {
      const value = low + ((high - low) * mark) / 4;
      context.fillStyle = line;
      context.fillRect(margin.left, Math.round(y(value)), width - margin.left - margin.right, 1);
      context.fillStyle = dim;
      context.textAlign = "right";
      context.fillText(Number(value.toPrecision(5)).toLocaleString("en"), margin.left - 6, y(value), margin.left - 8);
      const round = Math.round(1 + ((rounds - 1) * mark) / 4);
      context.textAlign = mark === 0 ? "left" : mark === 4 ? "right" : "center";
      context.fillText(round.toLocaleString("en"), x(round), height - 9);
    }
    found.lines.forEach(/** @param {any} one @param {number} index */ (one, index) => {
      context.strokeStyle = context.fillStyle = COLOURS[index % COLOURS.length];
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
    const answer = await ask("records", { run: now.run, name: choose.value, agent: chosen() });
    if (mine !== asked) return;
    found = answer;
    const missing = found.lines.every(/** @param {any} one */ (one) => one.points.length === 0);
    fill(told, missing ? "no numbers under this name" : found.rounds_each > 1 ? `each point is ${found.rounds_each} rounds: lowest, mean, highest` : "");
    fill(
      legend,
      found.lines.map(/** @param {any} one @param {number} index */ (one, index) => {
        const mark = h("i");
        mark.style.background = COLOURS[index % COLOURS.length];
        return h("span", {}, mark, one.agent);
      }),
    );
    draw();
  }

  const resized = new ResizeObserver(() => draw());
  resized.observe(element);
  return {
    update(shownNow, facts) {
      now = shownNow;
      rounds = facts.last_round;
      if (facts.records.length === 0) {
        fill(legend, h("p", { class: "empty" }, "No agent of this run recorded a value: t.record(name, value) does."));
        choose.hidden = add.hidden = canvas.hidden = true;
        return;
      }
      fill(choose, facts.records.map((name) => h("option", { value: name }, name)));
      choose.value = now.record && facts.records.includes(now.record) ? now.record : facts.records[0];
      fill(chips, chosen().map((name) => h("button", { type: "button", title: "Leave out", onclick: () => show({ of: chosen().filter((one) => one !== name).join(",") || null }) }, `${name} ✕`)));
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
