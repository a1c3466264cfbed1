// Details that lie over the page (lamps, problems) close on a click elsewhere and on Escape.

function closeAll(except) {
  for (const open of document.querySelectorAll("details.pop[open]")) {
    if (open !== except) open.open = false;
  }
}

export function startPopovers() {
  document.addEventListener("click", (event) => closeAll(event.target.closest("details.pop")));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const open = document.querySelector("details.pop[open]");
    if (open?.contains(document.activeElement)) open.querySelector("summary").focus();
    closeAll(null);
  });
}

export function startDialogs() {
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog || event.target.closest("[data-close]")) dialog.close();
    });
  }
}
