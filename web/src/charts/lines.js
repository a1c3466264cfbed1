// The look of each line. None of the three colours of state is used, and each line has a dash of its own.

const BLUE = "#58a6ff";
const PALE = "#a5d6ff";
const DEEP = "#388bfd";
const GREY = "#8b949e";
const VIOLET = "#bc8cff";
const TEAL = "#39c5cf";
const ROSE = "#ff9bce";
const SAND = "#e3b78f";

const KNOWN = {
  avg: { colour: GREY, dash: [4, 3], width: 1.25 },
  average: { colour: GREY, dash: [4, 3], width: 1.25 },
  p50: { colour: DEEP, dash: [], width: 1.5 },
  p95: { colour: VIOLET, dash: [], width: 1.5 },
  p99: { colour: ROSE, dash: [2, 2], width: 1.25 },
  used: { colour: BLUE, dash: [], width: 1.5, area: true },
  maximum: { colour: GREY, dash: [6, 4], width: 1.25, limit: true },
  max: { colour: GREY, dash: [6, 4], width: 1.25, limit: true },
  active: { colour: BLUE, dash: [], width: 1.5, area: true },
  idle: { colour: VIOLET, dash: [], width: 1.25 },
  available: { colour: GREY, dash: [4, 3], width: 1.25, limit: true },
  cpu: { colour: BLUE, dash: [], width: 1.5, area: true },
  memory: { colour: VIOLET, dash: [], width: 1.5 },
  disk: { colour: GREY, dash: [4, 3], width: 1.25 },
  swap: { colour: ROSE, dash: [2, 2], width: 1.25 },
};

const PLAIN = { colour: BLUE, dash: [], width: 1.5 };

const FURTHER = [
  { colour: TEAL, dash: [], width: 1.5 },
  { colour: SAND, dash: [], width: 1.5 },
  { colour: BLUE, dash: [6, 3], width: 1.5 },
  { colour: ROSE, dash: [6, 3], width: 1.5 },
  { colour: PALE, dash: [2, 2], width: 1.5 },
];

// One look per series of a chart whose names mean nothing: the first the calmest, then each its own.
export function further(series) {
  const all = [PLAIN, ...FURTHER];
  return series.map((_, place) => all[place % all.length]);
}

// One look per series of a chart; the same words of a second target get a further look.
export function looks(series) {
  const taken = new Set();
  let further = 0;
  return series.map(({ name }) => {
    const word = name.toLowerCase().split(/[^a-z0-9]+/).find((part) => part in KNOWN);
    if (word && !taken.has(word)) {
      taken.add(word);
      return KNOWN[word];
    }
    return FURTHER[further++ % FURTHER.length];
  });
}
