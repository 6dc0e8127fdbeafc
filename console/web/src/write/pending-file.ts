/** A file that the user has chosen and not written yet. */

import { BodyPreview, type ExistingTables, type Preview } from "./body-preview";
import { detectFormat, type FileFormat, FORMAT_NAMES } from "./file-format";
import { FileError, foreignProblem, rowProblem, textProblem } from "./file-problem";
import { type FileSample, sampleCsv, sampleJsonLines } from "./infer";
import { openParquet, sampleOf } from "./parquet";
import { LineProtocolCutter } from "./records";

/** A file, or a pasted text that is treated as one. */
export interface PendingFile {
  id: number;
  name: string;
  blob: Blob;
}

let nextId = 1;

/** Makes a pending file. */
export function pendingFile(name: string, blob: Blob): PendingFile {
  const id = nextId;
  nextId += 1;
  return { id, name, blob };
}

/** Returns the files of a drop, or its text as a file. */
export function droppedFiles(data: DataTransfer | null): PendingFile[] {
  const files = [...(data?.files ?? [])].map((file) => pendingFile(file.name, file));
  const text = data?.getData("text/plain") ?? "";
  if (files.length === 0 && text !== "") {
    return [pendingFile("dropped text", new Blob([text]))];
  }
  return files;
}

/** What is known of a file before it is written. */
export interface Inspection {
  format: FileFormat;
  isGzip: boolean;
  /** The columns of files other than line protocol. */
  sample: FileSample | undefined;
  /** The start of the file, for line protocol. */
  text: string | undefined;
  /** Whether the sample is the whole file. */
  isWhole: boolean;
  /** Why there is nothing to write; `undefined` if there is, or if the page does not know. */
  problem: string | undefined;
}

/** The bytes at the start of a file from which it is previewed. */
const SAMPLE_BYTES = 512 << 10;

/** The bytes from which the format of a file is detected. */
const HEAD_BYTES = 4096;

/**
 * Reads the start of a file. `format`: the choice of the user. Throws `FileError` if no format fits, and other errors
 * if the file cannot be read in this format.
 */
export async function inspect(file: PendingFile, format?: FileFormat): Promise<Inspection> {
  const head = new Uint8Array(await file.blob.slice(0, HEAD_BYTES).arrayBuffer());
  refuse(head.length === 0 ? "The file is empty." : foreignProblem(head));
  const detected = detectFormat(file.name, head);
  const chosen = format ?? detected.format;
  const { isGzip } = detected;
  const isBinary = chosen === "arrow" || chosen === "parquet";
  if (isBinary && isGzip) {
    throw new FileError(`${FORMAT_NAMES[chosen]} inside gzip cannot be written. Decompress the file first.`);
  }
  if (chosen === "arrow") {
    return { format: chosen, isGzip, sample: undefined, text: undefined, isWhole: false, problem: undefined };
  }
  if (chosen === "parquet") {
    const sample = sampleOf(await openParquet(file.blob));
    const problem = rowProblem(undefined, sample, true);
    return { format: chosen, isGzip, sample, text: undefined, isWhole: true, problem };
  }
  return inspectText(file.blob, isGzip, chosen);
}

async function inspectText(blob: Blob, isGzip: boolean, format: "lp" | "csv" | "jsonl"): Promise<Inspection> {
  const { text, isWhole } = await startOf(blob, isGzip);
  refuse(textProblem(text, format));
  const sample =
    format === "csv" ? sampleCsv(text, isWhole) : format === "jsonl" ? sampleJsonLines(text, isWhole) : undefined;
  const own = format === "lp" ? text : undefined;
  return { format, isGzip, sample, text: own, isWhole, problem: rowProblem(own, sample, isWhole) };
}

function refuse(problem: string | undefined): void {
  if (problem !== undefined) {
    throw new FileError(problem);
  }
}

async function startOf(blob: Blob, isGzip: boolean): Promise<{ text: string; isWhole: boolean }> {
  const stream = blob.stream() as ReadableStream<Uint8Array<ArrayBuffer>>;
  const reader = (isGzip ? stream.pipeThrough(new DecompressionStream("gzip")) : stream).getReader();
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let text = "";
  let bytes = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) {
      return { text: text + decoder.decode(), isWhole: true };
    }
    refuse(bytes === 0 ? foreignProblem(value) : undefined);
    bytes += value.length;
    text += decoder.decode(value, { stream: true });
    if (bytes >= SAMPLE_BYTES) {
      await reader.cancel();
      return { text, isWhole: false };
    }
  }
}

/** Previews the complete lines at the start of a file of line protocol. */
export function previewStart(inspection: Inspection, existing: ExistingTables, precision: "auto"): Preview {
  const text = inspection.text ?? "";
  const part = new LineProtocolCutter().cut(text, inspection.isWhole);
  return new BodyPreview().preview(part?.consumed ?? "", precision, existing);
}
