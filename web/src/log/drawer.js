// All of one log line: fields, trace and traceback, in a drawer that stays while the list moves on.

import { full } from "../clock.js";
import { element, icon } from "../elements.js";
import { manyLines, oneLine } from "../text.js";


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

function copyable(text) {
  const button = element("button", { type: "button", "data-copy": "" }, icon("copy"), element("span", {}, "Copy"));
  button.addEventListener("click", () => copy(text, button));
  return element("span", { class: "copyable" }, element("code", {}, text), button);
}

function facts(entry) {
  const list = element("dl", { class: "facts" });
  const rows = { Time: full(entry.time * 1000), Service: entry.service, Logger: entry.logger, Id: entry.id };
  for (const [name, value] of Object.entries(rows)) {
    if (value) list.append(element("dt", {}, name), element("dd", {}, oneLine(value)));
  }
  if (entry.trace_id) list.append(element("dt", {}, "Trace"), element("dd", {}, copyable(oneLine(entry.trace_id))));
  return list;
}

function code(text, language) {
  return element("code", { "data-language": language }, text);
}

function frame({ path = "", line = 0, function: name = "", source = "", in_app: inApp = true }) {
  const made = element("li", { class: inApp ? "frame" : "frame foreign" });
  made.append(element("p", {}, `File "${oneLine(path)}", line ${line}, in ${oneLine(name || "?")}`));
  if (source) made.append(element("pre", {}, code(manyLines(source.trim()), "python")));
  return made;
}

function traceback(error) {
  const part = element("section", { "data-traceback": "" }, element("h3", {}, "Traceback, most recent call last"));
  if (error.frames?.length) part.append(element("ol", { class: "frames" }, ...error.frames.map(frame)));
  const type = element("b", {}, oneLine(error.type ?? "Error"));
  part.append(element("pre", { class: "raised" }, type, error.message ? `: ${manyLines(error.message)}` : ""));
  return part;
}

function fields(values) {
  const text = manyLines(JSON.stringify(values, null, 2));
  return element("section", { "data-fields": "" }, element("h3", {}, "Fields"), element("pre", {}, code(text, "json")));
}

function bar(entry) {
  const level = element("b", { class: "level", "data-level": entry.level }, oneLine(entry.level));
  const close = element("button", { type: "button", "data-close": "", "aria-label": "Close" }, icon("close"));
  return element("header", { class: "bar" }, element("h2", {}, "Log line"), level, close);
}

async function highlight() {
  const blocks = [...drawer.querySelectorAll("code[data-language]")];
  if (!blocks.length) return;
  const { highlighted } = await import("./highlight.js");
  for (const block of blocks) block.replaceChildren(...highlighted(block.textContent, block.dataset.language));
}

export function openLine(entry) {
  const body = element("div", { class: "drawer-body" });
  body.append(element("pre", { class: "message" }, manyLines(entry.message)), facts(entry));
  if (entry.error) body.append(traceback(entry.error));
  if (Object.keys(entry.fields ?? {}).length) body.append(fields(entry.fields));
  drawer.replaceChildren(bar(entry), body);
  if (!drawer.open) drawer.showModal();
  return highlight();
}
