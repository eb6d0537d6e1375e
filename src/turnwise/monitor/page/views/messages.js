// Who talks to whom, as a matrix or a ring; a pair opens its messages.

import { leadTo, show } from "../address.js";
import { ask } from "../api.js";
import { count, fill, h, text, visible } from "../dom.js";
import { attached } from "../panel.js";
import { Scale } from "../scale.js";

const RING_MAX = 80;
const MATRIX_MAX = 1000;
const NEAR_PIXELS = 8;
const EDGE_STEPS = 32;

/**
 * @param {HTMLElement} element
 * @returns {import("../app.js").View}
 */
export function messages(element) {
  const first = /** @type {HTMLInputElement} */ (h("input", { type: "number", min: 1, "aria-label": "From round" }));
  const last = /** @type {HTMLInputElement} */ (h("input", { type: "number", min: 1, "aria-label": "To round" }));
  const form = h("button", { type: "button" });
  const told = h("span", { class: "dim", role: "status" });
  const canvas = /** @type {HTMLCanvasElement} */ (h("canvas", { width: 10, height: 10, role: "img", "aria-label": "Messages by sender and recipient" }));
  const tip = h("div", { class: "dim", role: "status" });
  const list = h("div");
  fill(element, h("div", { class: "tools" }, "rounds", first, "to", last, form, told), h("div", { class: "pair" }, h("div", {}, canvas, tip), list));
  /** @type {import("../address.js").Shown} */
  let now = {};
  let asked = "";
  let askedList = "";
  /** @type {[number, number, number][]} */
  let flows = [];
  /** @type {string[]} */
  let names = [];
  /** @type {number[]} */
  let order = [];
  let hidden = 0;
  const scale = new Scale();

  const name = /** @param {number} place */ (place) => (place < 0 ? "outside" : (names[place] ?? `agent ${place}`));
  const label = /** @param {number} place */ (place) => visible(name(place)).slice(0, 16);
  for (const input of [first, last]) input.addEventListener("change", () => show({ from: first.value || null, to: last.value || null }));
  form.addEventListener("click", () => show({ as: now.as === "ring" ? null : "ring" }));

  function side() {
    return Math.max(280, Math.min(element.clientWidth * 0.5 - 30, element.clientHeight - 110, 760));
  }

  function draw() {
    const ratio = window.devicePixelRatio || 1;
    const length = side();
    canvas.width = canvas.height = length * ratio;
    canvas.style.width = canvas.style.height = `${length}px`;
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    const style = getComputedStyle(document.documentElement);
    const colour = /** @param {string} key */ (key) => style.getPropertyValue(key).trim();
    scale.forget();
    scale.dress(colour("--ground"), colour("--accent"), colour("--bad"));
    for (const [, , messages] of flows) scale.take(messages);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, length, length);
    const ring = now.as === "ring" && order.length <= RING_MAX;
    fill(form, ring ? "as a matrix" : "as a ring");
    form.hidden = order.length > RING_MAX;
    const chosen = /** @param {number} from @param {number} to */ (from, to) => now.sender === name(from) && now.recipient === name(to);
    const at = new Map(order.map((place, index) => [place, index]));
    if (ring) drawRing(context, length, at, chosen, colour);
    else drawMatrix(context, length, at, chosen, colour);
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {number} length
   * @param {Map<number, number>} at
   * @param {(from: number, to: number) => boolean} chosen
   * @param {(key: string) => string} colour
   */
  function drawMatrix(context, length, at, chosen, colour) {
    const margin = order.length <= 40 ? 90 : 4;
    const cell = (length - margin) / Math.max(1, order.length);
    context.fillStyle = colour("--cell-empty");
    context.fillRect(margin, margin, length - margin, length - margin);
    for (const [from, to, messages] of flows) {
      const [row, column] = [at.get(from), at.get(to)];
      if (row === undefined || column === undefined) continue;
      const [red, green, blue] = scale.colour(scale.of(messages), 0);
      context.fillStyle = `rgb(${red}, ${green}, ${blue})`;
      context.fillRect(margin + column * cell, margin + row * cell, Math.max(1, cell - (cell > 5 ? 1 : 0)), Math.max(1, cell - (cell > 5 ? 1 : 0)));
      if (chosen(from, to)) {
        context.strokeStyle = colour("--text");
        context.lineWidth = 2;
        context.strokeRect(margin + column * cell, margin + row * cell, cell, cell);
      }
    }
    if (margin < 20) return;
    context.fillStyle = colour("--dim");
    context.font = "11px system-ui, 'DejaVu Sans', sans-serif";
    context.textBaseline = "middle";
    order.forEach((place, index) => {
      context.textAlign = "right";
      context.fillText(label(place), margin - 5, margin + (index + 0.5) * cell, margin - 8);
      context.save();
      context.translate(margin + (index + 0.5) * cell, margin - 5);
      context.rotate(-Math.PI / 2);
      context.textAlign = "left";
      context.fillText(label(place), 0, 0, margin - 8);
      context.restore();
    });
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {number} length
   * @param {Map<number, number>} at
   * @param {(from: number, to: number) => boolean} chosen
   * @param {(key: string) => string} colour
   */
  function drawRing(context, length, at, chosen, colour) {
    const middle = length / 2;
    const radius = middle - 80;
    const point = /** @param {number} index @param {number} far */ (index, far) => {
      const angle = (2 * Math.PI * index) / order.length - Math.PI / 2;
      return [middle + Math.cos(angle) * far, middle + Math.sin(angle) * far];
    };
    for (const [from, to, messages] of flows) {
      const [start, end] = [at.get(from), at.get(to)];
      if (start === undefined || end === undefined) continue;
      const [x, y] = point(start, radius);
      const [toX, toY] = point(end, radius);
      const [red, green, blue] = scale.colour(scale.of(messages), 0);
      context.strokeStyle = chosen(from, to) ? colour("--text") : `rgb(${red}, ${green}, ${blue})`;
      context.lineWidth = 1 + 3 * scale.of(messages);
      context.beginPath();
      context.moveTo(x, y);
      context.quadraticCurveTo(middle, middle, toX, toY);
      context.stroke();
    }
    context.font = "12px system-ui, 'DejaVu Sans', sans-serif";
    context.textBaseline = "middle";
    order.forEach((place, index) => {
      const [x, y] = point(index, radius);
      context.fillStyle = colour("--accent");
      context.beginPath();
      context.arc(x, y, 4, 0, 2 * Math.PI);
      context.fill();
      const [labelX, labelY] = point(index, radius + 12);
      context.textAlign = Math.abs(labelX - middle) < 20 ? "center" : labelX > middle ? "left" : "right";
      context.fillStyle = colour("--dim");
      context.fillText(label(place), labelX, labelY, 70);
    });
  }

  /**
   * The pair of the edge of the ring that is nearest to a point, if one is near.
   * @param {number} x
   * @param {number} y
   * @param {number} length
   * @returns {[number, number] | null}
   */
  function edgeAt(x, y, length) {
    const [middle, at] = [length / 2, new Map(order.map((place, index) => [place, index]))];
    const end = /** @param {number} index */ (index) => {
      const angle = (2 * Math.PI * index) / order.length - Math.PI / 2;
      return [middle + Math.cos(angle) * (middle - 80), middle + Math.sin(angle) * (middle - 80)];
    };
    /** @type {[number, number] | null} */
    let nearest = null;
    let least = NEAR_PIXELS ** 2;
    for (const [from, to] of flows) {
      const [one, other] = [at.get(from), at.get(to)];
      if (one === undefined || other === undefined) continue;
      const [[fromX, fromY], [toX, toY]] = [end(one), end(other)];
      for (let step = 0; step <= EDGE_STEPS; step++) {
        const [part, rest] = [step / EDGE_STEPS, 1 - step / EDGE_STEPS];
        const [atX, atY] = [rest * rest * fromX + 2 * rest * part * middle + part * part * toX, rest * rest * fromY + 2 * rest * part * middle + part * part * toY];
        // Both directions of a pair lie on one curve: of two that are as near, the one that begins nearer to the point.
        const far = (atX - x) ** 2 + (atY - y) ** 2 + 0.001 * part;
        if (far < least) [least, nearest] = [far, [from, to]];
      }
    }
    return nearest;
  }

  /** @param {MouseEvent} event @returns {[number, number] | null} */
  function pairAt(event) {
    const box = canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const length = side();
    if (now.as === "ring" && order.length <= RING_MAX) return edgeAt(x, y, length);
    const margin = order.length <= 40 ? 90 : 4;
    const cell = (length - margin) / Math.max(1, order.length);
    const [row, column] = [Math.floor((y - margin) / cell), Math.floor((x - margin) / cell)];
    if (row < 0 || column < 0 || row >= order.length || column >= order.length) return null;
    return [order[row], order[column]];
  }
  canvas.addEventListener("mousemove", (event) => {
    const pair = pairAt(event);
    const messages = pair ? (flows.find(([from, to]) => from === pair[0] && to === pair[1])?.[2] ?? 0) : 0;
    fill(tip, pair ? `${name(pair[0])} → ${name(pair[1])}: ${count(messages, "message")}` : "");
  });
  canvas.addEventListener("click", (event) => {
    const pair = pairAt(event);
    if (pair) show({ sender: name(pair[0]), recipient: name(pair[1]), seq: null });
  });

  async function load() {
    const mine = asked;
    const [found, agents] = await Promise.all([ask("flows", { run: now.run, first: now.from, last: last.value }), everyName(now.run)]);
    if (mine !== asked) return;
    names = agents;
    flows = found.flows;
    hidden = found.hidden;
    const sums = new Map();
    for (const [from, to, messages] of flows) for (const place of [from, to]) sums.set(place, (sums.get(place) ?? 0) + messages);
    order = [...sums.keys()].sort((left, right) => left - right);
    if (order.length > MATRIX_MAX) {
      const busiest = new Set([...order].sort((left, right) => sums.get(right) - sums.get(left)).slice(0, MATRIX_MAX));
      order = order.filter((place) => busiest.has(place));
    }
    const left = sums.size - order.length;
    fill(told, [count(found.messages, "message"), hidden > 0 && `${count(hidden, "pair")} with fewer not shown`, left > 0 && `the busiest ${MATRIX_MAX} agents of ${sums.size.toLocaleString("en")}`].filter(Boolean).join(", "));
    draw();
  }

  async function loadList() {
    const mine = askedList;
    const sender = now.sender ? [now.sender] : [];
    const to = now.recipient ? [now.recipient] : [];
    const found = await ask("messages", { run: now.run, first: now.from, last: last.value, sender, to, seq: now.seq });
    if (mine !== askedList) return;
    fill(
      list,
      h("h2", {}, now.sender ? `${now.sender} → ${now.recipient}` : "All messages", now.sender && h("button", { type: "button", class: "plain", onclick: () => show({ sender: null, recipient: null, seq: null }) }, "  all")),
      found.messages.map(/** @param {any} message */ (message) =>
        h(
          "div",
          { class: "box said" },
          h("header", {}, h("span", {}, `round ${message.round}`), h("span", {}, `${message.sender} → ${message.to}`), leadTo(h("a", {}, `#${message.seq}`), { message: message.seq, why: 3, led: null }, now)),
          text(message.body),
          attached(message),
        ),
      ),
      found.messages.length === 0 && h("p", { class: "dim" }, "none here"),
      found.next !== null && h("button", { type: "button", onclick: () => show({ seq: found.next }) }, "go on"),
    );
  }

  const resized = new ResizeObserver(() => draw());
  resized.observe(element);
  return {
    update(shownNow, facts) {
      now = shownNow;
      first.value = now.from ?? "1";
      last.value = now.to ?? now.round ?? String(facts.last_round);
      const question = JSON.stringify([now.run, now.from, now.to, now.round, facts.last_round]);
      if (question !== asked) {
        asked = question;
        load().catch((error) => fill(told, h("span", { class: "bad" }, error.message)));
      } else draw();
      const listed = JSON.stringify([question, now.sender, now.recipient, now.seq]);
      if (listed !== askedList) {
        askedList = listed;
        loadList().catch((error) => fill(list, h("p", { class: "bad" }, error.message)));
      }
    },
    end() {
      resized.disconnect();
    },
  };
}

/**
 * Names of agents by place, the first ten thousand.
 * @param {string} run
 */
async function everyName(run) {
  /** @type {string[]} */
  const found = [];
  for (let page = 0; page < 10; page++) {
    const answer = await ask("agents", { run, first: found.length, count: 1000 });
    found.push(...answer.agents.map(/** @param {any} agent */ (agent) => agent.name));
    if (!answer.more) break;
  }
  return found;
}
