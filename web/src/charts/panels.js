// The four charts of the overview, and what people did meanwhile as marks on all of them.

import { moment, onZone } from "../clock.js";
import { onRange, range } from "../range.js";
import { Marks } from "./marks.js";
import { Panel } from "./panel.js";


class TargetPanel extends Panel {
  constructor(figure) {
    super(figure, range);
    this.id = figure.dataset.chart;
  }

  address() {
    return `${document.body.dataset.base}/api/v1/charts/${this.id}?range=${range()}`;
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
    this.say(text, text === note ? this.data.note : text);
    this.figure.toggleAttribute("data-down", down.length > 0);
  }
}

export class Charts {
  constructor() {
    this.panels = [...document.querySelectorAll("[data-chart]")].map((figure) => new TargetPanel(figure));
    this.marks = new Marks(range, (found) => this.panels.forEach((panel) => panel.mark(found)));
    this.notice();
    onZone(() => this.panels.forEach((panel) => panel.draw()));
    onRange(() => this.panels.forEach((panel) => panel.reset()));
  }

  async load(byHand) {
    await Promise.all(this.panels.map((panel) => panel.load(byHand)));
    if (this.panels.some(({ data }) => data?.source === "store")) this.marks.load();
  }

  notice() {
    for (const panel of this.panels) panel.notice();
  }
}
