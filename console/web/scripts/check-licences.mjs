// Fails if a package of the lock file has a licence that the project does not accept: `npm run check:licences`.
import { readFileSync } from "node:fs";

/** Licences of packages whose code becomes part of the page. */
const SHIPPED = new Set(["0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "Zlib"]);
/** Licences of packages that only build and test the page. */
const TOOLS = new Set([...SHIPPED, "BlueOak-1.0.0", "CC-BY-4.0", "MPL-2.0", "Python-2.0", "Unlicense"]);

/** Returns whether an SPDX expression can be satisfied with accepted licences. */
function isAccepted(expression, accepted) {
  const text = expression.trim().replace(/^\((.*)\)$/, "$1");
  if (/ OR /.test(text)) {
    return text.split(" OR ").some((part) => isAccepted(part, accepted));
  }
  if (/ AND /.test(text)) {
    return text.split(" AND ").every((part) => isAccepted(part, accepted));
  }
  return accepted.has(text);
}

const lock = JSON.parse(readFileSync(new URL("../package-lock.json", import.meta.url), "utf8"));
const packages = Object.entries(lock.packages).filter(([path]) => path !== "");
const refused = packages.filter(([, { license, dev }]) => !isAccepted(license ?? "none", dev ? TOOLS : SHIPPED));
for (const [path, { version, license }] of refused) {
  console.error(`${path.replace(/^.*node_modules\//, "")} ${version}: licence ${license ?? "none"} is not accepted`);
}
const shipped = packages.filter(([, { dev }]) => !dev).length;
console.log(`${packages.length} packages, ${shipped} of them in the page: ${refused.length} with refused licences`);
if (refused.length > 0) {
  process.exit(1);
}
