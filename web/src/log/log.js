// The log panel: stream, filters, pause, and what its controls say.

import { openLine } from "./drawer.js";
import { Empty } from "./empty.js";
import { gapElement, lineElement } from "./line.js";
import { LogStream } from "./stream.js";
import { Tail } from "./tail.js";


const TYPING_MS = 300;
const WORDS = {
  connecting: "Connecting",
  live: "Live",
  stopped: "monitord stopped",
  reconnecting: "Connection lost, reconnecting",
};

const panel = document.getElementById("log");
const list = panel.querySelector("[data-log]");
const stateText = panel.querySelector("[data-log-state]");
const empty = new Empty(panel.querySelector("[data-log-empty]"));
const level = document.getElementById("log-level");
const text = document.getElementById("log-text");
const pauseButton = document.getElementById("log-pause");
const newest = document.getElementById("log-newest");

const USUAL_LEVEL = level.value;

// Lines the page did not get since it opened the stream; the mark in the list scrolls away.
let dropped = 0;

// Element -> the entry it shows; an entry goes with its element.
const entries = new WeakMap();
const tail = new Tail(list, show);
const base = document.body.dataset.base;
const stream = new LogStream(`${base}/api/monitoring/advanced/logs/stream`, {
  line: (entry) => tail.push(() => made(entry)),
  gap: (count) => {
    dropped += count ?? 0;
    tail.push(() => gapElement(count));
  },
  state: (name) => {
    panel.dataset.state = name;
    show();
  },
});

function made(entry) {
  const line = lineElement(entry);
  entries.set(line, entry);
  return line;
}

function lines(count) {
  return `${count.toLocaleString("en-US")} new ${count === 1 ? "line" : "lines"}`;
}

function show() {
  const { held, paused, following, walked } = tail;
  const word = WORDS[panel.dataset.state];
  const waiting = held ? `, ${lines(held)}` : "";
  const lost = dropped ? `, ${dropped.toLocaleString("en-US")} dropped` : "";
  const said = (panel.dataset.state === "live" && paused ? `Paused${waiting}` : word) + lost;
  if (stateText.textContent !== said) stateText.textContent = said;
  panel.toggleAttribute("data-paused", paused);
  pauseButton.setAttribute("aria-pressed", String(paused));
  newest.hidden = paused || (following && !(walked && held));
  newest.querySelector("[data-count]").textContent = held ? lines(held) : "Newest";
  const nothing = list.childElementCount === 0 && !held;
  empty.show(nothing, panel.dataset.state === "live", { query: asked(), stored: `${base}/api/v1/logs`, clear: () => search("", USUAL_LEVEL) });
}

function asked() {
  const query = new URLSearchParams();
  if (level.value) query.set("level", level.value);
  if (text.value.trim()) query.set("text", text.value.trim());
  return query;
}

function reopen() {
  const query = asked();
  dropped = 0;
  tail.clear();
  stream.open(query.size ? `?${query}` : "");
}

// By a text alone unless told otherwise: of a trace every line is wanted.
function search(words, least = "") {
  text.value = words;
  level.value = least;
  reopen();
}

function togglePause() {
  if (tail.paused) tail.follow();
  else tail.pause();
}

// Up and down walk the lines, Enter opens one.
function walk(event) {
  const line = event.target.closest(".line");
  if (event.key === "Enter" && line) openLine(entries.get(line), search);
  const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
  if (!step) return;
  event.preventDefault();
  let next = line ? line[step] : list.lastElementChild;
  while (next && !next.classList.contains("line")) next = next[step];
  next?.focus();
}

export function startLog() {
  let typing = 0;
  level.addEventListener("change", reopen);
  text.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(reopen, TYPING_MS);
  });
  pauseButton.addEventListener("click", togglePause);
  newest.addEventListener("click", () => tail.follow());
  list.addEventListener("keydown", walk);
  list.addEventListener("click", (event) => {
    const line = event.target.closest(".line");
    if (line && !String(getSelection())) openLine(entries.get(line), search);
  });
  reopen();
  return { togglePause, focusFilter: () => text.focus() };
}
