// Fails if a package of the lock file has a known weakness of level high or critical: `npm run check:advisories`.
// Passes if the registry does not offer advisories, unless NEAP_REQUIRE_ADVISORIES is set.
import { spawnSync } from "node:child_process";

const result = spawnSync("npm", ["audit", "--audit-level=high", "--json"], { encoding: "utf8", timeout: 120_000 });
let report = {};
try {
  report = JSON.parse(result.stdout);
} catch {
  // No report: handled below.
}
const counts = report.metadata?.vulnerabilities;
if (counts === undefined) {
  console.log(`The registry does not offer advisories: ${report.message ?? report.error?.summary ?? "no answer"}`);
  process.exit(process.env.NEAP_REQUIRE_ADVISORIES ? 1 : 0);
}
const found = counts.high + counts.critical;
for (const [name, { severity, range }] of Object.entries(report.vulnerabilities)) {
  console.log(`${severity}: ${name} ${range}`);
}
console.log(`${found} weaknesses of level high or critical, ${counts.total} of all levels`);
process.exit(found > 0 ? 1 : 0);
