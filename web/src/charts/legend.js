// The legend of a chart: what each line is, its newest value or the one under the cross-hair; a click hides it.

import { element, stroke } from "../elements.js";
import { written } from "../units.js";


// The newest bucket is still filling, so the one before it may stand in; what is older is not "now".
const NEWEST = 3;

export function newest(values) {
  const found = values.findLastIndex((value) => value !== null);
  return found >= 0 && found >= values.length - NEWEST ? found : -1;
}

// The bucket an instant (Unix ms) falls in, or -1.
function placeAt(data, at) {
  const place = Math.round((at / 1000 - data.times[0]) / data.step_seconds);
  return place >= 0 && place < data.times.length ? place : -1;
}

export class Legend {
  constructor(list, onToggle) {
    this.list = list;
    this.hidden = new Set();
    this.at = null;
    this.onToggle = onToggle;
  }

  // Buttons stay while the names stay, so that a refresh takes no focus away.
  show(data, styles) {
    const names = JSON.stringify(data.series.map(({ name }) => name));
    if (names !== this.names) {
      this.list.replaceChildren(...data.series.map(({ name }, place) => this.entry(name, styles[place])));
      this.names = names;
    }
    this.data = data;
    this.write(this.at);
  }

  clear() {
    this.list.replaceChildren();
    this.names = "";
    this.data = null;
  }

  entry(name, look) {
    const pressed = String(!this.hidden.has(name));
    const button = element("button", { type: "button", "aria-pressed": pressed });
    button.append(stroke(look.colour, look.dash), element("span", {}, name), element("output", { "data-value": "" }, "—"));
    button.addEventListener("click", () => {
      if (!this.hidden.delete(name)) this.hidden.add(name);
      button.setAttribute("aria-pressed", String(!this.hidden.has(name)));
      this.onToggle();
    });
    return element("li", {}, button);
  }

  // Say which lines cannot be seen because they lie above the scale.
  mark(above) {
    this.data.series.forEach(({ name }, place) => {
      const button = this.list.querySelectorAll("button")[place];
      button.toggleAttribute("data-above", above.has(name));
      button.title = above.has(name) ? `${name} lies above the scale of this chart` : `Show or hide ${name}`;
    });
  }

  // Write the values of one instant (Unix ms); null: the newest ones.
  write(at) {
    this.at = at;
    if (!this.data) return;
    const outputs = this.list.querySelectorAll("output");
    this.data.series.forEach(({ values, unit }, place) => {
      const found = at === null ? newest(values) : placeAt(this.data, at);
      outputs[place].textContent = found < 0 ? "—" : written(values[found], unit || this.data.unit);
    });
  }
}
