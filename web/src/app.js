// The page's own behaviour: puts the parts together.

import { Charts } from "./charts/panels.js";
import { localise, onZone, toggleZone, zoneName } from "./clock.js";
import { startKeys } from "./keys.js";
import { startLog } from "./log/log.js";
import { startDialogs, startPopovers } from "./popovers.js";
import { pickNth, startRange } from "./range.js";
import { refresh, startRefresh } from "./refresh.js";


function startZone() {
  const name = document.querySelector("[data-zone]");
  const show = () => {
    name.textContent = zoneName();
    localise();
  };
  document.getElementById("zone").addEventListener("click", toggleZone);
  onZone(show);
  show();
}

function start() {
  const charts = new Charts();
  startZone();
  startRange();
  startRefresh(charts);
  startPopovers();
  startDialogs();
  const log = startLog();
  const help = () => document.getElementById("keys").showModal();
  document.getElementById("help").addEventListener("click", help);
  const ranges = Object.fromEntries([..."123456"].map((key, place) => [key, () => pickNth(place)]));
  startKeys({
    ...ranges,
    r: () => refresh(true),
    t: toggleZone,
    p: log.togglePause,
    "/": log.focusFilter,
    "?": help,
  });
  charts.load(true);
}

start();
