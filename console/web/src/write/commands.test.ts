import { expect, test } from "vitest";
import { formatBytes } from "../api/format-value";
import { BodyPreview } from "./body-preview";
import { type ImportChoice, importCommand, shellQuote } from "./import-command";
import { databaseNameError, fileName, tableOfFile } from "./names";
import { rowCount, SAMPLE_SETS, sampleBlob } from "./samples";

const CHOICE: ImportChoice = {
  source: "running1",
  place: "http://old:8086",
  tokenFile: "source-token.txt",
  sourceDatabase: "my home",
  measurement: "",
  start: "",
  end: "",
  conflict: "suffix",
  into: "",
};

test("the command of a running server names files instead of secrets", () => {
  expect(importCommand(CHOICE, "http://127.0.0.1:8181", true, true)).toBe(
    [
      'export NEAP_AUTH_TOKEN="$(cat neap-token.txt)"',
      "neap import influxdb \\",
      "    --from http://old:8086 \\",
      "    --source-token-file source-token.txt \\",
      "    --source-database 'my home' \\",
      "    --conflict suffix \\",
      "    --host http://127.0.0.1:8181 \\",
      "    --dry-run",
    ].join("\n"),
  );
});

test("the command of an export names a database, and no parts", () => {
  const command = importCommand({ ...CHOICE, source: "lines", place: "a b.lp" }, "http://h", false, false);
  expect(command).toBe("neap import influxdb \\\n    --lp 'a b.lp' \\\n    --into home \\\n    --host http://h");
});

test("words are quoted for a shell", () => {
  expect(shellQuote("a-b_c/1.2")).toBe("a-b_c/1.2");
  expect(shellQuote("it's; rm -rf")).toBe("'it'\\''s; rm -rf'");
  expect(shellQuote("")).toBe("''");
});

test("names of databases are checked as the server does", () => {
  for (const name of ["home", "home/weekly", "1-a_B"]) {
    expect(databaseNameError(name)).toBeUndefined();
  }
  for (const name of ["", "-a", "a b", "a/", "a/b/c", "ü", "_internal", "x".repeat(512)]) {
    expect(databaseNameError(name), name).toBeDefined();
  }
});

test("names of files become names of tables and of downloads", () => {
  expect(tableOfFile("Measured values.2026.csv.gz")).toBe("Measured_values_2026");
  expect(fileName("../../etc/<passwd>\u0000")).toBe("_.._etc_passwd_");
  expect(formatBytes(1536)).toBe("1.5 KiB");
});

test.each(SAMPLE_SETS)("the sample set $id can be stored, and is the same each time", async (set) => {
  const text = await sampleBlob({ ...set, spanS: set.stepS * 50 }, 1_760_000_000).text();
  const preview = new BodyPreview().preview(text, "s", new Map());
  expect(preview.issues).toEqual([]);
  expect(preview.rows).toBe(50 * set.rowsPerStep);
  expect(preview.tables.map(({ name }) => name)).toEqual(set.tables);
  expect(rowCount(set)).toBeGreaterThan(10_000);
  expect(await sampleBlob({ ...set, spanS: set.stepS * 50 }, 1_760_000_000).text()).toBe(text);
});
