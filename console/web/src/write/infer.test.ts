import { expect, test } from "vitest";
import { detectFormat, formatOfText } from "./file-format";
import { guessTimeColumn, looksLikeTag, sampleCsv, sampleJsonLines } from "./infer";
import { firstChoice, mappingOf, mappingProblem, newTable } from "./mapping";

test("types of CSV follow from all rows of the sample", () => {
  const sample = sampleCsv(
    "time,room,n,f,on,big,mixed\n1,a,1,1,true,18446744073709551615,1\n2,a,-2,2.5,false,1,x\n",
    true,
  );
  expect(sample.columns.map(({ name, type }) => [name, type])).toEqual([
    ["time", "integer"],
    ["room", "string"],
    ["n", "integer"],
    ["f", "float"],
    ["on", "boolean"],
    ["big", "float"],
    ["mixed", "string"],
  ]);
  expect(sample.rows[1]?.[2]).toBe("-2");
});

test("rows with a wrong number of cells are reported by their number", () => {
  expect(sampleCsv("a,b\n1,2\n3\n", true).issues).toEqual([{ row: 2, message: "1 cells, but the header has 2" }]);
});

test("annotated CSV names its types and tags", () => {
  const text =
    "#group,false,false,true,false\n#datatype,string,long,string,double\n,result,table,room,temp\n,,0,a,1.5\n";
  const sample = sampleCsv(text, true);
  expect(sample.namesTables).toBe(true);
  expect(sample.columns.find(({ name }) => name === "room")).toMatchObject({ isTag: true });
  expect(sample.columns.find(({ name }) => name === "temp")).toMatchObject({ type: "float", example: "1.5" });
});

test("columns of JSON lines may be absent and have nested values", () => {
  const sample = sampleJsonLines('{"t":1,"a":1}\n{"a":1.5,"b":{"c":1}}\nnope\n{"a":null}\n', true);
  expect(sample.columns.map(({ name, type }) => [name, type])).toEqual([
    ["t", "integer"],
    ["a", "float"],
    ["b", "other"],
  ]);
  expect(sample.issues[0]?.row).toBe(3);
});

test("the column of the time and the tags are guessed", () => {
  const sample = sampleCsv("ts,host,note,v\n1,a,x1,1\n2,a,y2,2\n3,b,z3,3\n4,b,w4,4\n", true);
  expect(guessTimeColumn(sample.columns)).toBe("ts");
  expect(looksLikeTag(sample, 1)).toBe(true);
  expect(looksLikeTag(sample, 2)).toBe(false);
  const choice = firstChoice(sample, "cpu", undefined);
  expect(choice.roles).toEqual(["time", "tag", "field", "field"]);
  expect(mappingOf(sample, choice)).toMatchObject({ table: "cpu", tags: ["host"], timeColumn: "ts" });
  expect(newTable("db", sample, choice)).toEqual({
    db: "db",
    table: "cpu",
    tags: ["host"],
    fields: [
      { name: "note", type: "utf8" },
      { name: "v", type: "int64" },
    ],
  });
});

test("a table that exists decides which columns are tags", () => {
  const sample = sampleCsv("time,a,b\n1,x,y\n", true);
  const existing = new Map([
    ["a", "string" as const],
    ["b", "tag" as const],
  ]);
  expect(firstChoice(sample, "t", existing).roles).toEqual(["time", "field", "tag"]);
});

test("a file without a table or a field cannot be written", () => {
  const sample = sampleCsv("time,a\n1,x\n", true);
  const choice = firstChoice(sample, "", undefined);
  expect(mappingProblem(sample, choice)).toBe("Name the table.");
  expect(mappingProblem(sample, { ...choice, table: "t", roles: ["time", "tag"] })).toMatch(/needs a field/);
});

test("formats are found by signature, extension and text", () => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  expect(detectFormat("x.bin", bytes("PAR1...")).format).toBe("parquet");
  expect(detectFormat("x.csv.gz", new Uint8Array([0x1f, 0x8b, 8]))).toEqual({ format: "csv", isGzip: true });
  expect(detectFormat("noname", bytes('{"a":1}')).format).toBe("jsonl");
  expect(formatOfText("home,room=a temp=1 1700000000")).toBe("lp");
  expect(formatOfText("time,room,temp\n1,a,2")).toBe("csv");
  expect(formatOfText("#datatype,string\nx")).toBe("csv");
});
