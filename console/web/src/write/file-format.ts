/** The formats of files that the page sends. */

export type FileFormat = "lp" | "csv" | "jsonl" | "parquet" | "arrow";

/** The name of a format for people. */
export const FORMAT_NAMES: Record<FileFormat, string> = {
  lp: "Line protocol",
  csv: "CSV",
  jsonl: "JSON lines",
  parquet: "Parquet",
  arrow: "Arrow",
};

const EXTENSIONS: Record<string, FileFormat> = {
  lp: "lp",
  line: "lp",
  csv: "csv",
  jsonl: "jsonl",
  ndjson: "jsonl",
  parquet: "parquet",
  arrow: "arrow",
  feather: "arrow",
};

/** What the name and the first bytes of a file say about it. */
export interface DetectedFormat {
  format: FileFormat;
  isGzip: boolean;
}

/** Returns the format of a file by its first bytes, then by its extension, then by its first text. */
export function detectFormat(name: string, head: Uint8Array): DetectedFormat {
  const isGzip = head[0] === 0x1f && head[1] === 0x8b;
  const plainName = name.toLowerCase().replace(/\.gz$/, "");
  const extension = EXTENSIONS[plainName.slice(plainName.lastIndexOf(".") + 1)];
  const text = new TextDecoder().decode(head.subarray(0, 4096));
  if (text.startsWith("PAR1")) {
    return { format: "parquet", isGzip };
  }
  if (text.startsWith("ARROW1") || (head[0] === 0xff && head[1] === 0xff && head[2] === 0xff && head[3] === 0xff)) {
    return { format: "arrow", isGzip };
  }
  return { format: extension ?? (isGzip ? "lp" : formatOfText(text)), isGzip };
}

/** Returns the most likely format of a text. */
export function formatOfText(text: string): "lp" | "csv" | "jsonl" {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  const first = lines[0]?.trim() ?? "";
  if (first.startsWith("{")) {
    return "jsonl";
  }
  if (/^#(datatype|group|default|constant|timezone|concat)\b/.test(first)) {
    return "csv";
  }
  const data = lines.find((line) => !line.trim().startsWith("#"))?.trim() ?? "";
  // A line of line protocol has an equals sign after a space that ends the series.
  return /^[^ ]*[^\\ ] +[^ ]+=/.test(data) || !data.includes(",") ? "lp" : "csv";
}

/** The `format` and the content type of a request to `/api/v3/write_file`. */
export const CONTENT_TYPES: Record<Exclude<FileFormat, "lp">, string> = {
  csv: "text/csv",
  jsonl: "application/x-ndjson",
  parquet: "application/vnd.apache.parquet",
  arrow: "application/vnd.apache.arrow.file",
};
