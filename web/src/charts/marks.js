// What people did in the picked range: deploys and notes, fetched once for all charts of a page.

import { oneLine } from "../text.js";


export class Marks {
  // `range` gives the picked range, `arrived` takes the marks: [{time (Unix seconds), title}].
  constructor(range, arrived) {
    this.range = range;
    this.arrived = arrived;
    this.request = null;
  }

  // Charts are right without marks, so an attempt that fails says nothing; the next one may not. Marks are
  // in the store alone: while charts come from memory they are not asked for.
  async load() {
    this.request?.abort();
    const request = new AbortController();
    this.request = request;
    try {
      const address = `${document.body.dataset.base}/api/v1/annotations?range=${this.range()}`;
      const response = await fetch(address, { signal: request.signal, headers: { Accept: "application/json" } });
      if (!response.ok) return;
      const { annotations } = await response.json();
      const marks = annotations.map(({ time, title }) => ({ time, title: oneLine(title) }));
      if (!request.signal.aborted) this.arrived(marks);
    } catch {
      // as above
    }
  }
}
