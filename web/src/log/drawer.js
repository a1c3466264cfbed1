// All of one log line in a drawer that stays while the list moves on: what happened comes first, how
// the program got there last.

import { full } from "../clock.js";
import { element, icon } from "../elements.js";
import { manyLines, oneLine } from "../text.js";
import { code, raised, traceback } from "./traceback.js";


const drawer = document.getElementById("line");

async function copy(text, button) {
  const label = button.querySelector("span");
  try {
    await navigator.clipboard.writeText(text);
    label.textContent = "Copied";
  } catch {
    // Plain HTTP has no clipboard: select the text, so that one key copies it.
    getSelection().selectAllChildren(button.previousElementSibling);
    label.textContent = "Press Ctrl+C";
  }
}

// The trace id: to take away, to see every line of, and all there is of it. Its moment makes that quick.
function trace(id, at, search) {
  const button = element("button", { type: "button", "data-copy": "" }, icon("copy"), element("span", {}, "Copy"));
  button.addEventListener("click", () => copy(id, button));
  const lines = element("button", { type: "button", "data-trace": "" }, "Show its lines");
  lines.addEventListener("click", () => {
    drawer.close();
    search(id);
  });
  const address = `${document.body.dataset.base}/traces/${encodeURIComponent(id)}?near=${Math.floor(at)}`;
  const whole = element("a", { href: address, "data-whole": "" }, "All of this trace");
  return element("span", { class: "copyable" }, element("code", {}, oneLine(id)), button, lines, whole);
}

function origin(entry, search) {
  const list = element("dl", { class: "facts" });
  const add = (name, value) => list.append(element("dt", {}, name), element("dd", {}, value));
  if (entry.trace_id) add("Trace", trace(entry.trace_id, entry.time, search));
  for (const [name, value] of Object.entries({ Service: entry.service, Logger: entry.logger, Line: entry.id })) {
    if (value) add(name, oneLine(value));
  }
  return list;
}

// A text as it is; anything else as JSON, so that "7" and 7 can be told apart by their colour.
function value(given) {
  if (typeof given === "string") return given ? manyLines(given) : element("span", { class: "muted" }, "(empty)");
  return code(manyLines(JSON.stringify(given, null, 2)), "json");
}

function fields(values) {
  const rows = Object.entries(values).map(([name, given]) =>
    element("tr", {}, element("th", { scope: "row" }, oneLine(name)), element("td", {}, element("div", {}, value(given)))),
  );
  const table = element("table", { class: "fields" }, element("tbody", {}, ...rows));
  return element("section", { "data-fields": "" }, element("h3", {}, "Fields"), table);
}

function bar(entry) {
  const level = element("b", { class: "level", "data-level": entry.level }, oneLine(entry.level));
  const time = element("span", { class: "muted" }, full(entry.time * 1000));
  const close = element("button", { type: "button", "data-close": "", "aria-label": "Close" }, icon("close"));
  return element("header", { class: "bar" }, element("h2", {}, "Log line"), level, time, close);
}

async function highlight() {
  const blocks = [...drawer.querySelectorAll("code[data-language]")];
  if (!blocks.length) return;
  const { highlighted } = await import("./highlight.js");
  for (const block of blocks) block.replaceChildren(...highlighted(block.textContent, block.dataset.language));
}

// `search` filters the log by a text.
export function openLine(entry, search) {
  const body = element("div", { class: "drawer-body" });
  body.append(element("pre", { class: "message" }, manyLines(entry.message)));
  if (entry.error) body.append(raised(entry.error));
  if (Object.keys(entry.fields ?? {}).length) body.append(fields(entry.fields));
  body.append(origin(entry, search));
  if (entry.error?.frames?.length) body.append(traceback(entry.error.frames));
  drawer.replaceChildren(bar(entry), body);
  if (!drawer.open) drawer.showModal();
  return highlight();
}
