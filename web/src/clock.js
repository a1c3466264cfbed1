// Every time on the page, in the zone the reader picked: the browser's or UTC.

const KEY = "monitord.zone";
const listeners = new Set();
const formats = new Map();

let zone = stored() === "utc" ? "utc" : "local";

function stored() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // storage may be forbidden; the choice then lasts as long as the page
  }
}

function keep(value) {
  try {
    localStorage.setItem(KEY, value);
  } catch {
    // as above
  }
}

export function isUtc() {
  return zone === "utc";
}

export function toggleZone() {
  zone = isUtc() ? "local" : "utc";
  keep(zone);
  for (const listener of listeners) listener();
}

export function onZone(listener) {
  listeners.add(listener);
}

// "UTC", or the browser's zone with its present distance: "Europe/Berlin UTC+1".
export function zoneName() {
  if (isUtc()) return "UTC";
  const name = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "local time";
  const minutes = -new Date().getTimezoneOffset();
  if (!minutes) return name === "UTC" ? "UTC (browser)" : `${name} UTC+0`;
  const hours = Math.trunc(Math.abs(minutes) / 60);
  const rest = Math.abs(minutes) % 60;
  return `${name} UTC${minutes < 0 ? "−" : "+"}${hours}${rest ? `:${String(rest).padStart(2, "0")}` : ""}`;
}

function format(name, options) {
  const key = `${name} ${zone}`;
  if (!formats.has(key)) {
    const timeZone = isUtc() ? "UTC" : undefined;
    formats.set(key, new Intl.DateTimeFormat("en-GB", { ...options, timeZone }));
  }
  return formats.get(key);
}

const TIME = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
const SHORT = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const DAY = { day: "numeric", month: "short" };
const FULL = { year: "numeric", month: "short", day: "numeric", ...TIME, fractionalSecondDigits: 3 };

// All take Unix milliseconds.
export const time = (at) => format("time", TIME).format(at);
export const precise = (at) => format("precise", { ...TIME, fractionalSecondDigits: 3 }).format(at);
export const short = (at) => format("short", SHORT).format(at);
export const day = (at) => format("day", DAY).format(at);
export const full = (at) => `${format("full", FULL).format(at)} ${zoneName()}`;

// Only the time for what is of today, else day and time.
export function moment(at) {
  return day(at) === day(Date.now()) ? time(at) : `${day(at)} ${short(at)}`;
}

const STYLES = {
  precise,
  short: (at) => (day(at) === day(Date.now()) ? short(at) : moment(at)),
};

// Write the <time data-unix> elements anew; they come from the server in UTC.
export function localise(root = document) {
  for (const element of root.querySelectorAll("time[data-unix]")) {
    const at = Number(element.dataset.unix) * 1000;
    const text = (STYLES[element.dataset.style] ?? moment)(at);
    if (element.textContent !== text) element.textContent = text;
    element.dateTime = new Date(at).toISOString();
    element.title = full(at);
  }
}
