// What the log says while it shows no line: what is missing, and what to do about it.

import { element } from "../elements.js";


function nothingYet(hidden) {
  const handler = element("code", {}, "monitord.emit.MonitordHandler");
  const words = element("span", {}, "Add ", handler, " to your application's logging, and its lines show here as they are written.");
  const notice = hidden ? element("span", {}, "Debug lines are hidden: pick “All levels” to see them.") : null;
  return [element("b", {}, "No log lines yet"), words, notice];
}

function nothingFound({ query, stored, clear }) {
  const button = element("button", { type: "button", "data-clear": "" }, "Clear the filter");
  button.addEventListener("click", clear);
  const link = element("a", { href: `${stored}?${query}`, target: "_blank", rel: "noopener" }, "Search all stored lines (JSON)");
  return [
    element("b", {}, "No line passes the filter"),
    element("span", {}, "Only the newest lines are searched here; new ones that pass will show."),
    element("span", { class: "choices" }, button, link),
  ];
}

// `asked` has query (a URLSearchParams), stored (the address of the stored lines) and clear().
export class Empty {
  constructor(place) {
    this.place = place;
    this.shown = null;
  }

  // Written only when it changes: a button that has the focus keeps it.
  show(visible, connected, asked) {
    this.place.hidden = !visible;
    const key = `${connected} ${asked.query}`;
    if (!visible || key === this.shown) return;
    this.shown = key;
    const plain = !asked.query.has("text") && ["INFO", null].includes(asked.query.get("level"));
    const parts = plain ? nothingYet(asked.query.has("level")) : nothingFound(asked);
    this.place.replaceChildren(...(connected ? parts.filter(Boolean) : [element("b", {}, "Waiting for monitord")]));
  }
}
