// A chart of one question of the explorer, with its aggregate and the way to remove it.

import { Panel } from "./charts/panel.js";
import { further } from "./charts/lines.js";
import { labelled } from "./question.js";
import { range } from "./range.js";
import { oneLine } from "./text.js";
import { tick, unitName } from "./units.js";


// UCUM, as samples have it, and what the page calls the unit.
const UNITS = { By: "bytes", ms: "ms", s: "s", "%": "percent", 1: "" };
// Who sends no unit says it by the name.
const ENDINGS = { _bytes: "bytes", _ms: "ms", _seconds: "s", _percent: "percent" };
const QUANTILES = ["p50", "p95", "p99"];
// More series the API does not draw at once.
const MOST_SERIES = 100;

function unitOf(name, unit) {
  const ending = Object.keys(ENDINGS).find((text) => name.endsWith(text));
  return UNITS[unit] ?? (unit || (ending ? ENDINGS[ending] : ""));
}

export class MetricPanel extends Panel {
  // `changed` is called when another aggregate is picked, `removed` when the chart is to go.
  constructor(question, { changed, removed }) {
    const figure = document.getElementById("chart").content.firstElementChild.cloneNode(true);
    figure.querySelector("h2 b").textContent = oneLine(question.name);
    figure.querySelector("h2 span").textContent = oneLine(labelled(question.labels));
    super(figure, range);
    this.question = question;
    this.unit = unitOf(question.name, "");
    this.aggregate = figure.querySelector("[data-aggregate]");
    if (question.aggregate) this.aggregate.value = question.aggregate;
    this.aggregate.addEventListener("change", () => {
      question.aggregate = this.aggregate.value;
      changed();
      this.load(true);
    });
    const remove = figure.querySelector("[data-remove]");
    remove.setAttribute("aria-label", `Remove ${oneLine(question.name)}`);
    remove.addEventListener("click", removed);
  }

  // What is known of the series: percentiles are of histograms alone.
  learn({ kind, unit }) {
    this.unit = unitOf(this.question.name, unit);
    for (const option of this.aggregate.options) option.disabled = kind !== "histogram" && QUANTILES.includes(option.value);
    if (!this.data) return;
    this.data.unit = this.unit;
    this.figure.querySelector("[data-unit]").textContent = this.unitText(this.data);
    this.draw();
  }

  address() {
    const { name, asked, aggregate } = this.question;
    const query = new URLSearchParams({ name, range: range() });
    if (asked) query.set("attributes", asked);
    if (aggregate) query.set("aggregate", aggregate);
    return `${document.body.dataset.base}/api/v1/metrics?${query}`;
  }

  chart(answer) {
    const fitting = answer.series.filter(({ attributes }) => this.question.holds(attributes));
    const series = fitting.map(({ attributes, values }) => ({ name: oneLine(labelled(attributes)) || answer.name, values }));
    this.aggregate.value = answer.aggregate;
    return { ...answer, series, unit: this.unit, cut: answer.series.length >= MOST_SERIES };
  }

  // Names are of the application here: none means a colour.
  looks(series) {
    return further(series);
  }

  unitText({ aggregate, unit, step_seconds: step }) {
    const name = unit === "count" ? "" : unitName(unit, step);
    return [name, `${aggregate} of each ${tick(step, "s")}`].filter(Boolean).join(", ");
  }

  emptiness(window) {
    const quantile = QUANTILES.includes(this.aggregate.value);
    return quantile ? `No histogram in the last ${window}: others have no percentiles` : super.emptiness(window);
  }

  notice(problem = "") {
    const cut = this.data?.cut ? `${MOST_SERIES} series at most are drawn` : "";
    const memory = this.data?.source === "memory" ? "The store is down: this is what memory holds" : "";
    const text = problem || memory || cut;
    this.say(text, text === memory ? this.data?.note : text);
  }
}
