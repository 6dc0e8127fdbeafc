// Fails if the built page is larger than a visitor should have to load: `npm run check:size`, after `npm run build`.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

/** The limit of all files together, in compressed bytes. */
const LIMIT_BYTES = 350 * 1024;

const dist = fileURLToPath(new URL("../dist/", import.meta.url));

function filesOf(folder) {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? filesOf(path) : [path];
  });
}

const files = filesOf(dist)
  .map((path) => ({ name: relative(dist, path), bytes: gzipSync(readFileSync(path), { level: 9 }).length }))
  .sort((left, right) => right.bytes - left.bytes);
const total = files.reduce((sum, file) => sum + file.bytes, 0);
for (const { name, bytes } of files) {
  console.log(`${String(bytes).padStart(8)}  ${name}`);
}
console.log(`${String(total).padStart(8)}  all files, compressed, of ${LIMIT_BYTES} allowed bytes`);
if (total > LIMIT_BYTES) {
  console.error(`The page is ${total - LIMIT_BYTES} bytes too large.`);
  process.exit(1);
}
