// One log line as an element. All of it is text.

import { element, icon } from "../elements.js";
import { oneLine } from "../text.js";


// A line is cut for the list; the drawer has all of it.
const LONGEST = 2_000;
const ICONS = { WARNING: "warning", ERROR: "critical", CRITICAL: "critical" };

function cut(text) {
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
}

export function lineElement(entry) {
  const level = oneLine(entry.level);
  const known = level in ICONS || level === "INFO" || level === "DEBUG";
  const made = element("li", { class: "line", tabindex: "-1", "data-level": known ? level : "OTHER" });
  const source = [entry.service, entry.logger].filter(Boolean).join(" ");
  made.append(
    element("time", { "data-unix": entry.time, "data-style": "precise" }),
    element("span", { class: "level" }, level in ICONS ? icon(ICONS[level]) : null, level.slice(0, 8)),
    element("span", { class: "source", title: oneLine(source) }, oneLine(entry.logger || entry.service || "")),
    element("span", { class: "message" }, oneLine(cut(entry.message))),
  );
  if (entry.error) made.append(element("span", { class: "raised" }, oneLine(cut(entry.error.type ?? "error"))));
  return made;
}

// `dropped` is null when it is only known that lines may be missing.
export function gapElement(dropped) {
  const words = dropped === null ? "lines may be missing" : `${dropped.toLocaleString("en-US")} ${dropped === 1 ? "line" : "lines"} dropped`;
  return element("li", { class: "gap", "data-gap": dropped ?? "" }, element("span", {}, words));
}
