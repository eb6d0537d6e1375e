// What the page shows, as its address says it: every view can be kept, shared with oneself, and gone back to.

/** @typedef {Record<string, string>} Shown */

/** @type {Set<(shown: Shown) => void>} */
const listeners = new Set();

/** What the address says. @returns {Shown} */
export function shown() {
  return Object.fromEntries(new URLSearchParams(location.search));
}

/**
 * The address of something else: members that are null go.
 * @param {Record<string, string | number | null | undefined>} changes
 * @param {Shown} [from]
 */
export function address(changes, from = shown()) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries({ ...from, ...changes })) {
    if (value !== null && value !== undefined && value !== "") query.set(key, String(value));
  }
  const text = query.toString();
  return text ? `/?${text}` : "/";
}

/**
 * Show something else. `replace` for what one does not want to step back through, such as dragging.
 * @param {Record<string, string | number | null | undefined>} changes
 * @param {{replace?: boolean, from?: Shown}} [how]
 */
export function show(changes, { replace = false, from = shown() } = {}) {
  const next = address(changes, from);
  if (next === location.pathname + location.search) return;
  history[replace ? "replaceState" : "pushState"](null, "", next);
  for (const listener of listeners) listener(shown());
}

/**
 * A link that shows something else without loading the page again.
 * @param {HTMLElement} link
 * @param {Record<string, string | number | null | undefined>} changes
 * @param {Shown} [from]
 */
export function leadTo(link, changes, from) {
  link.setAttribute("href", address(changes, from));
  link.addEventListener("click", (event) => {
    const mouse = /** @type {MouseEvent} */ (event);
    if (mouse.ctrlKey || mouse.metaKey || mouse.shiftKey || mouse.button !== 0) return;
    event.preventDefault();
    show(changes, { from: from ?? shown() });
  });
  return link;
}

/** @param {(shown: Shown) => void} listener */
export function onShown(listener) {
  listeners.add(listener);
}

window.addEventListener("popstate", () => {
  for (const listener of listeners) listener(shown());
});
