// A canvas that fills its view, with lanes of agents: drawn at most once a frame, dragged, turned by the wheel, with a tip.

import { fill, h } from "./dom.js";

/** Pixels at the left in which names of agents stand. */
export const LABELS = 130;

/** @typedef {{x: number, y: number}} Point */
/** @typedef {(name: string) => string} Colour */
/**
 * @typedef {Object} Hands What a view does when somebody uses the mouse.
 * @property {(dx: number, dy: number) => void} drag
 * @property {(at: Point) => import("./dom.js").Child[] | null} tip What stands at a point, if anything.
 * @property {(at: Point) => void} click
 * @property {(event: WheelEvent, at: Point) => void} wheel
 * @property {() => void} settled Called when what is seen has changed, and does no more for a moment.
 */

export class Stage {
  /**
   * @param {HTMLElement} element
   * @param {string} label
   * @param {number} header Pixels at the top in which rounds or times stand.
   * @param {() => void} draw
   * @param {Hands} hands
   * @param {...import("./dom.js").Child} tools What stands in the corner.
   */
  constructor(element, label, header, draw, hands, ...tools) {
    this.element = element;
    this.header = header;
    this.canvas = /** @type {HTMLCanvasElement} */ (h("canvas", { tabindex: 0, role: "img", "aria-label": label }));
    this.tip = h("div", { class: "tip", hidden: true });
    this.context = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d", { alpha: false }));
    this.draw = draw;
    this.frame = 0;
    this.ended = false;
    this.theme = "";
    /** @type {Map<string, string>} */
    this.colours = new Map();
    /** @type {{width: number, height: number} | null} */
    this.measured = null;
    fill(element, h("div", { class: "stage" }, this.canvas, this.tip, h("div", { class: "float" }, ...tools)));
    this.resized = new ResizeObserver(() => {
      this.measured = null;
      this.soon();
    });
    this.resized.observe(element);
    this.letGo = this.listen(hands);
  }

  /** Pixels of the view, measured once: to ask costs a layout where anything was written to the page before. */
  size() {
    this.measured ??= { width: this.element.clientWidth, height: this.element.clientHeight };
    return this.measured;
  }

  /** A colour of the page's style, asked once for each theme. @param {string} name */
  colour(name) {
    const theme = document.documentElement.dataset.theme ?? "";
    if (theme !== this.theme) this.colours.clear();
    this.theme = theme;
    let found = this.colours.get(name);
    if (found === undefined) {
      found = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
      this.colours.set(name, found);
    }
    return found;
  }

  /** Draw with the next frame. */
  soon() {
    if (this.frame || this.ended) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      if (!this.ended) this.draw();
    });
  }

  /**
   * Begin a frame: the canvas has the size and the ground of its view, and nothing else.
   * @returns {{width: number, height: number, colour: Colour}}
   */
  begin() {
    const { canvas, context } = this;
    const { width, height } = this.size();
    const ratio = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const colour = /** @type {Colour} */ ((name) => this.colour(name));
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.globalAlpha = 1;
    context.fillStyle = colour("--ground");
    context.fillRect(0, 0, width, height);
    return { width, height, colour };
  }

  /** Draw only where turns are, until `restore` of the context. */
  clip() {
    const { width, height } = this.size();
    this.context.save();
    this.context.beginPath();
    this.context.rect(LABELS, this.header, width - LABELS, height - this.header);
    this.context.clip();
  }

  /** Have labels look as they do: dim, small, in the middle of their line. @param {Colour} colour */
  write(colour) {
    this.context.fillStyle = colour("--dim");
    this.context.font = "12px system-ui, 'DejaVu Sans', sans-serif";
    this.context.textBaseline = "middle";
  }

  /** Nothing is drawn any more. */
  end() {
    this.ended = true;
    this.resized.disconnect();
    this.letGo();
  }

  /**
   * @param {Hands} hands
   * @returns {() => void} What takes the listeners off that do not go with the canvas.
   */
  listen(hands) {
    const { canvas, tip } = this;
    /** @type {{x: number, y: number, moved: boolean} | null} */
    let held = null;
    let settled = 0;
    const point = (/** @type {MouseEvent} */ event) => {
      const box = canvas.getBoundingClientRect();
      return { x: event.clientX - box.left, y: event.clientY - box.top };
    };
    const onMove = (/** @type {MouseEvent} */ event) => {
      if (held) {
        const [dx, dy] = [event.clientX - held.x, event.clientY - held.y];
        if (!held.moved && Math.abs(dx) + Math.abs(dy) < 4) return;
        held = { x: event.clientX, y: event.clientY, moved: true };
        tip.hidden = true;
        hands.drag(dx, dy);
        this.soon();
        return;
      }
      const at = point(event);
      const inside = event.target === canvas && at.x >= LABELS && at.y >= this.header;
      const told = inside ? hands.tip(at) : null;
      tip.hidden = !told;
      if (!told) return;
      fill(tip, told.filter(Boolean).join(" · "));
      const { width, height } = this.size();
      tip.style.left = `${Math.min(at.x + 14, width - tip.offsetWidth - 8)}px`;
      tip.style.top = `${Math.min(at.y + 16, height - tip.offsetHeight - 8)}px`;
    };
    const onUp = (/** @type {MouseEvent} */ event) => {
      const before = held;
      held = null;
      if (before?.moved) hands.settled();
      else if (before && event.target === canvas) hands.click(point(event));
    };
    canvas.addEventListener("mousedown", (event) => (held = { x: event.clientX, y: event.clientY, moved: false }));
    canvas.addEventListener("mouseleave", () => (tip.hidden = true));
    canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        hands.wheel(event, point(event));
        this.soon();
        clearTimeout(settled);
        settled = window.setTimeout(hands.settled, 200);
      },
      { passive: false },
    );
    window.addEventListener("mousemove", onMove);
    window.addEventListener("mouseup", onUp);
    return () => {
      clearTimeout(settled);
      window.removeEventListener("mousemove", onMove);
      window.removeEventListener("mouseup", onUp);
    };
  }
}
