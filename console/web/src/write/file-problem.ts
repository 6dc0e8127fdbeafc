/** Why files cannot be written: other formats, other encodings, and files without rows. */

import { BodyPreview } from "./body-preview";
import type { FileFormat } from "./file-format";
import type { FileSample } from "./infer";

/** The file cannot be written in any format. The message says what to do. */
export class FileError extends Error {}

/** What the page takes, for messages about other files. */
const TAKEN = "Write takes line protocol, CSV, JSON lines, Parquet and Arrow.";

/** A format that the page does not take, and the bytes that its files begin with. */
interface ForeignFormat {
  signature: readonly number[];
  problem: string;
}

const ZIP = `The file is a ZIP archive or a workbook such as those of Excel. Unpack it, or save the sheet as CSV. ${TAKEN}`;
const UTF16 = "The file is text in UTF-16. Save it as UTF-8, in a spreadsheet as “CSV UTF-8”.";

const FOREIGN: readonly ForeignFormat[] = [
  { signature: [0x89, ...ascii("PNG\r\n")], problem: `The file is a PNG image. ${TAKEN}` },
  { signature: [0xff, 0xd8, 0xff], problem: `The file is a JPEG image. ${TAKEN}` },
  { signature: ascii("GIF87a"), problem: `The file is a GIF image. ${TAKEN}` },
  { signature: ascii("GIF89a"), problem: `The file is a GIF image. ${TAKEN}` },
  { signature: ascii("%PDF-"), problem: `The file is a PDF document. ${TAKEN}` },
  { signature: [...ascii("PK"), 3, 4], problem: ZIP },
  { signature: [...ascii("PK"), 5, 6], problem: ZIP },
  { signature: [0x28, 0xb5, 0x2f, 0xfd], problem: "The file is compressed by zstd. Decompress it, or use gzip." },
  { signature: [0xfd, ...ascii("7zXZ"), 0], problem: "The file is compressed by xz. Decompress it, or use gzip." },
  {
    signature: ascii("SQLite format 3\0"),
    problem: `The file is a database of SQLite. Export its rows as CSV. ${TAKEN}`,
  },
  {
    signature: [0x16, 0xd1, 0x16, 0xd1],
    problem: "The file is a TSM file of InfluxDB. The command of “Import from InfluxDB” reads it.",
  },
  { signature: [0xff, 0xfe], problem: UTF16 },
  { signature: [0xfe, 0xff], problem: UTF16 },
];

function ascii(text: string): number[] {
  return [...text].map((char) => char.charCodeAt(0));
}

/** Returns why a file with these first bytes cannot be written; `undefined` if it may be writable. */
export function foreignProblem(head: Uint8Array): string | undefined {
  const found = FOREIGN.find(({ signature }) => signature.every((byte, at) => head[at] === byte));
  return found?.problem;
}

/** Returns why a text cannot be written; `undefined` if it may be writable. `text`: the start of the file. */
export function textProblem(text: string, format: FileFormat): string | undefined {
  if (text === "") {
    return "The file is empty.";
  }
  if (text.trim() === "") {
    return "The file has only blank lines.";
  }
  if (text.slice(0, 4096).includes("\0")) {
    return `The file is not text: it has zero bytes. ${TAKEN}`;
  }
  // Line protocol may have a CR in a string.
  if (format !== "lp" && !text.includes("\n") && /\r./.test(text)) {
    return "The lines of the file end with CR alone, which no format of rows allows. Save it with LF or CRLF.";
  }
  return undefined;
}

/** Returns why a file has nothing to write; `undefined` if it has rows, or if the page does not know. */
export function rowProblem(
  text: string | undefined,
  sample: FileSample | undefined,
  isWhole: boolean,
): string | undefined {
  if (!isWhole) {
    return undefined;
  }
  if (sample?.totalRows !== undefined) {
    return sample.totalRows === 0 ? "The file has no rows." : undefined;
  }
  if (sample !== undefined) {
    const isEmpty = sample.rows.length === 0 && sample.issues.length === 0;
    return isEmpty ? "The file has a header, and no rows." : undefined;
  }
  const lines = text === undefined ? 1 : new BodyPreview().preview(text, "auto", new Map()).lines;
  return lines === 0 ? "The file has only comments." : undefined;
}

/** Returns what to say about a file that cannot be read. */
export function describeProblem(error: unknown): string {
  if (error instanceof DOMException) {
    return "The browser cannot read it: it is a folder, or a file that has changed since it was chosen.";
  }
  // The browser reports bytes that are no text, and archives that are cut off, as a TypeError.
  if (error instanceof TypeError) {
    return `The file is not text in UTF-8, and has no format that Write takes. ${TAKEN}`;
  }
  return error instanceof Error ? error.message : String(error);
}

/** Returns whether another format may fit a file that cannot be read. */
export function mayHaveOtherFormat(error: unknown): boolean {
  return !(error instanceof FileError || error instanceof TypeError || error instanceof DOMException);
}
