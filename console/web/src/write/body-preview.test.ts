import { expect, test } from "vitest";
import { BodyPreview, type ExistingTables } from "./body-preview";
import { resolvePrecision, toNanoseconds } from "./precision";

const NONE: ExistingTables = new Map();

test("a preview has the tables that a write would create", () => {
  const text = "# comment\nhome,room=a temp=1.5 1700000000\nhome,room=b temp=2,n=1i 1700000060\n\ncpu v=t";
  const preview = new BodyPreview().preview(text, "auto", NONE);
  expect(preview).toMatchObject({ lines: 3, rows: 3, issues: [], units: ["s"] });
  expect(preview.tables.map((table) => [table.name, table.isNew, table.rows])).toEqual([
    ["home", true, 2],
    ["cpu", true, 1],
  ]);
  expect(preview.tables[0]?.columns).toEqual([
    { name: "room", type: "tag", isNew: true, example: "a" },
    { name: "temp", type: "float", isNew: true, example: "1.5" },
    { name: "n", type: "integer", isNew: true, example: "1i" },
  ]);
  expect(preview.tables[0]).toMatchObject({ minTime: 1_700_000_000_000_000_000n, maxTime: 1_700_000_060_000_000_000n });
  expect(preview.tables[1]).toMatchObject({ rowsWithoutTime: 1, minTime: undefined });
});

test("columns of a table that exists have their types", () => {
  const existing: ExistingTables = new Map([["home", new Map([["temp", "integer" as const]])]]);
  const preview = new BodyPreview().preview("home temp=1.5\nhome temp=1i,hum=2", "auto", existing);
  expect(preview.issues.map(({ line, message }) => [line, message])).toEqual([
    [
      1,
      "invalid column type for column 'temp', expected iox::column_type::field::integer, got iox::column_type::field::float",
    ],
  ]);
  expect(preview.tables[0]?.columns).toEqual([
    { name: "temp", type: "integer", isNew: false, example: "1i" },
    { name: "hum", type: "float", isNew: true, example: "2" },
  ]);
});

test("a refused line adds no columns and no table", () => {
  const preview = new BodyPreview().preview("a new=1,new=2\nb x=1 99999999999999999999\nc v=1", "auto", NONE);
  expect(preview.tables.map(({ name }) => name)).toEqual(["c"]);
  expect(preview.issues.map(({ message }) => message)).toEqual([
    "invalid line protocol - multiple instances of 'new' field found",
    "Unable to parse timestamp value `99999999999999999999`",
  ]);
});

test.each([
  ["m,t=1,t=2 v=1", "Must not contain duplicate tags, but 't' was repeated"],
  [
    "m,v=1 v=1",
    "invalid column type for column 'v', expected iox::column_type::tag, got iox::column_type::field::float",
  ],
  ["m time=1", "'time' is a reserved column"],
  ["m v=1 9223372037", "timestamp, 9223372037, out of range for precision: Second"],
])("%j is refused", (text, message) => {
  expect(new BodyPreview().preview(text, "s", NONE).issues[0]?.message).toBe(message);
});

test("errors have their line and their place in the text", () => {
  const text = "# first\n\nok v=1\nbad v\nok v=2";
  const [issue] = new BodyPreview().preview(text, "auto", NONE).issues;
  expect(issue).toMatchObject({ line: 2, textLine: 4 });
  expect(text.slice(issue?.from, issue?.to)).toBe("v");
});

test("the unit of a timestamp follows from its magnitude", () => {
  expect(resolvePrecision("auto", 1n)).toBe("s");
  expect(resolvePrecision("auto", -4_999_999_999n)).toBe("s");
  expect(resolvePrecision("auto", 5_000_000_000n)).toBe("ms");
  expect(resolvePrecision("auto", 5_000_000_000_000n)).toBe("us");
  expect(resolvePrecision("auto", 5_000_000_000_000_000n)).toBe("ns");
  expect(toNanoseconds("s", 9_223_372_037n)).toBeUndefined();
});
