/** A database whose names and values try to be something else: markup, script, SQL, formulas, and very long texts. */
import type { Server } from "./server";

/** The name of the database. Names of databases are letters, digits, `_` and `-`; `constructor` is the worst of them. */
export const HOSTILE_DATABASE = "constructor";

/** Texts that do harm where they are not treated as texts. */
export const HOSTILE_TEXTS: readonly string[] = [
  "<img src=x onerror=alert(1)>",
  "<script>alert(1)</script>",
  '"><svg onload=alert(1)>',
  "</style><style>*{display:none}</style>",
  "'; DROP TABLE soil; --",
  'x" OR 1=1 --',
  "javascript:alert(1)",
  `${"$"}{alert(1)}{{alert(1)}}`,
  "http://127.0.0.1:9/leak.png",
  "🌱👩‍👩‍👧‍👦",
  "\u202eשלום עולם مرحبا بالعالم",
  "=HYPERLINK(A1)",
  "__proto__",
  "a\\b/c?d#e%20&f",
];

/** The size of the longest names and values, in characters. */
const LONG = 60 * 1024;

/** Fills the database: a table, a tag and a field for each text, and a table with long values, columns and a long name. */
export async function writeHostileRows(server: Server): Promise<void> {
  // Recent rows, so that dashboards show them.
  const nowMs = Date.now();
  const lines = HOSTILE_TEXTS.map((text, index) => {
    const name = escapeName(text);
    const tags = `${name}=${name},kind=${name}`;
    const fields = `${escapeName(`f ${text}`)}="${escapeText(text)}",number=${index}.5`;
    return `${escapeTable(text)},${tags} ${fields} ${nowMs - index * 1_000}000000`;
  });
  await server.write(HOSTILE_DATABASE, lines.join("\n"));
  const long = "L".repeat(LONG);
  // Words without a space are the hardest to break; text with spaces and line breaks is the easiest to lose.
  const prose = "a word and another one ".repeat(LONG / 23);
  await server.write(HOSTILE_DATABASE, `long,tag=${long} text="${prose}",other="${long}"`);
  await server.write(HOSTILE_DATABASE, `${long} value=1\nlong ${"C".repeat(LONG)}=1`);
}

function escapeTable(text: string): string {
  return text.replace(/([\\, ])/g, "\\$1");
}

function escapeName(text: string): string {
  return text.replace(/([\\, =])/g, "\\$1");
}

function escapeText(text: string): string {
  return text.replace(/(["\\])/g, "\\$1");
}
