// Numbers as the page writes them, by the same rules as the server: "12.5 ms", "1.25 GiB", "97.3 %".

const BYTES = ["B", "KiB", "MiB", "GiB", "TiB"];
const TIMES = [[86400, "d"], [3600, "h"], [60, "min"]];

// Three significant figures, and no fewer than the digits of the whole number.
function figure(value) {
  const size = Math.abs(value);
  if (size >= 1000) return Math.round(value).toLocaleString("en-US");
  if (size >= 100) return value.toFixed(0);
  return value.toFixed(size >= 10 ? 1 : 2);
}

function bytes(value) {
  let step = 0;
  let size = value;
  while (Math.abs(size) >= 1023.5 && step < BYTES.length - 1) {
    size /= 1024;
    step += 1;
  }
  return `${step ? figure(size) : size.toFixed(0)} ${BYTES[step]}`;
}

function seconds(value) {
  const [size, name] = TIMES.find(([size]) => Math.abs(value) >= 2 * size) ?? [1, "s"];
  return `${figure(value / size)} ${name}`;
}

function percent(value) {
  if (value >= 99.95 && value < 100) return "> 99.9 %";
  if (value > 0 && value < 0.05) return "< 0.1 %";
  return `${value.toFixed(1)} %`;
}

const UNITS = {
  ms: (value) => (Math.abs(value) < 999.5 ? `${figure(value)} ms` : seconds(value / 1000)),
  s: seconds,
  bytes,
  percent,
  count: (value) => (Math.round(value) || 0).toLocaleString("en-US"), // there is no 0.4 of a connection
  per_second: (value) => `${figure(value)} /s`,
};

const NAMES = { ms: "ms", s: "s", bytes: "bytes", percent: "%", per_second: "per second" };

export function written(value, unit) {
  if (value === null || value === undefined) return "—";
  return (UNITS[unit] ?? figure)(value);
}

// What a chart's numbers are; counts are whole, so it is said how they became so.
export function unitName(unit, stepSeconds) {
  if (unit === "count") return `averages of ${tick(stepSeconds, "s")}, rounded`;
  return NAMES[unit] ?? unit;
}

// A tick of an axis: the same unit, without digits that a round figure does not need.
export function tick(value, unit) {
  return value === 0 ? "0" : written(value, unit).replace(/\.0+(?=\D|$)|(\.\d*?[1-9])0+(?=\D|$)/, "$1");
}

const STEPS = { bytes: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512], count: [1, 2, 5, 10] };

// The top of an axis that starts at zero and its step: at most five steps of a round size.
export function scale(top, unit) {
  if (unit === "percent" && top > 40) return { max: 100, step: 25 };
  const base = unit === "bytes" ? 1024 ** Math.max(0, Math.floor(Math.log(top || 1) / Math.log(1024))) : 1;
  const steps = STEPS[unit] ?? [1, 2, 2.5, 5, 10];
  const least = (top * 1.08) / base / 4 || 0.25;
  let size = unit === "bytes" ? 1 : 10 ** Math.floor(Math.log10(least));
  if (unit === "bytes") while (size / 2 >= least && size > 1 / 64) size /= 2;
  if (unit === "count") size = Math.max(size, 1);
  const step = base * size * (steps.find((step) => step * size >= least) ?? steps.at(-1));
  return { max: step * Math.max(1, Math.ceil((top * 1.08) / step)), step };
}
