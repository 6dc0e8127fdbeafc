import {
  bool,
  columnFromArray,
  dictionary,
  float64,
  int32,
  int64,
  list,
  TimeUnit,
  tableFromColumns,
  tableToIPC,
  timestamp,
  utf8,
} from "@uwdata/flechette";
import { expect, test } from "vitest";
import { MessageSplitter } from "./arrow-stream";
import { decodeTable } from "./arrow-table";
import { formatValue } from "./format-value";

function stream(): Uint8Array {
  const table = tableFromColumns({
    time: columnFromArray([1_700_000_000_000, null, 0], timestamp(TimeUnit.NANOSECOND)),
    room: columnFromArray(["Kitchen", "Kitchen", null], dictionary(utf8(), int32())),
    temp: columnFromArray([22.5, null, Number.NaN], float64()),
    count: columnFromArray([9_007_199_254_740_993n, -1n, null], int64()),
    ok: columnFromArray([true, false, null], bool()),
    note: columnFromArray(["<b>", "", null], utf8()),
    nested: columnFromArray([[1, 2], [], null], list(int32())),
  });
  return tableToIPC(table, { format: "stream" }) as Uint8Array;
}

function split(bytes: Uint8Array, size: number): { messages: Uint8Array[]; rows: number; isIncomplete: boolean } {
  const splitter = new MessageSplitter();
  const messages: Uint8Array[] = [];
  let rows = 0;
  for (let at = 0; at < bytes.length; at += size) {
    for (const message of splitter.push(bytes.subarray(at, at + size))) {
      messages.push(message.bytes);
      rows += message.rows;
    }
  }
  return { messages, rows, isIncomplete: splitter.isIncomplete };
}

test("a_stream_is_read_the_same_in_chunks_of_any_size", () => {
  const bytes = stream();
  for (const size of [1, 7, 64, bytes.length]) {
    const { messages, rows, isIncomplete } = split(bytes, size);
    expect(rows).toBe(3);
    expect(isIncomplete).toBe(false);
    const table = decodeTable(messages);
    const cells = table.columns.map((column) => [0, 1, 2].map((row) => formatValue(column, column.get(row))));
    expect(cells).toEqual([
      ["2023-11-14T22:13:20Z", "", "1970-01-01T00:00:00Z"],
      ["Kitchen", "Kitchen", ""],
      ["22.5", "", "NaN"],
      ["9007199254740993", "-1", ""],
      ["true", "false", ""],
      ["<b>", "", ""],
      ["[1,2]", "[]", ""],
    ]);
  }
});

test("columns_have_the_kind_of_their_type", () => {
  const { columns } = decodeTable(split(stream(), 1000).messages);
  expect(columns.map(({ kind, arrowType }) => `${kind} ${arrowType}`)).toEqual([
    "time Timestamp(ns)",
    "tag Dictionary(Int32, Utf8)",
    "number Float64",
    "integer Int64",
    "boolean Boolean",
    "text Utf8",
    "other List(Int32)",
  ]);
});

test("a_cut_stream_is_incomplete_and_its_whole_batches_can_be_read", () => {
  const bytes = stream();
  const { messages, isIncomplete } = split(bytes.subarray(0, bytes.length - 20), 100);
  expect(isIncomplete).toBe(true);
  expect(decodeTable(messages).columns).toHaveLength(7);
});

test("bytes_that_are_no_stream_are_refused", () => {
  expect(() => split(new TextEncoder().encode('[{"a":1},{"b":2}]'), 100)).toThrow("not an Arrow stream");
});
