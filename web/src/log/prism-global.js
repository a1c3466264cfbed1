// The grammars that follow add themselves to this one.

import Prism from "prismjs/components/prism-core.js";


globalThis.Prism = Prism;
