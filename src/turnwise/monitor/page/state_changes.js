// Two states as JSON: what came, what went, what is another, by paths.

/** @typedef {{sign: "+" | "−" | "~", text: string}} Change */

const SHOWN_MAX = 200;

/**
 * @param {string} before
 * @param {string} after
 * @returns {Change[]}
 */
export function changes(before, after) {
  if (before === after) return [];
  /** @type {Change[]} */
  const found = [];
  try {
    compare("", JSON.parse(before), JSON.parse(after), found);
  } catch {
    return [
      { sign: "−", text: before },
      { sign: "+", text: after },
    ];
  }
  if (found.length > SHOWN_MAX) {
    const hidden = found.length - SHOWN_MAX;
    return [...found.slice(0, SHOWN_MAX), { sign: "~", text: `and ${hidden.toLocaleString("en")} more` }];
  }
  return found;
}

/**
 * @param {string} path
 * @param {unknown} before
 * @param {unknown} after
 * @param {Change[]} found
 */
function compare(path, before, after, found) {
  if (before === after) return;
  if (isBranch(before) && isBranch(after) && Array.isArray(before) === Array.isArray(after)) {
    const [left, right] = [/** @type {Record<string, unknown>} */ (before), /** @type {Record<string, unknown>} */ (after)];
    for (const key of new Set([...Object.keys(left), ...Object.keys(right)])) {
      const inner = Array.isArray(before) ? `${path}[${key}]` : path ? `${path}.${key}` : key;
      if (!(key in right)) found.push({ sign: "−", text: `${inner}: ${JSON.stringify(left[key])}` });
      else if (!(key in left)) found.push({ sign: "+", text: `${inner}: ${JSON.stringify(right[key])}` });
      else compare(inner, left[key], right[key], found);
    }
    return;
  }
  found.push({ sign: "~", text: `${path || "state"}: ${JSON.stringify(before)} → ${JSON.stringify(after)}` });
}

/** @param {unknown} value */
function isBranch(value) {
  return typeof value === "object" && value !== null;
}
