// A form for an answer, by the schema of the question: buttons for what can be chosen, fields for what is written.

import { h } from "./dom.js";

const BUTTONS_MAX = 12;
const FIELDS_MAX = 20;

/** @typedef {{text: string} | {value: unknown}} Given What somebody typed, or a JSON value. */
/** @typedef {Record<string, any>} Schema */

let fields = 0;

/**
 * A form for an answer.
 * @param {unknown} schema
 * @param {(given: Given) => void} send
 * @param {string} described The id of the element that says what is wrong with an answer.
 * @returns {HTMLFormElement}
 */
export function form(schema, send, described) {
  const of = isObject(schema) ? schema : {};
  const choices = choicesOf(of);
  if (choices && choices.length <= BUTTONS_MAX) {
    const buttons = choices.map(([words, value]) => h("button", { type: "button", "aria-describedby": described, onclick: () => send({ value }) }, words));
    return made([h("div", { class: "choices", role: "group", "aria-label": "Your answer" }, buttons)], () => {});
  }
  if (choices) {
    const one = member("answer", of, true, described);
    return made([one.element, h("button", { type: "submit" }, "Answer")], () => {
      const chosen = one.read();
      if (chosen) send({ value: chosen[1] });
    });
  }
  const field = fieldOf(of, described);
  return made([field.element, h("button", { type: "submit" }, "Answer")], () => send(field.read()));
}

/**
 * @param {HTMLElement[]} children
 * @param {() => void} submit
 */
function made(children, submit) {
  const element = /** @type {HTMLFormElement} */ (h("form", {}, children));
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  element.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    submit();
  });
  return element;
}

/**
 * Values among which a schema lets one choose, each with its words; null if it lets one write.
 * @param {Schema} schema
 * @returns {[string, unknown][] | null}
 */
function choicesOf(schema) {
  if (Array.isArray(schema.enum)) return schema.enum.map((value) => [typeof value === "string" && value !== "" ? value : JSON.stringify(value), value]);
  if (schema.type === "boolean") return [["Yes", true], ["No", false]];
  return null;
}

/**
 * What one writes into for an answer that is written.
 * @param {Schema} schema
 * @param {string} described
 * @returns {{element: HTMLElement, read: () => Given}}
 */
function fieldOf(schema, described) {
  const names = isObject(schema.properties) ? Object.keys(schema.properties) : [];
  const simple = names.length > 0 && names.length <= FIELDS_MAX && names.every((name) => isSimple(schema.properties[name]));
  if (schema.type === "object" && simple) return fieldset(schema, names, described);
  if (isNumber(schema)) {
    const field = labelled("input", "Your answer", schema, described, { type: "text", inputmode: "decimal", placeholder: bounds(schema) });
    return { element: field.element, read: () => ({ text: field.input.value }) };
  }
  if (schema.type === "string") {
    const field = labelled("textarea", "Your answer", schema, described, { rows: 3, maxlength: longest(schema) });
    return { element: field.element, read: () => ({ value: field.input.value }) };
  }
  const field = labelled("textarea", "Your answer, JSON or text as it is", schema, described, { rows: 3 });
  if (Object.keys(schema).length > 0) field.element.prepend(h("details", {}, h("summary", {}, "what an answer looks like"), h("pre", {}, JSON.stringify(schema, null, 1))));
  return { element: field.element, read: () => ({ text: field.input.value }) };
}

/**
 * A field with its label.
 * @param {"input" | "textarea" | "select"} kind
 * @param {string} words
 * @param {Schema} schema
 * @param {string} described
 * @param {Record<string, unknown>} attributes
 * @param {HTMLElement[]} [children]
 */
function labelled(kind, words, schema, described, attributes, children = []) {
  const id = `field-${++fields}`;
  const input = /** @type {HTMLInputElement} */ (h(kind, { id, autocomplete: "off", "aria-describedby": described, ...attributes }, children));
  const about = isText(schema.description) && h("span", { class: "dim" }, schema.description);
  return { input, element: h("div", { class: "field" }, h("label", { for: id }, words), about, input) };
}

/**
 * Fields for the members of an object. What may be left out, and is empty, is left out.
 * @param {Schema} schema
 * @param {string[]} names
 * @param {string} described
 * @returns {{element: HTMLElement, read: () => Given}}
 */
function fieldset(schema, names, described) {
  const required = new Set(Array.isArray(schema.required) ? schema.required : []);
  const members = names.map((name) => member(name, schema.properties[name], required.has(name), described));
  return {
    element: h("fieldset", { "aria-label": "Your answer" }, members.map((one) => one.element)),
    read: () => ({ value: Object.fromEntries(members.map((one) => one.read()).filter((entry) => entry !== null)) }),
  };
}

/**
 * @param {string} name
 * @param {Schema} schema
 * @param {boolean} required
 * @param {string} described
 * @returns {{element: HTMLElement, read: () => [string, unknown] | null}}
 */
function member(name, schema, required, described) {
  const words = `${isText(schema.title) ? schema.title : name}${required ? "" : " (may be left out)"}`;
  const choices = choicesOf(schema);
  if (choices) {
    const options = choices.map(([text], at) => h("option", { value: String(at) }, text));
    const none = h("option", { value: "" }, required ? "choose…" : "—");
    const { input, element } = labelled("select", words, schema, described, {}, [none, ...options]);
    return { element, read: () => (input.value === "" ? null : [name, choices[Number(input.value)][1]]) };
  }
  const { input, element } = labelled("input", words, schema, described, { type: "text", inputmode: isNumber(schema) ? "decimal" : null, placeholder: isNumber(schema) ? bounds(schema) : null, maxlength: longest(schema) });
  return {
    element,
    read: () => {
      if (input.value === "" && !required) return null;
      const value = Number(input.value);
      return [name, isNumber(schema) && input.value.trim() !== "" && Number.isFinite(value) ? value : input.value];
    },
  };
}

/** Whether a member of an object can be chosen, or written in one line. @param {unknown} schema */
function isSimple(schema) {
  return isObject(schema) && (choicesOf(schema) !== null || schema.type === "string" || isNumber(schema));
}

/** @param {Schema} schema */
function isNumber(schema) {
  return schema.type === "integer" || schema.type === "number";
}

/** Characters that an answer has at most; null if that is not said. @param {Schema} schema */
function longest(schema) {
  return Number.isInteger(schema.maxLength) && schema.maxLength > 0 ? schema.maxLength : null;
}

/** The numbers that a schema allows, in words. @param {Schema} schema */
function bounds(schema) {
  const [low, high] = [schema.minimum, schema.maximum];
  if (low !== undefined && high !== undefined) return `${low} to ${high}`;
  return low !== undefined ? `from ${low}` : high !== undefined ? `up to ${high}` : null;
}

/** @param {unknown} value @returns {value is Schema} */
function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** @param {unknown} value @returns {value is string} */
function isText(value) {
  return typeof value === "string" && value !== "";
}
