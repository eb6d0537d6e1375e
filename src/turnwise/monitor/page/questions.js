// Questions to people, as one reads them: what was asked, what an answer looks like, and what became of it.

import { h, text } from "./dom.js";

/** @typedef {{text: string, cut: number}} Text */
/**
 * @typedef {Object} Question
 * @property {number} id
 * @property {number} round
 * @property {string} agent
 * @property {string} kind
 * @property {Text} text
 * @property {Text | null} schema
 * @property {number | null} deadline
 * @property {Text | null} default
 * @property {"answered" | "overdue" | "waits" | "left"} fate
 * @property {number | null} answered
 * @property {Text | null} answer
 */

/**
 * A question with what became of it.
 * @param {Question} asked
 * @param {string} path The journal, for the command that answers; empty where none is to be shown.
 */
export function question(asked, path) {
  const until = asked.deadline === null ? "" : `, until round ${asked.deadline.toLocaleString("en")}`;
  return h(
    "div",
    { class: "box asks" },
    h("header", {}, h("span", {}, asked.kind === "ask" ? `question ${asked.id} to people` : `${asked.kind} ${asked.id}`), h("span", {}, `round ${asked.round.toLocaleString("en")}${until}`)),
    text(asked.text),
    asked.default && h("p", { class: "dim" }, "unless somebody answers: ", h("code", {}, asked.default.text)),
    asked.schema && h("details", {}, h("summary", {}, "what an answer looks like"), text(asked.schema)),
    fate(asked),
    asked.fate === "waits" && path && answering(path, asked.id),
  );
}

/** @param {Question} asked */
function fate(asked) {
  if (asked.fate === "answered") return h("div", { class: "reply" }, h("span", { class: "dim" }, `answered, round ${Number(asked.answered).toLocaleString("en")}: `), text(asked.answer));
  if (asked.fate === "overdue") return h("p", { class: "waits" }, `Nobody answered in time${asked.default ? ": its default was taken" : ""}.`);
  if (asked.fate === "left") return h("p", { class: "dim" }, "Never answered: the run, or the turn, was over before.");
  return h("p", { class: "waits" }, "It waits for an answer.");
}

/**
 * How to answer: the monitor itself can only read.
 * @param {string} path
 * @param {number} id
 */
export function answering(path, id) {
  const commands = [`turnwise answer ${quoted(path)} ${id} ANSWER`, `turnwise answer ${quoted(path)} --page --open`];
  return h("details", { open: true }, h("summary", {}, "how to answer: in a terminal, or on a page"), h("pre", { tabindex: 0, "aria-label": "Commands that answer" }, commands.join("\n")));
}

/**
 * A word as a shell reads it.
 * @param {string} word
 */
export function quoted(word) {
  return /^[\w./:@%+,=-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
