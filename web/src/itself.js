// The behaviour of the page of monitord itself: its refresh, its times, its keys.

import { toggleZone } from "./clock.js";
import { startKeys } from "./keys.js";
import { startPopovers } from "./popovers.js";
import { refresh, startRefresh } from "./refresh.js";
import { startZone } from "./zone.js";


startZone();
startRefresh({ load() {}, notice() {} }); // it has no charts
startPopovers();
startKeys({ r: () => refresh(true), t: toggleZone });
