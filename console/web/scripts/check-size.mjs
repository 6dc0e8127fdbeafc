// Fails if the built page is larger than a visitor should have to load: `npm run check:size`, after `npm run build`.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

/** The limits in compressed bytes: of what is loaded until the editor is shown, of the first view, and of all files together. */
const EDITOR_BYTES = 184 * 1024;
const FIRST_VIEW_BYTES = 320 * 1024;
const ALL_BYTES = 420 * 1024;

/** The names of the modules that are loaded until the editor is shown, and those of the first view, without what they import. */
const EDITOR = ["index", "first-view", "explore-view", "query-editor"];
const FIRST_VIEW = [...EDITOR, "editor-extras", "query-language", "arrow-table"];

const dist = fileURLToPath(new URL("../dist/", import.meta.url));

function filesOf(folder) {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? filesOf(path) : [path];
  });
}

/** Returns the page and the files of some modules: their code, their styles, and all that they import at once. */
function withImports(files, modules) {
  const found = new Set(files.filter(({ name }) => name === "index.html"));
  for (const module of modules) {
    const parts = files.filter(({ name }) => name.split("/").pop().startsWith(`${module}-`));
    if (parts.length === 0) {
      throw new Error(`The page has no module ${module}.`);
    }
    for (const part of parts) {
      found.add(part);
    }
  }
  for (const { text } of found) {
    for (const [, imported] of text.matchAll(/(?:from|import)\s*"\.\/([^"]+)"/g)) {
      found.add(files.find(({ name }) => name.endsWith(`/${imported}`)));
    }
  }
  return [...found];
}

const files = filesOf(dist)
  .map((path) => {
    const content = readFileSync(path);
    const bytes = gzipSync(content, { level: 9 }).length;
    return { name: relative(dist, path), text: content.toString(), bytes };
  })
  .sort((left, right) => right.bytes - left.bytes);

function check(title, part, limit) {
  const total = part.reduce((sum, file) => sum + file.bytes, 0);
  console.log(`${String(total).padStart(8)}  ${title}, compressed, of ${limit} allowed bytes`);
  if (total > limit) {
    console.error(`${title}: ${total - limit} bytes too large.`);
    process.exitCode = 1;
  }
}

for (const { name, bytes } of files) {
  console.log(`${String(bytes).padStart(8)}  ${name}`);
}
check("until the editor is shown", withImports(files, EDITOR), EDITOR_BYTES);
check("first view", withImports(files, FIRST_VIEW), FIRST_VIEW_BYTES);
check("all files", files, ALL_BYTES);
