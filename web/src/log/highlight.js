// Colours for Python and JSON: Prism finds the tokens, the elements are made here, from text.

import "./prism.js";
import Prism from "prismjs/components/prism-core.js";
import "./prism-global.js";
import "prismjs/components/prism-json.js";
import "prismjs/components/prism-python.js";


// Grammars are regular expressions: what is this long stays plain.
const LONGEST = 20_000;

function node(token) {
  if (typeof token === "string") return document.createTextNode(token);
  const content = Array.isArray(token.content) ? token.content : [token.content];
  const made = document.createElement("span");
  made.className = `token-${token.type}`;
  made.append(...content.map(node));
  return made;
}

export function highlighted(text, language) {
  const grammar = Prism.languages[language];
  if (!grammar || text.length > LONGEST) return [document.createTextNode(text)];
  return Prism.tokenize(text, grammar).map(node);
}
