// The log as server-sent events: opens, reopens, tells lines from gaps, and never gives a line twice.

const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 15_000;

function parts(id) {
  return id.split("-").map(Number);
}

// Cursors are writer-seq-index; later lines have the larger one.
function isAfter(id, other) {
  const [left, right] = [parts(id), parts(other)];
  const place = left.findIndex((part, index) => part !== right[index]);
  return place >= 0 && left[place] > right[place];
}

export class LogStream {
  // `on` has line(entry), gap(dropped), state(name).
  constructor(address, on) {
    this.address = address;
    this.on = on;
    this.wait = FIRST_WAIT_MS;
    this.last = "";
    this.unsure = false;
  }

  // Begin anew with other filters: `query` is the address' query string.
  open(query) {
    this.query = query;
    this.last = "";
    this.unsure = false;
    this.connect();
  }

  connect() {
    clearTimeout(this.timer);
    this.source?.close();
    const source = new EventSource(`${this.address}${this.query}`);
    this.source = source;
    this.on.state("connecting");
    source.addEventListener("open", () => {
      this.wait = FIRST_WAIT_MS;
      this.on.state("live");
    });
    source.addEventListener("message", (event) => this.message(event));
    source.addEventListener("gap", (event) => {
      this.unsure = false; // the server knows, so there is no need to guess
      const { dropped } = JSON.parse(event.data);
      if (dropped === null) this.last = ""; // of another run, whose clock may have been ahead
      this.on.gap(dropped);
    });
    source.addEventListener("bye", () => this.on.state("stopped"));
    source.addEventListener("error", () => this.failed(source));
  }

  message(event) {
    const entry = JSON.parse(event.data);
    if (this.last && !isAfter(entry.id, this.last)) {
      if (entry.id === this.last) this.unsure = false;
      return;
    }
    if (this.unsure) this.on.gap(null);
    this.unsure = false;
    this.last = entry.id;
    this.on.line(entry);
  }

  // The browser reconnects by itself, telling the last id, unless the answer was a refusal.
  failed(source) {
    if (source !== this.source) return;
    this.on.state("reconnecting");
    if (source.readyState !== EventSource.CLOSED) return;
    this.unsure = this.last !== "";
    this.timer = setTimeout(() => this.connect(), this.wait * (0.5 + Math.random() / 2));
    this.wait = Math.min(this.wait * 2, LONGEST_WAIT_MS);
  }
}
