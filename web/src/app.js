// The page's own behaviour: puts the parts together.

import { Charts } from "./charts/panels.js";
import { toggleZone } from "./clock.js";
import { startExact } from "./exact.js";
import { startKeys } from "./keys.js";
import { startLog } from "./log/log.js";
import { startDialogs, startPopovers } from "./popovers.js";
import { pickNth, startRange } from "./range.js";
import { refresh, startRefresh } from "./refresh.js";
import { startZone } from "./zone.js";


function start() {
  const charts = new Charts();
  startZone();
  startRange();
  startRefresh(charts);
  startPopovers();
  startDialogs();
  startExact();
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
