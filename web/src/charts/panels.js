// The four charts: each fetches its own data and says what it is in: loading, ready, empty or failed.

import { moment, onZone } from "../clock.js";
import { onRange, range } from "../range.js";
import { unitName, written } from "../units.js";
import { axes } from "./axes.js";
import { Legend, newest } from "./legend.js";
import { looks } from "./lines.js";


const RANGE_WORDS = { "15m": "15 min", "1h": "1 h", "6h": "6 h", "24h": "24 h", "7d": "7 d", "30d": "30 d" };
// A long range need not be fetched at each refresh: its points are further apart than that.
const DUE_LIMIT_MS = 60_000;

let plots = null;

// The plotting code is the largest part of the page; figures and log do not wait for it.
function loadPlots() {
  plots ??= import("./plot.js").catch((error) => {
    plots = null; // asked for again at the next refresh
    throw error;
  });
  return plots;
}

class Panel {
  constructor(figure) {
    this.figure = figure;
    this.id = figure.dataset.chart;
    this.title = figure.querySelector("h2").textContent;
    this.legend = new Legend(figure.querySelector("[data-legend]"), () => this.draw());
    this.data = null;
    this.dueAt = 0;
    this.request = null;
  }

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
      const [data, { Plot }] = await Promise.all([this.fetch(request.signal), loadPlots()]);
      if (request.signal.aborted) return;
      this.arrived(data, Plot);
    } catch (error) {
      if (!request.signal.aborted) this.failed(error);
    } finally {
      if (this.request === request) this.request = null;
    }
  }

  async fetch(signal) {
    const timeout = AbortSignal.any ? AbortSignal.any([signal, AbortSignal.timeout(15_000)]) : signal;
    const address = `${document.body.dataset.base}/api/v1/charts/${this.id}?range=${range()}`;
    const response = await fetch(address, { signal: timeout, headers: { Accept: "application/json" } });
    if (!response.ok) throw new Error(`monitord answered with status ${response.status}`);
    return response.json();
  }

  arrived(data, Plot) {
    this.data = data;
    this.dueAt = Date.now() + Math.min(data.step_seconds * 500, DUE_LIMIT_MS);
    this.plot ??= new Plot(this.figure.querySelector("[data-plot]"), axes, (at) => this.legend.write(at));
    this.figure.querySelector("[data-unit]").textContent = unitName(data.unit, data.step_seconds);
    this.draw();
  }

  draw() {
    if (!this.data) return;
    const { series } = this.data;
    const styles = looks(series);
    this.legend.show(this.data, styles);
    this.legend.mark(this.plot.show(this.data, styles, this.legend.hidden));
    const empty = !series.some(({ values }) => values.some((value) => value !== null));
    const window = RANGE_WORDS[range()] ?? range();
    if (empty) this.state("empty", `No samples in the last ${window}`);
    else this.state("ready");
    this.describe(window, empty);
    this.notice();
  }

  describe(window, empty) {
    const now = this.data.series.map(
      ({ name, values, unit }) => `${name} ${written(values[newest(values)], unit || this.data.unit)}`,
    );
    const label = `${this.title}, last ${window}: ${empty ? "no samples" : now.join(", ")}`;
    this.figure.querySelector("[data-plot]").setAttribute("aria-label", label);
  }

  // A chart that is drawn stays, for it is right up to its last point; the notice says what is wrong.
  failed(error) {
    const why = error instanceof TypeError ? "monitord does not answer" : error.message;
    if (this.data) this.notice(`Not renewed: ${why}`);
    else this.state("error", `Not loaded: ${why}`);
  }

  // Why the newest points may be missing: the target is down, or the store is. Without any target no chart.
  notice(problem = "") {
    const { kind } = this.figure.dataset;
    this.figure.hidden = kind !== "api" && !document.querySelector(`.lamp[data-kind="${kind}"]`);
    const lamps = document.querySelectorAll(`.lamp[data-kind="${kind}"][data-up="0"]`);
    const down = [...lamps].map(({ dataset: { target, since, reason } }) => {
      const name = lamps.length > 1 ? `${target} ` : "";
      return `${name}down${since ? ` since ${moment(Number(since) * 1000)}` : ""}${reason ? `, ${reason}` : ""}`;
    });
    // Why the store is away, the banner says; there is no room for it at every chart.
    const note = this.data?.source === "memory" ? "The store is down: this is what memory holds" : this.data?.note;
    const text = problem || down.join("; ") || note || "";
    const place = this.figure.querySelector("[data-notice]");
    place.textContent = text;
    place.title = text === note ? this.data.note : text;
    place.hidden = !text;
    this.figure.toggleAttribute("data-noticed", Boolean(text));
    this.figure.toggleAttribute("data-down", down.length > 0);
  }

  reset() {
    this.data = null;
    this.legend.clear();
    this.state("loading", "Loading");
  }
}

export class Charts {
  constructor() {
    this.panels = [...document.querySelectorAll("[data-chart]")].map((figure) => new Panel(figure));
    this.notice();
    onZone(() => this.panels.forEach((panel) => panel.draw()));
    onRange(() => this.panels.forEach((panel) => panel.reset()));
  }

  load(byHand) {
    for (const panel of this.panels) panel.load(byHand);
  }

  notice() {
    for (const panel of this.panels) panel.notice();
  }
}
