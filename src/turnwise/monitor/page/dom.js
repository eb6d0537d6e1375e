// Elements made of texts and elements. Texts are never read as HTML.

// Characters that act and are not seen: controls but for tab and line feed, format characters that hide or reorder,
// surrogates that stand alone. The joiners U+200C and U+200D stay: emoji and several scripts are written with them.
// prettier-ignore
const ACTING = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\u{110bd}\u{110cd}\u{13430}-\u{1343f}\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0000}-\u{e007f}]/gu;

/**
 * A text in which every character that would act is shown as an escape instead.
 * @param {string} text
 */
export function visible(text) {
  return text.replace(ACTING, (character) => {
    const code = /** @type {number} */ (character.codePointAt(0));
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
  });
}

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * Make an element. Attributes whose names begin with `on` are listeners; null and false leave an attribute out.
 * @param {string} name
 * @param {Record<string, unknown>} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElement}
 */
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), /** @type {EventListener} */ (value));
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

/**
 * @param {Node} parent
 * @param {(Child | Child[])[]} children
 */
function append(parent, children) {
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    parent.appendChild(child instanceof Node ? child : document.createTextNode(visible(String(child))));
  }
}

/**
 * Put other children into an element.
 * @param {Element} parent
 * @param {...(Child | Child[])} children
 */
export function fill(parent, ...children) {
  parent.textContent = "";
  append(parent, children);
}

/**
 * The element with this id, which the page has.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

/**
 * A text that the server has cut, with what it left out.
 * @param {{text: string, cut: number} | null} shown
 * @returns {HTMLElement}
 */
export function text(shown) {
  if (!shown) return h("pre");
  return h("pre", {}, shown.text, shown.cut > 0 && h("span", { class: "dim" }, ` … ${shown.cut.toLocaleString("en")} more characters`));
}

const NUMBERS = new Intl.NumberFormat("en");

/**
 * `2,000`. For labels that are drawn with every frame: a formatter of its own each time would cost more than drawing.
 * @param {number} value
 */
export function number(value) {
  return NUMBERS.format(value);
}

/**
 * `1 turn`, `2,000 turns`.
 * @param {number} amount
 * @param {string} noun
 */
export function count(amount, noun) {
  return `${number(amount)} ${noun}${amount === 1 ? "" : "s"}`;
}

/**
 * A duration as one reads it.
 * @param {number | null | undefined} us
 */
export function duration(us) {
  if (us === null || us === undefined) return "";
  if (us < 1000) return `${us} µs`;
  if (us < 1_000_000) return `${(us / 1000).toFixed(us < 10_000 ? 1 : 0)} ms`;
  if (us < 120_000_000) return `${(us / 1_000_000).toFixed(1)} s`;
  return `${Math.round(us / 60_000_000)} min`;
}

/**
 * A moment in this reader's time zone.
 * @param {number} us
 */
export function moment(us) {
  return new Date(us / 1000).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" });
}
