import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { describeProblem, mayHaveOtherFormat } from "./file-problem";
import { type Inspection, inspect, pendingFile } from "./pending-file";
import { type UploadSource, uploadParts } from "./upload-parts";

const BOM = "\ufeff";
const PNG = new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13]);

function look(name: string, content: string | Uint8Array<ArrayBuffer>): Promise<Inspection> {
  return inspect(pendingFile(name, new Blob([content])));
}

async function problemOf(name: string, content: string | Uint8Array<ArrayBuffer>): Promise<string> {
  return look(name, content).then(
    ({ problem }) => problem ?? "none",
    (error: unknown) => describeProblem(error),
  );
}

/** Everything that an upload sends. */
async function sent(name: string, content: string | Uint8Array<ArrayBuffer>): Promise<{ text: string; rows: number }> {
  const { format, isGzip } = await look(name, content);
  const source: UploadSource = { name, blob: new Blob([content]), format, isGzip };
  let text = "";
  let rows = 0;
  for await (const part of uploadParts(source, 0, () => 1 << 20)) {
    text += part.body;
    rows += part.records ?? 0;
  }
  return { text, rows };
}

test("files without rows say so", async () => {
  for (const name of ["a.lp", "a.csv", "a.jsonl", "a.parquet", "a.txt"]) {
    expect(await problemOf(name, ""), name).toBe("The file is empty.");
  }
  expect(await problemOf("a.csv", BOM)).toBe("The file is empty.");
  expect(await problemOf("a.csv.gz", new Uint8Array(gzipSync("")))).toBe("The file is empty.");
  expect(await problemOf("a.jsonl", "\r\n \r\n")).toBe("The file has only blank lines.");
  expect(await problemOf("a.lp", "# nothing\r\n\r\n")).toBe("The file has only comments.");
  expect(await problemOf("a.csv", "time,room\r\n")).toBe("The file has a header, and no rows.");
  expect(await problemOf("a.csv", "#datatype,tag,double\n#group,true,false\nroom,temp\n")).toBe(
    "The file has a header, and no rows.",
  );
});

test("files of other formats are named, whatever their names are", async () => {
  for (const name of ["photo.png", "photo.csv", "photo.lp", "photo.parquet"]) {
    expect(await problemOf(name, PNG), name).toMatch(/^The file is a PNG image\. Write takes line protocol/);
  }
  expect(await problemOf("photo.csv.gz", new Uint8Array(gzipSync(PNG)))).toMatch(/PNG image/);
  expect(await problemOf("rows.xlsx", new Uint8Array([0x50, 0x4b, 3, 4, 20]))).toMatch(/save the sheet as CSV/);
  expect(await problemOf("000001.tsm", new Uint8Array([0x16, 0xd1, 0x16, 0xd1, 1]))).toMatch(/TSM file/);
  expect(await problemOf("a.csv", new Uint8Array([0xff, 0xfe, 0x61, 0]))).toMatch(/UTF-16/);
  expect(await problemOf("a.csv", "a,b\n1,\0\n")).toMatch(/zero bytes/);
  expect(await problemOf("a.csv", new Uint8Array([0x61, 0x2c, 0xe9, 0x0a]))).toMatch(/not text in UTF-8/);
  expect(await problemOf("a.csv", "a,b\r1,2\r3,4\r")).toMatch(/end with CR alone/);
  expect(await problemOf("a.parquet.gz", new Uint8Array(gzipSync("PAR1")))).toMatch(/Parquet inside gzip/);
});

test("only a file that has another format than its name says is offered other formats", async () => {
  const failure = async (name: string, content: string | Uint8Array<ArrayBuffer>) =>
    look(name, content).then(
      () => undefined,
      (error: unknown) => error,
    );
  expect(mayHaveOtherFormat(await failure("a.parquet", "m v=1 1\n"))).toBe(true);
  expect(mayHaveOtherFormat(await failure("a.csv", PNG))).toBe(false);
  expect(mayHaveOtherFormat(await failure("a.csv", new Uint8Array([0x61, 0xe9])))).toBe(false);
});

test.each([
  ["a.csv", "time,room,temp\r\n1,a,2\r\n2,b,3\r\n", ["time", "room", "temp"]],
  ["a.jsonl", '{"time":1,"temp":2}\r\n{"time":2,"temp":3}\r\n', ["time", "temp"]],
] as const)("a byte order mark and CRLF lines in %s leave names and values as they are", async (name, text, names) => {
  for (const content of [text, BOM + text, new Uint8Array(gzipSync(BOM + text))]) {
    const { sample, problem } = await look(name, content);
    expect(problem).toBeUndefined();
    expect(sample?.issues).toEqual([]);
    expect(sample?.columns.map((column) => column.name)).toEqual(names);
    expect(sample?.columns.at(-1)?.type).toBe("integer");
    expect(sample?.rows.map((row) => row.at(-1))).toEqual(["2", "3"]);
    expect(await sent(name, content)).toEqual({ text, rows: 2 });
  }
});

test("a byte order mark and CRLF lines in line protocol leave tables and values as they are", async () => {
  const text = 'm,room=a v="x" 1\r\nm,room=b v="y" 2\r\n';
  for (const content of [text, BOM + text]) {
    expect((await look("a.lp", content)).text).toBe(text);
    expect(await sent("a.lp", content)).toEqual({ text, rows: 2 });
  }
  expect((await look("unnamed", `${BOM}{"a":1}\r\n`)).format).toBe("jsonl");
});
