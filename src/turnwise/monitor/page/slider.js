// A slider. The browser's own (`<input type="range">`) hangs Servo.

import { h } from "./dom.js";

export class Slider {
  /**
   * @param {string} label
   * @param {(value: number) => void} chosen Called with each value that a person chooses.
   */
  constructor(label, chosen) {
    this.value = 1;
    this.max = 1;
    this.thumb = h("span", { class: "thumb" });
    this.done = h("span", { class: "done" });
    this.element = h("div", { class: "slider", role: "slider", tabindex: 0, "aria-label": label, "aria-valuemin": 1 }, this.done, this.thumb);
    let held = false;
    const take = (/** @type {MouseEvent} */ event) => {
      const box = this.element.getBoundingClientRect();
      const share = Math.min(1, Math.max(0, (event.clientX - box.left) / Math.max(1, box.width)));
      chosen(Math.round(1 + share * (this.max - 1)));
    };
    this.element.addEventListener("mousedown", (event) => {
      held = true;
      this.element.focus();
      event.preventDefault();
      take(event);
    });
    window.addEventListener("mousemove", (event) => {
      if (held) take(event);
    });
    window.addEventListener("mouseup", () => {
      held = false;
    });
    this.element.addEventListener("keydown", (event) => {
      const steps = /** @type {Record<string, number>} */ ({ ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10, Home: -Infinity, End: Infinity });
      const step = steps[event.key];
      if (step === undefined) return;
      event.preventDefault();
      chosen(Math.min(this.max, Math.max(1, this.value + step)));
    });
  }

  /**
   * Stand at another value.
   * @param {number} value
   * @param {number} max
   */
  set(value, max) {
    this.value = value;
    this.max = max;
    this.element.setAttribute("aria-valuenow", String(value));
    this.element.setAttribute("aria-valuemax", String(max));
    const share = max > 1 ? ((value - 1) / (max - 1)) * 100 : 100;
    this.thumb.style.left = this.done.style.width = `${share}%`;
  }
}
