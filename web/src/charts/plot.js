// One plot: lines over time on a canvas. Made once, then only told what changed. Loaded when first needed,
// so it imports nothing of the page: how numbers and times are written is told by `axes`.

import { LineChart } from "echarts/charts";
import { GridComponent } from "echarts/components";
import { connect, init, use } from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";


use([LineChart, GridComponent, CanvasRenderer]);

const GROUP = "page";
const LINE = "#30363d";
const FAINT = "#21262d";
const TEXT = "#9198a1";
const FONT = getComputedStyle(document.documentElement).getPropertyValue("--figures");

// The instants of one chart are seen in all: one cross-hair through the four of them.
connect(GROUP);

function isAlone(values, place) {
  return values[place] !== null && (values[place - 1] ?? null) === null && (values[place + 1] ?? null) === null;
}

// A value between two gaps would be a line of no length, so it becomes a dot.
function points(times, values) {
  return values.map((value, place) => {
    const point = [times[place] * 1000, value];
    return isAlone(values, place) ? { value: point, symbol: "rect", symbolSize: 3 } : point;
  });
}

function line({ name, values }, look, times) {
  return {
    id: name,
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

// The limit of a value is drawn only where the value comes near it; else it would flatten the line.
function topOf(series, styles) {
  const top = (wanted) =>
    Math.max(0, ...series.flatMap(({ values }, place) => (Boolean(styles[place].limit) === wanted ? values : [])));
  const own = top(false);
  const limit = top(true);
  return own > 0 && limit > own * 4 ? own : Math.max(own, limit);
}

const FIXED = {
  animation: false,
  textStyle: { fontFamily: FONT, fontSize: 11, color: TEXT },
  grid: { left: 62, right: 14, top: 8, bottom: 22, outerBoundsMode: "none" },
  axisPointer: { triggerOn: "mousemove|click", animation: false },
};

function timeAxis(start, end, axes) {
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
        formatter: ({ value }) => axes.pointer(value, span),
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
    this.chart.group = GROUP;
    this.chart.setOption(FIXED);
    this.chart.on("updateAxisPointer", (event) => onInstant(event.axesInfo?.[0]?.value ?? null));
    this.chart.on("globalout", () => onInstant(null));
    new ResizeObserver(() => this.chart.resize()).observe(element);
  }

  // `hidden` holds the names of the series that are switched off in the legend.
  show(data, styles, hidden) {
    const seen = data.series.map((one) => ({ ...one, values: hidden.has(one.name) ? [] : one.values }));
    this.chart.setOption(
      {
        useUTC: this.axes.isUtc(),
        xAxis: timeAxis(data.start, data.end, this.axes),
        yAxis: valueAxis(topOf(seen, styles), data.unit, this.axes),
        series: seen.map((one, place) => line(one, styles[place], data.times)),
      },
      { replaceMerge: ["series"] },
    );
  }
}
