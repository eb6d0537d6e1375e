// Details beside a view: a turn, a round, or a message, and where it came from.

import { leadTo, show } from "./address.js";
import { ask } from "./api.js";
import { count, duration, fill, h, moment, number, text } from "./dom.js";
import { question, quoted } from "./questions.js";
import { changes } from "./state_changes.js";

/** @typedef {import("./address.js").Shown} Shown */
/** @typedef {import("./app.js").Facts} Facts */

let asked = "";

/**
 * Show what the address names: `message`, else `agent` and `round`, else `round`; nothing where none is named.
 * @param {HTMLElement} panel
 * @param {Shown} now
 * @param {Facts | null} facts
 */
export async function showPanel(panel, now, facts) {
  const round = Number(now.round ?? facts?.last_round ?? 0);
  const named = facts && (now.message !== undefined || now.agent !== undefined || now.details !== undefined);
  if (!facts || !named || round === 0) {
    panel.hidden = true;
    asked = "";
    return;
  }
  const question = JSON.stringify([now.run, now.message, now.agent, round, now.why, now.led, facts.last_round === round]);
  if (question === asked) return;
  asked = question;
  panel.hidden = false;
  try {
    let found;
    if (now.message !== undefined) found = await aMessage(now);
    else if (now.agent !== undefined) found = await aTurn(now, round, facts);
    else found = await aRound(now, round);
    if (asked === question) fill(panel, found);
  } catch (error) {
    if (asked === question) fill(panel, nav([], now), h("p", { class: "dim" }, String(/** @type {Error} */ (error).message)));
  }
}

/**
 * @param {(HTMLElement | null)[]} steps
 * @param {Shown} now
 */
function nav(steps, now) {
  const close = h("button", { type: "button", class: "close", "aria-label": "Close the details" }, "✕");
  close.addEventListener("click", () => show({ agent: null, message: null, why: null, led: null, details: null }));
  return h("div", { class: "row-nav" }, ...steps, close);
}

/**
 * @param {string} label
 * @param {Record<string, string | number | null>} to
 */
export function button(label, to) {
  return h("button", { type: "button", class: "plain", onclick: () => show(to) }, label);
}

/**
 * @param {Shown} now
 * @param {number} round
 */
async function aRound(now, round) {
  const found = await ask("round", { run: now.run, round });
  const facts = Object.entries(found.counts).filter(([, value]) => Number(value) > 0);
  return [
    nav([h("h1", {}, `Round ${round}`)], now),
    h(
      "dl",
      { class: "facts" },
      found.started_us !== null && [h("dt", {}, "began"), h("dd", {}, `${moment(found.started_us)}, took ${duration(found.duration_us)}`)],
      facts.map(([name, value]) => [h("dt", {}, name), h("dd", {}, Number(value).toLocaleString("en"))]).flat(),
      [h("dt", {}, "head"), h("dd", { class: "mono" }, found.head.slice(0, 32) + "…")],
    ),
    found.changes.length > 0 && [h("h2", {}, "Changed from outside"), found.changes.map(/** @param {any} one */ (one) => text(one))],
    found.answers.length > 0 && [h("h2", {}, "Answered from outside"), found.answers.map(/** @param {any} one */ (one) => h("div", { class: "box said" }, h("header", {}, h("span", {}, `${one.kind === "ask" ? "question" : one.kind} ${one.question} of `, button(one.agent, { agent: one.agent, round: one.asked }))), text(one.text)))],
    found.waits.length > 0 && [
      h("h2", {}, "Waits for an answer"),
      found.waits.map(/** @param {any} one */ (one) =>
        h("div", { class: "box said" }, h("header", {}, button(one.agent, { agent: one.agent, round }), one.asked_count > one.asked.length && h("span", {}, `${count(one.asked_count, "question")}`)), one.asked.map(text)),
      ),
      found.waits_hidden > 0 && h("p", { class: "dim" }, `and ${count(found.waits_hidden, "more turn")}`),
    ],
    found.turns.length > 0 && h("h2", {}, "Turns"),
    found.turns.length > 0 && h(
      "table",
      {},
      h("tr", {}, h("th", {}, "agent"), h("th", { class: "number" }, "read"), h("th", { class: "number" }, "sent"), h("th", { class: "number" }, "time")),
      found.turns.map(/** @param {any} turn */ (turn) =>
        h(
          "tr",
          {},
          h("td", {}, button(turn.agent, { agent: turn.agent, round }), turn.failed && h("span", { class: "bad" }, ` failed: ${turn.failed}`)),
          h("td", { class: "number" }, turn.read),
          h("td", { class: "number" }, turn.sent),
          h("td", { class: "number dim" }, duration(turn.duration_us)),
        ),
      ),
    ),
    found.hidden > 0 && h("p", { class: "dim" }, `and ${count(found.hidden, "more turn")}`),
  ].flat(2);
}

/**
 * @param {Shown} now
 * @param {number} round
 * @param {Facts} facts
 */
async function aTurn(now, round, facts) {
  const agent = now.agent;
  const found = await ask("turn", { run: now.run, agent, round });
  const why = now.why === undefined ? null : await ask("why", { run: now.run, agent, round, depth: now.why });
  const led = now.led === undefined ? null : await ask("consequences", { run: now.run, agent, round, depth: now.led });
  const step = /** @param {string} label @param {number | null} to @param {string} title */ (label, to, title) =>
    h("button", { type: "button", title, disabled: to === null, onclick: () => show({ round: to }) }, label);
  return [
    nav(
      [
        h("h1", {}, agent),
        h("span", { class: "dim" }, "round "),
        button(String(round), { agent: null, details: 1, round }),
        step("‹", found.before, "The agent's turn before"),
        step("›", found.after, "The agent's next turn"),
      ],
      now,
    ),
    h(
      "dl",
      { class: "facts" },
      h("dt", {}, "turn"),
      h("dd", {}, `${found.turn}${found.waits ? ", waits for an answer" : ""}, ${found.fuel.toLocaleString("en")} fuel, ${count(found.executions, "execution")}` + (found.duration_us === null ? "" : `, ${duration(found.duration_us)}`)),
      found.parts.length > 0 && [
        h("dt", {}, "waited"),
        h("dd", {}, "began in round ", found.parts.map(/** @param {number} part @param {number} at */ (part, at) => [at === 1 ? ", went on in round " : at > 1 && ", in ", button(String(part), { round: part })]).flat(), `${found.parts.length > 1 ? ", and" : ", went on"} in this one; ${found.fuel_before.toLocaleString("en")} fuel before`),
      ],
      found.wake_in !== null && found.wake_in !== undefined && [h("dt", {}, "wakes in"), h("dd", {}, count(found.wake_in, "round"))],
      found.spawned.length > 0 && [h("dt", {}, "spawned"), h("dd", {}, found.spawned.join(", "))],
      found.stopped.length > 0 && [h("dt", {}, "stopped"), h("dd", {}, found.stopped.join(", "))],
      found.limits && [h("dt", {}, "at most"), h("dd", { class: "dim" }, limits(found.limits))],
      found.code && [h("dt", {}, "code"), h("dd", { class: "mono dim", title: found.code }, `${found.code.slice(0, 16)}…`)],
      found.finish && [h("dt", {}, "ended the run"), h("dd", {}, text(found.finish))],
    ),
    found.failure && h("div", { class: "box" }, h("header", { class: "bad" }, `failed: ${found.failure.kind}`), text(found.failure.message)),
    block("Read", found.inbox.map(/** @param {any} one */ (one) => aBox(`${one.sender} → ${one.to}`, one, now)), found.inbox_hidden),
    block("Asked, and waited", found.asked.map(/** @param {any} one */ (one) => question(one, facts.path)), found.asked_hidden),
    block(
      "Asked",
      found.effects.filter(/** @param {any} one */ (one) => one.kind !== "ask").map(/** @param {any} one */ (one) =>
        h(
          "div",
          { class: "box said" },
          h("header", {}, `${one.kind}${one.model ? ` of ${one.model}` : ""}${one.tool ? ` of ${one.tool}` : ""}`, one.round !== found.round && h("span", {}, `round ${one.round}`), one.tokens !== null && h("span", {}, count(one.tokens, "token")), h("span", {}, duration(one.duration_us))),
          text(one.text ?? one.reply),
          h("details", {}, h("summary", {}, "request and reply"), text(one.request), h("hr"), text(one.reply)),
        ),
      ),
      found.effects_hidden,
    ),
    block("Sent", found.sent.map(/** @param {any} one */ (one) => aBox(`→ ${one.to}${one.recipients_count === 0 ? " (dead letter)" : ""}`, one, now)), found.sent_hidden),
    block("Recorded", found.records.map(/** @param {any} one */ (one) => h("div", {}, h("span", { class: "dim" }, `${one.name} = `), h("code", {}, one.value.text))), 0),
    block("Logged", found.logs.map(/** @param {any} one */ (one) => h("div", {}, h("span", { class: "dim" }, `${one.level} `), text(one))), 0),
    found.stdout && block("Printed", [text(found.stdout)], 0),
    found.hidden > 0 && h("p", { class: "dim" }, `${count(found.hidden, "row")} more are not shown`),
    stateOf(found),
    h("div", { class: "block" }, h("h2", {}, "Where it came from"), why ? aTree(why, now) : button("trace it back", { why: 3, led: null }), why && Number(now.why) < 60 && button("further back", { why: Number(now.why) + 3 })),
    !found.waits && h("div", { class: "block" }, h("h2", {}, "What it led to"), led ? aTree(led, now) : button("trace it forwards", { led: 2 }), led && further(now, 2)),
    forkHere(facts, agent, round),
    h("div", { class: "block" }, h("h2", {}, "Step through it"), h("p", { class: "dim" }, "In a debugger, if it is a Python agent: with what it was given and answered."), h("pre", { tabindex: 0, "aria-label": "The command that debugs it" }, `turnwise debug ${quoted(facts.path)} --agent ${quoted(agent)} --round ${round}`)),
  ];
}

/**
 * Bounds of a turn in words.
 * @param {{fuel: number, memory_bytes: number, effects: number, state_bytes: number | null}} of
 */
function limits(of) {
  const mib = (/** @type {number} */ bytes) => `${number(Math.round((10 * bytes) / 2 ** 20) / 10)} MiB`;
  return [`${number(of.fuel)} fuel`, `${mib(of.memory_bytes)} of memory`, count(of.effects, "effect"), of.state_bytes !== null && `${mib(of.state_bytes)} of state`].filter(Boolean).join(", ");
}

/** @param {any} found */
function stateOf(found) {
  if (found.waits) return found.state_before && block("State (as the turn began with it)", [text(found.state_before)], 0);
  if (found.state === null) return found.state_before && block("State (kept)", [text(found.state_before)], 0);
  const lines = found.state_before ? changes(found.state_before.text, found.state.text) : null;
  return h(
    "div",
    { class: "block" },
    h("h2", {}, "State"),
    lines && lines.length === 0 && h("p", { class: "dim" }, "unchanged"),
    lines && lines.length > 0 && h("div", { class: "changed mono" }, lines.map((line) => [h("span", { class: line.sign === "+" ? "plus" : line.sign === "−" ? "minus" : "dim" }, line.sign), h("span", {}, line.text)]).flat()),
    h("details", {}, h("summary", {}, "whole"), text(found.state)),
  );
}

/**
 * @param {string} title
 * @param {HTMLElement[]} rows
 * @param {number} hidden
 */
function block(title, rows, hidden) {
  if (rows.length === 0) return null;
  return h("div", { class: "block" }, h("h2", {}, title), ...rows, hidden > 0 && h("p", { class: "dim" }, `and ${hidden.toLocaleString("en")} more`));
}

/**
 * @param {string} label
 * @param {any} message
 * @param {Shown} now
 */
function aBox(label, message, now) {
  return h(
    "div",
    { class: "box said" },
    h("header", {}, h("span", {}, label), leadTo(h("a", { title: "This message, and where it came from" }, `#${message.seq}`), { message: message.seq, why: 3, led: null }, now)),
    text(message.body),
    attached(message),
  );
}

/**
 * The content that comes with a message, by its handle.
 * @param {any} message
 */
export function attached(message) {
  return message.attach && h("p", { class: "dim attached" }, "with content ", h("code", {}, message.attach.text));
}

/** @param {Shown} now */
async function aMessage(now) {
  const [message, why, led] = await Promise.all([
    ask("message", { run: now.run, seq: now.message }),
    ask("why", { run: now.run, message: now.message, depth: now.why ?? 3 }),
    ask("consequences", { run: now.run, message: now.message, depth: now.led ?? 1 }),
  ]);
  const more = message.recipients_count - message.recipients.length;
  return [
    nav([h("h1", {}, `Message ${message.seq}`)], now),
    h(
      "dl",
      { class: "facts" },
      h("dt", {}, "from"),
      h("dd", {}, message.sender === "outside" ? "outside" : button(message.sender, { agent: message.sender, round: message.round, message: null, why: null, led: null })),
      h("dt", {}, "to"),
      h("dd", {}, message.to, message.recipients_count !== 1 && h("span", { class: "dim" }, message.recipients_count === 0 ? ": nobody, a dead letter" : `: ${message.recipients.join(", ")}${more > 0 ? ` and ${more.toLocaleString("en")} more` : ""}`)),
      h("dt", {}, "sent in"),
      h("dd", {}, `round ${message.round}`),
    ),
    h("div", { class: "box said" }, text(message.body), attached(message)),
    h("h2", {}, "Where it came from"),
    aTree(why, now),
    Number(now.why ?? 3) < 60 && h("p", {}, button("further back", { why: Number(now.why ?? 3) + 3 })),
    h("h2", {}, "What it led to"),
    led.causes.length > 0 ? aTree(led, now) : h("p", { class: "dim" }, message.recipients_count === 0 ? "nothing: nobody was sent it" : "nothing yet: nobody has read it"),
    led.causes.length > 0 && further(now, 1),
  ];
}

/**
 * @param {Shown} now
 * @param {number} least
 */
function further(now, least) {
  const depth = Number(now.led ?? least);
  return depth < 60 && h("p", {}, button("further on", { led: depth + 2 }));
}

/**
 * @param {any} cause
 * @param {Shown} now
 */
function aTree(cause, now) {
  return h("ul", { class: "tree" }, aCause(cause, now));
}

/**
 * @param {any} cause
 * @param {Shown} now
 * @returns {HTMLElement}
 */
function aCause(cause, now) {
  const label =
    cause.kind === "turn"
      ? [button(`${cause.agent}, round ${cause.round}`, { agent: cause.agent, round: cause.round, message: null, why: null, led: null })]
      : [h("span", { class: "dim" }, `${cause.kind}${["message", "spawned"].includes(cause.kind) ? ` ${cause.kind === "message" ? "of " : ""}${cause.agent}` : ""}${cause.text.text ? ": " : ""}`)];
  return h(
    "li",
    {},
    ...label,
    cause.text.text && h("span", {}, " ", short(cause.text.text)),
    !cause.told && h("span", { class: "dim" }, cause.hidden ? ` … ${count(cause.hidden, "turn")} behind it` : " …"),
    cause.told && cause.hidden > 0 && h("span", { class: "dim" }, `, and ${count(cause.hidden, "more reader")}`),
    cause.causes.length > 0 && h("ul", {}, cause.causes.map(/** @param {any} one */ (one) => aCause(one, now))),
  );
}

/** @param {string} words */
function short(words) {
  return words.length > 160 ? `${words.slice(0, 160)}…` : words;
}

/**
 * The command that goes on from this round with something changed.
 * @param {Facts} facts
 * @param {string} agent
 * @param {number} round
 */
function forkHere(facts, agent, round) {
  const at = Math.max(0, round - 1);
  const command = h("pre", { tabindex: 0, "aria-label": "The command" });
  const input = /** @type {HTMLInputElement} */ (h("input", { placeholder: "a message to it", "aria-label": "A message to the agent" }));
  const write = () => {
    const message = input.value ? ` --message ${quoted(`${agent}=${input.value}`)}` : "";
    fill(command, `turnwise fork ${quoted(facts.path)} --at ${at} -o fork.journal${message}`);
  };
  input.addEventListener("input", write);
  write();
  return h("div", { class: "block" }, h("h2", {}, "Fork before this turn"), h("p", {}, input), command);
}
