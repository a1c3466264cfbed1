// The list of the newest lines: at most 100, written once a frame, held still while it is read.

import { localise } from "../clock.js";


const LIMIT = 100;
const NEAR_END_PX = 24;

export class Tail {
  // `onChange` is called each time when lines were written, held back, or followed again.
  constructor(list, onChange) {
    this.list = list;
    this.onChange = onChange;
    this.waiting = [];
    this.passed = 0;
    this.paused = false;
    this.following = true;
    this.frame = 0;
    list.addEventListener("scroll", () => this.scrolled(), { passive: true });
    list.addEventListener("focusout", () => this.schedule());
    new ResizeObserver(() => this.following && this.toEnd()).observe(list);
  }

  // While a line has the keyboard's focus none is removed, for the focus would be lost with it.
  get walked() {
    return this.list.querySelector(".line:focus-visible") !== null;
  }

  get held() {
    return this.waiting.length + this.passed;
  }

  // `make` gives the element of a line or a gap; called only if it will be seen.
  push(make) {
    this.waiting.push(make);
    if (this.waiting.length > LIMIT) {
      this.waiting.shift();
      this.passed += 1;
    }
    this.schedule();
  }

  // Begin anew. Nothing is left that a pause could hold, so it ends.
  clear() {
    this.waiting = [];
    this.passed = 0;
    this.list.replaceChildren();
    this.following = true;
    this.paused = false;
    this.onChange();
  }

  pause() {
    this.paused = true;
    this.onChange();
  }

  // Show what waits and follow the end again.
  follow() {
    this.following = true;
    this.paused = false;
    this.write();
    this.toEnd();
    this.onChange();
  }

  // However fast lines come, they are written once a frame; a tab nobody sees has no frames.
  schedule() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      if (this.paused || !this.following || this.walked) this.onChange();
      else this.write();
    });
  }

  write() {
    if (!this.waiting.length) return;
    const made = this.waiting.map((make) => make());
    const surplus = this.list.children.length + made.length - LIMIT;
    for (let i = 0; i < surplus; i += 1) this.list.firstElementChild?.remove();
    this.list.append(...made);
    made.forEach((element) => localise(element));
    this.waiting = [];
    this.passed = 0;
    this.toEnd();
    this.onChange();
  }

  toEnd() {
    this.list.scrollTop = this.list.scrollHeight;
  }

  scrolled() {
    const { scrollTop, clientHeight, scrollHeight } = this.list;
    const atEnd = scrollTop + clientHeight >= scrollHeight - NEAR_END_PX;
    if (atEnd === this.following) return;
    this.following = atEnd;
    this.schedule();
    this.onChange();
  }
}
