// The picked range: in the address, so that a link shows what its sender saw.

const listeners = new Set();

export function range() {
  return document.body.dataset.range;
}

export function onRange(listener) {
  listeners.add(listener);
}

function links() {
  return [...document.querySelectorAll("[data-pick]")];
}

function show(name) {
  document.body.dataset.range = name;
  for (const link of links()) {
    if (link.dataset.pick === name) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  for (const listener of listeners) listener(name);
}

export function pick(name) {
  if (name === range()) return;
  const address = new URL(location.href);
  address.searchParams.set("range", name);
  history.pushState(null, "", address);
  show(name);
}

export function pickNth(place) {
  const link = links()[place];
  if (link) pick(link.dataset.pick);
}

export function startRange() {
  const first = range();
  document.querySelector(".ranges").addEventListener("click", (event) => {
    const link = event.target.closest("[data-pick]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    pick(link.dataset.pick);
  });
  addEventListener("popstate", () => {
    const asked = new URL(location.href).searchParams.get("range") ?? first;
    if (asked !== range() && links().some((link) => link.dataset.pick === asked)) show(asked);
  });
}
