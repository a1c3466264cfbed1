// One chart with its legend: fetches its data and says what it is in: loading, ready, empty or failed.

import { refusal } from "../refusal.js";
import { unitName, written } from "../units.js";
import { axes } from "./axes.js";
import { Legend, newest } from "./legend.js";
import { looks } from "./lines.js";


const RANGE_WORDS = { "15m": "15 min", "1h": "1 h", "6h": "6 h", "24h": "24 h", "7d": "7 d", "30d": "30 d" };
// A long range need not be fetched at each refresh: its points are further apart than that.
const DUE_LIMIT_MS = 60_000;

// Who does not see the marks is told so many of them.
const MARKS_TOLD = 6;

let plots = null;

// The plotting code is the largest part of the page; figures and log do not wait for it.
function loadPlots() {
  plots ??= import("./plot.js").catch((error) => {
    plots = null; // asked for again at the next refresh
    throw error;
  });
  return plots;
}

export class Panel {
  // `range` gives the picked range.
  constructor(figure, range) {
    this.figure = figure;
    this.range = range;
    this.title = figure.querySelector("h2").textContent;
    this.legend = new Legend(figure.querySelector("[data-legend]"), () => this.draw());
    this.data = null;
    this.marks = [];
    this.dueAt = 0;
    this.request = null;
  }

  // What is fetched, and the chart its answer stands for: the two a kind of panel has of its own.
  address() {
    throw new Error("not said");
  }

  chart(answer) {
    return answer;
  }

  // Called after each attempt; `problem` is why it failed.
  notice() {}

  state(name, message = "") {
    this.figure.dataset.state = name;
    this.figure.querySelector("[data-message] span").textContent = message;
  }

  async load(byHand) {
    if (this.figure.hidden) return;
    if (!byHand && (Date.now() < this.dueAt || this.request)) return;
    this.request?.abort();
    const request = new AbortController();
    this.request = request;
    try {
      const [answer, { Plot }] = await Promise.all([this.fetch(request.signal), loadPlots()]);
      if (request.signal.aborted) return;
      this.arrived(this.chart(answer), Plot);
    } catch (error) {
      if (!request.signal.aborted) this.failed(error);
    } finally {
      if (this.request === request) this.request = null;
    }
  }

  async fetch(signal) {
    const timeout = AbortSignal.any ? AbortSignal.any([signal, AbortSignal.timeout(15_000)]) : signal;
    const response = await fetch(this.address(), { signal: timeout, headers: { Accept: "application/json" } });
    if (!response.ok) throw new Error(await refusal(response));
    return response.json();
  }

  // The look of each line, and what the numbers are.
  looks(series) {
    return looks(series);
  }

  unitText({ unit, step_seconds: step }) {
    return unitName(unit, step);
  }

  arrived(data, Plot) {
    this.data = data;
    this.dueAt = Date.now() + Math.min(data.step_seconds * 500, DUE_LIMIT_MS);
    this.plot ??= new Plot(this.figure.querySelector("[data-plot]"), axes, (at) => this.legend.write(at));
    this.figure.querySelector("[data-unit]").textContent = this.unitText(data);
    this.draw();
  }

  // What people did, as [{time (Unix seconds), title}].
  mark(marks) {
    this.marks = marks;
    if (this.data) this.draw();
  }

  draw() {
    if (!this.data) return;
    const { series } = this.data;
    const styles = this.looks(series);
    this.legend.show(this.data, styles);
    this.legend.mark(this.plot.show(this.data, styles, this.legend.hidden, this.marks));
    const empty = !series.some(({ values }) => values.some((value) => value !== null));
    const window = RANGE_WORDS[this.range()] ?? this.range();
    if (empty) this.state("empty", this.emptiness(window));
    else this.state("ready");
    this.describe(window, empty);
    this.notice();
  }

  emptiness(window) {
    return `No samples in the last ${window}`;
  }

  describe(window, empty) {
    const now = this.data.series.map(
      ({ name, values, unit }) => `${name} ${written(values[newest(values)], unit || this.data.unit)}`,
    );
    const marks = this.marks.length ? `; marks: ${this.marks.slice(0, MARKS_TOLD).map(({ title }) => title).join(", ")}` : "";
    const label = `${this.title}, last ${window}: ${empty ? "no samples" : now.join(", ")}${marks}`;
    this.figure.querySelector("[data-plot]").setAttribute("aria-label", label);
  }

  // A chart that is drawn stays, for it is right up to its last point; the notice says what is wrong.
  failed(error) {
    const why = error instanceof TypeError ? "monitord does not answer" : error.message;
    if (this.data) this.notice(`Not renewed: ${why}`);
    else this.state("error", `Not loaded: ${why}`);
  }

  say(text, title = text) {
    const place = this.figure.querySelector("[data-notice]");
    place.textContent = text;
    place.title = title;
    place.hidden = !text;
    this.figure.toggleAttribute("data-noticed", Boolean(text));
  }

  reset() {
    this.data = null;
    this.legend.clear();
    this.state("loading", "Loading");
  }
}
