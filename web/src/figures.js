// The behaviour of a page of figures alone: its refresh, its times, its keys. A range is another page.

import { toggleZone } from "./clock.js";
import { startKeys } from "./keys.js";
import { startPopovers } from "./popovers.js";
import { refresh, startRefresh } from "./refresh.js";
import { startZone } from "./zone.js";


startZone();
startRefresh({ load() {}, notice() {} }); // it has no charts
startPopovers();
const pick = (place) => document.querySelectorAll("[data-pick]")[place]?.click();
const ranges = Object.fromEntries([..."123456"].map((key, place) => [key, () => pick(place)]));
startKeys({
  ...ranges,
  r: () => refresh(true),
  t: toggleZone,
  "/": () => document.querySelector("main input[type=search]")?.focus(),
});
