// The exact figures of the last 5 minutes: fetched whenever their panel is opened, never by the clock.

import htmx from "htmx.org";

import { localise } from "./clock.js";
import { element } from "./elements.js";


export function startExact() {
  const details = document.getElementById("exact");
  const body = details.querySelector("[data-exact]");
  const waiting = [...body.children];
  const say = (why) => body.replaceChildren(element("p", { role: "status" }, why));

  details.addEventListener("toggle", () => {
    if (!details.open) return;
    body.replaceChildren(...waiting); // old figures must not look like new ones
    htmx.trigger(body, "exact");
  });
  body.addEventListener("htmx:after:swap", (event) => {
    const { raw, status } = event.detail.ctx.response;
    if (raw.redirected) location.reload(); // to the login page: the session is over
    else if (status < 400) localise(body);
  });
  body.addEventListener("htmx:response:error", (event) => {
    const { status } = event.detail.ctx.response;
    if (status === 401 || status === 403) location.reload();
    else say(`monitord answers with status ${status}; open this again to try once more.`);
  });
  body.addEventListener("htmx:error", () => say("monitord does not answer; open this again to try once more."));
}
