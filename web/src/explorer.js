// Any series by name and labels, several at once. What is drawn is in the address.

import { Marks } from "./charts/marks.js";
import { onZone, toggleZone } from "./clock.js";
import { element } from "./elements.js";
import { startKeys } from "./keys.js";
import { MetricPanel } from "./metric_panel.js";
import { Question, labelled, labelsOf } from "./question.js";
import { onRange, pickNth, range, startRange } from "./range.js";
import { refusal } from "./refusal.js";
import { oneLine } from "./text.js";
import { startZone } from "./zone.js";


const TYPING_MS = 250;
const MOST_FOUND = 500;
// So many charts of an address are drawn.
const MOST_DRAWN = 12;

const found = document.getElementById("found");
const state = document.getElementById("found-state");
const drawn = document.getElementById("drawn");
const nothing = document.getElementById("nothing");
const find = document.getElementById("find");
const base = document.body.dataset.base;

const panels = new Map();

// The charts that are drawn, in the address.
function keep() {
  const address = new URL(location.href);
  address.searchParams.delete("q");
  for (const { question } of panels.values()) address.searchParams.append("q", question.text);
  history.replaceState(history.state, "", address);
}

function shown() {
  nothing.hidden = panels.size > 0;
  for (const button of found.querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(panels.has(button.dataset.key)));
  }
}

function add(question) {
  const removed = () => remove(question.key);
  const panel = new MetricPanel(question, { changed: keep, removed });
  panels.set(question.key, panel);
  drawn.append(panel.figure);
  panel.mark(marks.now);
  panel.load(true).then(loadMarks);
  shown();
  return panel;
}

// The focus goes where the next chart, or the search, is; it must not be lost.
function remove(key) {
  const { figure } = panels.get(key);
  const next = figure.nextElementSibling ?? figure.previousElementSibling;
  const focused = figure.contains(document.activeElement);
  figure.remove();
  panels.delete(key);
  if (focused) (next?.querySelector("[data-remove]") ?? find).focus();
  keep();
  shown();
}

function toggle(question, series) {
  if (panels.has(question.key)) return remove(question.key);
  add(new Question(question.name, question.labels, question.aggregate)).learn(series);
  keep();
}

// A sample of a counter is an increment: of several the sum says something.
function questionOf({ name, kind }, labels) {
  return new Question(name, labels, kind === "counter" ? "sum" : "");
}

// One entry for each metric, when it has several series, and one for each of its series.
function entries(series) {
  return [...grouped(series).values()].flatMap((some) => {
    const all = { question: questionOf(some[0]), series: some[0], note: `${some.length} series` };
    const each = some.map((one) => {
      const labels = labelsOf(one);
      return { question: questionOf(one, labels), series: one, note: labelled(labels) || "no labels" };
    });
    each.sort((a, b) => a.note.localeCompare(b.note, "en", { numeric: true }));
    return some.length > 1 ? [all, ...each] : each;
  });
}

function grouped(series) {
  const names = new Map();
  for (const one of series) names.set(one.name, [...(names.get(one.name) ?? []), one]);
  return names;
}

function entry({ question, series, note }) {
  const words = [element("b", {}, oneLine(question.name)), element("span", {}, oneLine(note))];
  const button = element("button", { type: "button", "data-key": question.key }, ...words);
  button.addEventListener("click", () => toggle(question, series));
  return element("li", {}, button);
}

async function ask(query, signal) {
  const address = `${base}/api/v1/series?${new URLSearchParams({ ...query, limit: MOST_FOUND })}`;
  const response = await fetch(address, { signal, headers: { Accept: "application/json" } });
  if (!response.ok) throw new Error(await refusal(response));
  return response.json();
}

// What is typed: words with a colon are labels; but a name may have one too, so it is looked for as well.
function queries(text) {
  const words = text.split(/\s+/).filter(Boolean);
  const labels = words.filter((word) => /^[^:,]+:[^,]+$/.test(word));
  const name = words.filter((word) => !labels.includes(word)).join(" ");
  return labels.length ? [{ name, match: labels.join(",") }, { name: text }] : [{ name: text }];
}

function merged(answers) {
  const series = new Map(answers.flatMap((one) => one.series).map((one) => [JSON.stringify([one.name, labelsOf(one), one.kind]), one]));
  return { series: [...series.values()], more: Math.max(...answers.map((one) => one.left_out)) };
}

let searching = null;
let notFound = false; // the store did not answer: it is asked again at the next refresh

async function search() {
  searching?.abort();
  const request = new AbortController();
  searching = request;
  try {
    const answers = await Promise.all(queries(find.value.trim()).map((query) => ask(query, request.signal)));
    const { series, more } = merged(answers);
    notFound = false;
    const rest = more ? `, ${more.toLocaleString("en-US")} more: narrow it down` : "";
    const none = find.value.trim() ? "No series has that in its name or labels" : "No series yet";
    state.textContent = series.length ? `${series.length.toLocaleString("en-US")} series${rest}` : none;
    found.replaceChildren(...entries(series).map(entry));
    shown();
  } catch (error) {
    if (request.signal.aborted) return;
    notFound = true;
    state.textContent = `Series are not loaded: ${error instanceof TypeError ? "monitord does not answer" : error.message}`;
  }
}

// The charts of the address. Their units are known once their series are; they are drawn before.
function restore() {
  const texts = new URL(location.href).searchParams.getAll("q").slice(0, MOST_DRAWN);
  for (const question of texts.map(Question.read)) {
    if (question && !panels.has(question.key)) learn(add(question));
  }
}

async function learn(panel) {
  const { name } = panel.question;
  try {
    const { series } = await ask({ name });
    const one = series.find((one) => one.name === name);
    if (one) panel.learn(one);
  } catch {
    // without the store: the name says the unit, or nothing does
  }
}

async function refresh(byHand) {
  if (notFound) search();
  await Promise.all([...panels.values()].map((panel) => panel.load(byHand)));
  loadMarks();
}

function loadMarks() {
  if ([...panels.values()].some(({ data }) => data?.source === "store")) marks.load();
}

const marks = new Marks(range, (now) => {
  marks.now = now;
  for (const panel of panels.values()) panel.mark(now);
});
marks.now = [];

function start() {
  let typing = 0;
  find.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(search, TYPING_MS);
  });
  startZone();
  startRange();
  onZone(() => panels.forEach((panel) => panel.draw()));
  onRange(() => {
    panels.forEach((panel) => panel.reset());
    refresh(true);
  });
  const ranges = Object.fromEntries([..."123456"].map((key, place) => [key, () => pickNth(place)]));
  startKeys({ ...ranges, r: () => refresh(true), t: toggleZone, "/": () => find.focus() });
  const seconds = Number(document.body.dataset.refresh);
  if (seconds > 0) setInterval(() => document.hidden || refresh(false), seconds * 1000);
  restore();
  shown();
  search();
}

start();
