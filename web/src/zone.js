// The button that says in which zone the times are, and changes it.

import { localise, onZone, toggleZone, zoneName } from "./clock.js";


export function startZone() {
  const name = document.querySelector("[data-zone]");
  const show = () => {
    name.textContent = zoneName();
    localise();
  };
  document.getElementById("zone").addEventListener("click", toggleZone);
  onZone(show);
  show();
}
