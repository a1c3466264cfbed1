// How the axes of a plot are divided and written.

import { day, isUtc, short, time } from "../clock.js";
import { scale, tick } from "../units.js";


const DAY_MS = 86_400_000;

// `at` and `span` (the length of the axis) are milliseconds.
function label(at, span) {
  const text = short(at);
  return text === "00:00" || span > 4 * DAY_MS ? day(at) : text;
}

function pointer(at, span) {
  return span > DAY_MS ? `${day(at)} ${short(at)}` : time(at);
}

export const axes = { isUtc, label, pointer, scale, tick };
