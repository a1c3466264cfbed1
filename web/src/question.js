// What a chart of the explorer asks for, and how the address has it: `name{label:value,…}@aggregate`.

const SIGNS = /[%{},:@]/g;
const FORM = /^([^{}@]+)(?:\{([^{}]*)\})?(?:@(\w+))?$/;
// What the API takes at once; the answer is looked through for the others.
const ASKED_CHARACTERS = 400;

// A sign of the form that is part of a name is written as in an address: `%2C`.
const packed = (text) => text.replace(SIGNS, encodeURIComponent);

function unpacked(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // typed by hand: 100% is what it says
  }
}

// Labels as people read them, in the same order everywhere.
export function labelled(labels) {
  return Object.entries(labels).sort().map((pair) => pair.join(":")).join(", ");
}

// The labels of a series; the service that pushed it is one of them, as the API has it.
export function labelsOf({ attributes, service }) {
  return service ? { service, ...attributes } : attributes;
}

export class Question {
  constructor(name, labels = {}, aggregate = "") {
    Object.assign(this, { name, labels, aggregate });
  }

  // Null for a text that is none.
  static read(text) {
    const [, name, labels, aggregate] = FORM.exec(text) ?? [];
    if (!name) return null;
    const pairs = (labels || "").split(",").filter(Boolean).map((pair) => {
      const colon = pair.indexOf(":");
      return colon < 0 ? [pair, ""] : [pair.slice(0, colon), pair.slice(colon + 1)];
    });
    const found = pairs.map(([label, value]) => [unpacked(label), unpacked(value)]);
    return new Question(unpacked(name), Object.fromEntries(found), aggregate);
  }

  // The same for the same series, whatever is asked of their samples.
  get key() {
    const pairs = Object.entries(this.labels).sort().map((pair) => pair.map(packed).join(":"));
    return packed(this.name) + (pairs.length ? `{${pairs.join(",")}}` : "");
  }

  get text() {
    return this.key + (this.aggregate ? `@${this.aggregate}` : "");
  }

  // The labels the API has a form for: it splits at commas, and at the first colon of each part.
  get asked() {
    const plain = Object.entries(this.labels).filter(([name, value]) => !/[,:]/.test(name) && !value.includes(","));
    let length = 0;
    const taken = plain.filter((pair) => (length += pair.join(":").length + 1) <= ASKED_CHARACTERS);
    return taken.map((pair) => pair.join(":")).join(",");
  }

  holds(attributes) {
    return Object.entries(this.labels).every(([name, value]) => attributes[name] === value);
  }
}
