// One log line as an element. All of it is text.

import { element, icon } from "../elements.js";
import { oneLine } from "../text.js";


// A line is cut for the list; the drawer has all of it.
const LONGEST = 2_000;
const ICONS = { WARNING: "warning", ERROR: "critical", CRITICAL: "critical" };

function cut(text) {
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
}

// Line breaks are written as such, but quieter than the words between them.
function message(text) {
  const parts = cut(text).split(/(\r\n|\n|\r)/);
  const shown = parts.map((part, place) => (place % 2 ? element("span", { class: "break" }, oneLine(part)) : oneLine(part)));
  return element("span", { class: "message" }, ...shown.filter((part) => part !== ""));
}

// `pay.CardDeclined` with its message is `CardDeclined: …` here; the drawer has the whole name.
function raised({ type, message: words }) {
  const name = (type || "error").split(".").at(-1);
  return element("span", { class: "raised" }, oneLine(cut(words ? `${name}: ${words}` : name)));
}

function fields(values) {
  const words = Object.entries(values).map(
    ([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`,
  );
  return element("span", { class: "extra" }, oneLine(cut(words.join(" "))));
}

function said(entry) {
  const made = element("span", { class: "said" }, message(entry.message));
  if (entry.error) made.append(raised(entry.error));
  if (Object.keys(entry.fields ?? {}).length) made.append(fields(entry.fields));
  return made;
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
    said(entry),
  );
  return made;
}

// `dropped` is null when it is only known that lines may be missing.
export function gapElement(dropped) {
  const words = dropped === null ? "lines may be missing" : `${dropped.toLocaleString("en-US")} ${dropped === 1 ? "line" : "lines"} dropped`;
  const why = dropped === null ? "The connection was lost for a while." : "They came faster than this page could take them.";
  const title = `${why} What was stored is in /api/v1/logs.`;
  return element("li", { class: "gap", "data-gap": dropped ?? "", title }, element("span", {}, words));
}
