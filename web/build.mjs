// Bundles src/ into dist/: hashed names, a .br and a .gz beside each file, manifest.json, licences.

import { createHash } from "node:crypto";
import { cp, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join, parse } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";

import { build } from "esbuild";


const here = dirname(fileURLToPath(import.meta.url));
// Built beside its place and then moved there, so that a daemon that starts meanwhile finds a whole one.
const dist = join(here, "node_modules", ".dist");
const [place, former] = [join(here, "dist"), join(here, "node_modules", ".dist.old")];

// Logical name -> source. The charts are an entry of their own so that the page can preload them.
const ENTRIES = {
  "app.js": "src/app.js",
  "explorer.js": "src/explorer.js",
  "figures.js": "src/figures.js",
  "charts.js": "src/charts/plot.js",
  "app.css": "src/app.css",
};
const COPIED = ["src/favicon.svg"];
const TARGETS = ["chrome111", "firefox115", "safari16.4"];

async function bundle() {
  const result = await build({
    absWorkingDir: here,
    entryPoints: Object.entries(ENTRIES).map(([name, source]) => ({ in: source, out: parse(name).name })),
    outdir: dist,
    entryNames: "[name]-[hash]",
    chunkNames: "[name]-[hash]",
    bundle: true,
    splitting: true,
    format: "esm",
    minify: true,
    target: TARGETS,
    legalComments: "linked",
    metafile: true,
    logLevel: "warning",
  });
  const names = {};
  for (const [path, output] of Object.entries(result.metafile.outputs)) {
    const logical = Object.keys(ENTRIES).find((name) => ENTRIES[name] === output.entryPoint);
    if (logical) names[logical] = basename(path);
  }
  return names;
}

async function copyHashed(source) {
  const content = await readFile(join(here, source));
  const hash = createHash("sha256").update(content).digest("hex").slice(0, 8);
  const { base, name, ext } = parse(source);
  const hashed = `${name}-${hash}${ext}`;
  await writeFile(join(dist, hashed), content);
  return [base, hashed];
}

// The licences and notices of everything that is bundled travel with the bundle.
async function copyLicences() {
  const folder = join(dist, "licenses");
  await mkdir(folder, { recursive: true });
  for (const name of ["echarts", "zrender", "tslib", "htmx.org", "prismjs"]) {
    const files = await readdir(join(here, "node_modules", name));
    for (const file of files.filter((file) => /^(LICENSE|NOTICE)/.test(file))) {
      await cp(join(here, "node_modules", name, file), join(folder, `${name}-${file}`));
    }
  }
}

async function compress(path) {
  const content = await readFile(path);
  const brotli = await promisify(brotliCompress)(content, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
      [constants.BROTLI_PARAM_SIZE_HINT]: content.length,
    },
  });
  await writeFile(`${path}.br`, brotli);
  await writeFile(`${path}.gz`, await promisify(gzip)(content, { level: 9 }));
}

for (const folder of [dist, former]) await rm(folder, { recursive: true, force: true });
await mkdir(dist);
const manifest = await bundle();
for (const source of COPIED) {
  const [logical, name] = await copyHashed(source);
  manifest[logical] = name;
}
await copyLicences();
const files = (await readdir(dist, { withFileTypes: true })).filter((entry) => entry.isFile());
await Promise.all(files.map((file) => compress(join(dist, file.name))));
await writeFile(join(dist, "manifest.json"), `${JSON.stringify(manifest, null, 2)}\n`);
await rename(place, former).catch(() => {}); // the first build has none
await rename(dist, place);
await rm(former, { recursive: true, force: true });
