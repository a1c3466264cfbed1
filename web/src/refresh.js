// The refresh of figures and charts: by the clock, by hand, after a change of range. Says so when it fails.

import htmx from "htmx.org";

import { localise, moment } from "./clock.js";
import { icon } from "./elements.js";
import { onRange } from "./range.js";


const KEY = "monitord.every";

const button = document.getElementById("refresh");
const every = document.getElementById("every");
const link = document.getElementById("link");
const lost = document.getElementById("lost");
const title = document.title;

let timer = 0;
let charts = null;
let lastGood = Date.now(); // when figures came, by the browser's clock
let generatedAt = generated(); // of when they are, by monitord's
let lostSince = 0;

// Unix seconds.
function generated() {
  return Number(document.querySelector("[data-generated]").dataset.generated);
}

function schedule() {
  clearTimeout(timer);
  const seconds = Number(every.value);
  if (seconds > 0) timer = setTimeout(() => refresh(false), seconds * 1000);
  if (!lostSince) setLink(seconds > 0 ? "live" : "off", seconds > 0 ? "Live" : "Refresh off");
}

function setLink(state, word) {
  link.dataset.link = state;
  link.querySelector(".link-word").textContent = word;
}

// The figures by htmx, the charts by themselves; a manual refresh also fetches charts that are not due.
export function refresh(byHand) {
  clearTimeout(timer);
  htmx.trigger(button, "refresh");
  charts.load(byHand);
}

function arrived() {
  localise();
  lastGood = Date.now();
  generatedAt = generated();
  lostSince = 0;
  lost.hidden = true;
  document.body.classList.remove("is-lost");
  const at = link.querySelector("time");
  at.dataset.unix = String(generatedAt);
  localise(link);
  writeTitle();
  charts.notice();
}

// Old figures must not look like new ones: greyed, and told how old they are.
function failed(why) {
  lostSince ||= Date.now();
  const since = moment(lostSince);
  lost.replaceChildren(icon("critical"), `${why} since ${since}. What stands here is from ${moment(generatedAt * 1000)}.`);
  lost.hidden = false;
  document.body.classList.add("is-lost");
  setLink("lost", "No answer");
  document.title = `No answer · ${title}`;
}

function writeTitle() {
  const banner = document.querySelector("[data-banner]");
  if (!banner) return; // a page without a verdict
  const count = Number(banner.dataset.problems);
  const sign = { critical: "✕", warning: "▲", unknown: "?" }[banner.dataset.banner];
  const words = count ? ` ${count} ${count === 1 ? "problem" : "problems"}` : "";
  document.title = sign ? `${sign}${words} · ${title}` : title;
}

function listen() {
  button.addEventListener("htmx:after:swap", (event) => {
    const { raw, status } = event.detail.ctx.response;
    if (raw.redirected) location.reload(); // to the login page: the session is over
    else if (status < 400) arrived(); // the event comes after an error too, with nothing swapped
  });
  button.addEventListener("htmx:response:error", (event) => {
    const { status } = event.detail.ctx.response;
    if (status === 401 || status === 403) location.reload();
    else failed(`monitord answers with status ${status}`);
  });
  button.addEventListener("htmx:error", () => failed("monitord does not answer"));
  button.addEventListener("htmx:finally:request", schedule);
  button.addEventListener("click", () => refresh(true));
}

function restoreInterval() {
  try {
    const kept = localStorage.getItem(KEY);
    if ([...every.options].some((option) => option.value === kept)) every.value = kept;
  } catch {
    // storage may be forbidden; the server's interval stands
  }
}

export function startRefresh(panels) {
  charts = panels;
  restoreInterval();
  listen();
  every.addEventListener("change", () => {
    try {
      localStorage.setItem(KEY, every.value);
    } catch {
      // as above
    }
    schedule();
  });
  onRange((name) => {
    const address = new URL(button.getAttribute("hx-get"), location.href);
    address.searchParams.set("range", name);
    button.setAttribute("hx-get", address.pathname + address.search);
    refresh(true);
  });
  // A tab that comes back shows what is now, not what was when it was left.
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && Number(every.value) > 0 && Date.now() - lastGood > Number(every.value) * 1000) refresh(false);
  });
  writeTitle();
  schedule();
}
