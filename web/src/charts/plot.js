// One plot: lines over time on a canvas. Made once, then only told what changed. Loaded when first needed,
// so it imports nothing of the page: how numbers and times are written is told by `axes`.

import { LineChart } from "echarts/charts";
import { GridComponent, MarkLineComponent } from "echarts/components";
import { init, use } from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";


use([LineChart, GridComponent, MarkLineComponent, CanvasRenderer]);

const LINE = "#30363d";
const FAINT = "#21262d";
const TEXT = "#9198a1";
const FONT = getComputedStyle(document.documentElement).getPropertyValue("--figures");

const plots = new Set();
let following = false;

// The instant of one plot is seen in all. (ECharts' own `connect` loses it where there are no data.)
function followed(leader, at) {
  if (following) return;
  following = true;
  for (const plot of plots) {
    if (plot !== leader) plot.point(at);
  }
  following = false;
}

// So few values between two gaps are a line too short to be seen: each becomes a dot.
const FEW = 3;

function points(times, values) {
  const made = values.map((value, place) => [times[place] * 1000, value]);
  let begin = 0;
  for (let place = 0; place <= values.length; place += 1) {
    if ((values[place] ?? null) !== null) continue;
    if (place - begin <= FEW) {
      for (let few = begin; few < place; few += 1) {
        made[few] = { value: made[few], symbol: "rect", symbolSize: 3 };
      }
    }
    begin = place + 1;
  }
  return made;
}

// Two series may have the same name; an id tells them apart.
function line({ name, values }, place, look, times) {
  return {
    id: String(place),
    name,
    type: "line",
    data: points(times, values),
    connectNulls: false,
    symbol: "none",
    silent: true,
    emphasis: { disabled: true },
    lineStyle: { color: look.colour, width: look.width, type: look.dash.length ? look.dash : "solid" },
    itemStyle: { color: look.colour },
    areaStyle: look.area ? { color: look.colour, opacity: 0.1 } : { opacity: 0 },
    z: look.limit ? 2 : 3,
  };
}

// More names than these would lie upon one another, and so would those nearer than so many pixels.
const NAMED_MARKS = 6;
const NAME_PX = 96;
const NAME_CHARACTERS = 14;
// At the instant of a mark, or so near, its whole name stands at the cross-hair.
const NEAR_MARK_PX = 4;
const WHOLE_CHARACTERS = 60;

const short = (name, most) => (name.length > most ? `${name.slice(0, most - 1)}…` : name);

// A name stands beside its line: on the right, or on the left where the plot ends; none without room.
function markLabel(time, before, next, plot) {
  const left = (plot.end - time) * plot.perSecond < NAME_PX;
  const room = left ? time - before : next - time;
  return { show: room * plot.perSecond >= NAME_PX, align: left ? "right" : "left", distance: [left ? 4 : -4, 0] };
}

// What people did, as lines from top to bottom, on a series of their own.
function marked(marks, plot) {
  const seen = marks.filter(({ time }) => time >= plot.start && time <= plot.end).sort((a, b) => a.time - b.time);
  const named = seen.length <= NAMED_MARKS;
  const data = seen.map(({ time, title }, place) => {
    const label = markLabel(time, seen[place - 1]?.time ?? plot.start, seen[place + 1]?.time ?? Infinity, plot);
    return { xAxis: time * 1000, name: title, label: { ...label, show: named && label.show } };
  });
  return {
    id: "marks",
    type: "line",
    data: [],
    silent: true,
    markLine: {
      animation: false,
      silent: true,
      symbol: "none",
      label: {
        position: "insideEnd",
        rotate: 0,
        verticalAlign: "top",
        color: TEXT,
        fontSize: 10,
        formatter: ({ name }) => short(name, NAME_CHARACTERS),
      },
      lineStyle: { color: "#6e7681", type: [2, 2], width: 1 },
      data,
    },
  };
}

const largest = (lists) => Math.max(0, ...lists.flat());

// The limit of a value is drawn only where the value comes near it; else it would flatten the line.
function topOf(series, styles) {
  const own = largest(series.filter((_, place) => !styles[place].limit).map(({ values }) => values));
  const all = largest(series.map(({ values }) => values));
  return own > 0 && all > own * 4 ? own : all;
}

function liesAbove(values, top) {
  const known = values.filter((value) => value !== null);
  return known.length > 0 && Math.min(...known) > top;
}

const FIXED = {
  animation: false,
  textStyle: { fontFamily: FONT, fontSize: 11, color: TEXT },
  grid: { left: 62, right: 22, top: 8, bottom: 22, outerBoundsMode: "none" },
  axisPointer: { triggerOn: "mousemove|click", animation: false },
};

// `nameAt` gives what people did at an instant, or "".
function timeAxis(start, end, axes, nameAt) {
  const span = (end - start) * 1000;
  return {
    type: "time",
    min: start * 1000,
    max: end * 1000,
    splitNumber: 6,
    axisLine: { lineStyle: { color: LINE } },
    axisTick: { show: true, length: 4, lineStyle: { color: LINE } },
    splitLine: { show: true, lineStyle: { color: FAINT } },
    axisLabel: { color: TEXT, fontSize: 11, hideOverlap: true, margin: 7, formatter: (at) => axes.label(at, span) },
    axisPointer: {
      show: true,
      type: "line",
      snap: false,
      lineStyle: { color: "#6e7681", type: "solid", width: 1 },
      label: {
        show: true,
        backgroundColor: "#30363d",
        borderRadius: 0,
        color: "#e6edf3",
        fontSize: 11,
        padding: [3, 5],
        margin: 4,
        formatter: ({ value }) => [axes.pointer(value, span), nameAt(value)].filter(Boolean).join("  "),
      },
    },
  };
}

function valueAxis(top, unit, axes) {
  const { max, step } = axes.scale(top, unit);
  return {
    type: "value",
    min: 0,
    max,
    interval: step,
    axisLine: { show: false },
    axisTick: { show: false },
    splitLine: { show: true, lineStyle: { color: FAINT } },
    axisLabel: { show: top > 0, color: TEXT, fontSize: 11, formatter: (value) => axes.tick(value, unit) },
  };
}

export class Plot {
  constructor(element, axes, onInstant) {
    this.axes = axes;
    this.chart = init(element, null, { renderer: "canvas" });
    this.chart.setOption(FIXED);
    this.chart.on("updateAxisPointer", ({ axesInfo }) => {
      const at = axesInfo?.[0]?.value ?? null;
      onInstant(at);
      followed(this, at);
    });
    plots.add(this);
    new ResizeObserver(() => this.chart.resize()).observe(element);
  }

  // Put the cross-hair at an instant (Unix ms), or take it away (null).
  point(at) {
    const place = at === null ? { currTrigger: "leave" } : { x: this.chart.convertToPixel({ xAxisIndex: 0 }, at), y: 20 };
    this.chart.dispatchAction({ type: "updateAxisPointer", ...place });
  }

  nameAt(at, marks, perSecond) {
    const found = marks.filter(({ time }) => Math.abs(time - at / 1000) * perSecond <= NEAR_MARK_PX);
    return short(found.map(({ title }) => title).join(", "), WHOLE_CHARACTERS);
  }

  // `hidden` holds the names of the series that are switched off in the legend. Returns the names
  // of those that lie above the scale.
  show(data, styles, hidden, marks = []) {
    const seen = data.series.map((one) => ({ ...one, values: hidden.has(one.name) ? [] : one.values }));
    const perSecond = (this.chart.getWidth() - FIXED.grid.left - FIXED.grid.right) / (data.end - data.start);
    const yAxis = valueAxis(topOf(seen, styles), data.unit, this.axes);
    this.chart.setOption(
      {
        useUTC: this.axes.isUtc(),
        xAxis: timeAxis(data.start, data.end, this.axes, (at) => this.nameAt(at, marks, perSecond)),
        yAxis,
        series: [...seen.map((one, place) => line(one, place, styles[place], data.times)), marked(marks, { ...data, perSecond })],
      },
      { replaceMerge: ["series"] },
    );
    return new Set(seen.filter(({ values }) => liesAbove(values, yAxis.max)).map(({ name }) => name));
  }
}
