// Prism without its habit of highlighting the whole page; its grammars look for it on the window.

globalThis.Prism = { manual: true };
