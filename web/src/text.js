// Text from outside, made visible: nothing in it may move the cursor, turn the line or hide.

const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

const ESCAPES = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

// As a programmer would type it: fonts have no sign for most of these.
function shown(character) {
  const code = character.charCodeAt(0).toString(16);
  return ESCAPES[character] ?? (code.length > 2 ? `\\u${code.padStart(4, "0")}` : `\\x${code.padStart(2, "0")}`);
}

// One line: also its line breaks and tabs become visible.
export function oneLine(text) {
  return String(text).replace(HIDDEN, shown);
}

// Several lines: line breaks and tabs stay what they are.
export function manyLines(text) {
  return String(text)
    .replaceAll("\r\n", "\n")
    .replace(HIDDEN, (character) => (character === "\n" || character === "\t" ? character : shown(character)));
}
