// An exception as elements: what was raised, and the frames it came through, those of libraries folded.

import { element } from "../elements.js";
import { manyLines, oneLine } from "../text.js";


export function code(text, language) {
  return element("code", { "data-language": language }, text);
}

export function raised({ type, message }) {
  const name = element("b", {}, oneLine(type || "Error"));
  return element("pre", { class: "raised", "data-raised": "" }, name, message ? `: ${manyLines(message)}` : "");
}

function frame({ path = "", line = 0, function: name = "", source = "" }) {
  const made = element("li", { class: "frame" });
  made.append(element("p", {}, `File "${oneLine(path)}", line ${line}, in ${oneLine(name || "?")}`));
  if (source) made.append(element("pre", {}, code(manyLines(source.trim()), "python")));
  return made;
}

function folded(frames) {
  const words = `${frames.length} library ${frames.length === 1 ? "frame" : "frames"}`;
  const list = element("ol", { class: "frames" }, ...frames.map(frame));
  return element("li", { class: "frame foreign" }, element("details", {}, element("summary", {}, words), list));
}

// Neighbours of one kind together: [own?, frames], in their order.
function runs(frames) {
  const found = [];
  for (const each of frames) {
    const own = each.in_app ?? true;
    if (found.at(-1)?.[0] === own) found.at(-1)[1].push(each);
    else found.push([own, [each]]);
  }
  return found;
}

export function traceback(frames) {
  const parts = runs(frames).flatMap(([own, some]) => (own ? some.map(frame) : [folded(some)]));
  const title = element("h3", {}, "Traceback, most recent call last");
  return element("section", { "data-traceback": "" }, title, element("ol", { class: "frames" }, ...parts));
}
