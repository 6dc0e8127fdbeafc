import { expect, test } from "vitest";
import { openParquet, partBlob, partsOf } from "./parquet";
import { readStruct, ThriftError, type ThriftStruct, type ThriftValue, Type, writeStruct } from "./thrift";

test("a struct is written as it was read", () => {
  const fields: ThriftStruct = new Map([
    [1, { type: Type.I32, value: -5n }],
    [3, { type: Type.True }],
    [20, { type: Type.I64, value: -(1n << 63n) }],
    [21, { type: Type.Binary, bytes: new Uint8Array([1, 2, 3]) }],
    [22, { type: Type.Double, bytes: new Uint8Array(8).fill(7) }],
    [
      23,
      {
        type: Type.List,
        element: Type.Struct,
        items: Array.from({ length: 20 }, (_, at) => ({
          type: Type.Struct,
          fields: new Map([[1, { type: Type.I8, value: BigInt(at - 10) }]]) as ThriftStruct,
        })),
      },
    ],
    [24, { type: Type.List, element: Type.True, items: [{ type: Type.True }, { type: Type.False }] }],
    [
      25,
      {
        type: Type.Map,
        key: 8,
        value: 5,
        entries: [
          [
            { type: Type.Binary, bytes: new Uint8Array() },
            { type: Type.I32, value: 1n },
          ],
        ],
      },
    ],
  ]);
  expect(readStruct(writeStruct(fields))).toEqual(fields);
});

test("bytes that are no struct are an error", () => {
  expect(() => readStruct(new Uint8Array([0x18, 0xff, 0xff, 0xff, 0x0f]))).toThrow(ThriftError);
  expect(() => readStruct(new Uint8Array(2_000).fill(0x1c))).toThrow(ThriftError);
});

function struct(...fields: [number, ThriftValue][]): ThriftValue & { type: 12 } {
  return { type: Type.Struct, fields: new Map(fields) };
}

function list(items: ThriftValue[]): ThriftValue {
  return { type: Type.List, element: Type.Struct, items };
}

function long(value: number): ThriftValue {
  return { type: Type.I64, value: BigInt(value) };
}

function text(value: string): ThriftValue {
  return { type: Type.Binary, bytes: new TextEncoder().encode(value) };
}

/** Makes a file with row groups of one column, whose data are the letters of the groups. */
function parquetFile(groups: string[]): Blob {
  let position = 4;
  const items = groups.map((data) => {
    const meta = struct([1, { type: Type.I32, value: 6n }], [7, long(data.length)], [9, long(position)]);
    position += data.length;
    return struct([1, list([struct([3, meta])])], [3, long(data.length)]);
  });
  const root = struct([4, text("root")], [5, { type: Type.I32, value: 1n }]);
  const column = struct([1, { type: Type.I32, value: 5n }], [4, text("celsius")]);
  const footer = writeStruct(struct([2, list([root, column])], [3, long(position - 4)], [4, list(items)]).fields);
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, footer.length, true);
  return new Blob(["PAR1", ...groups, footer as BlobPart, length, "PAR1"]);
}

test("the footer names columns and rows", async () => {
  const file = await openParquet(parquetFile(["aaa", "bb"]));
  expect(file.rows).toBe(5);
  expect(file.columns).toEqual([{ name: "celsius", type: "float", example: "" }]);
});

test("a part of a file is a file with some of its row groups", async () => {
  const blob = parquetFile(["aaaa", "bbbb", "cccc", "dd"]);
  const file = await openParquet(blob);
  const parts = partsOf(file.groups, 8);
  expect(parts.map(({ first, last, rows }) => [first, last, rows])).toEqual([
    [0, 2, 8],
    [2, 4, 6],
  ]);
  const part = parts[1];
  if (part === undefined) {
    throw new Error("there is no second part");
  }
  const second = partBlob(blob, file, part);
  const reopened = await openParquet(second);
  expect(reopened.rows).toBe(6);
  expect(reopened.groups.map(({ from, to }) => [from, to])).toEqual([
    [4, 8],
    [8, 10],
  ]);
  expect(await second.slice(4, 10).text()).toBe("ccccdd");
});

test("a file that is cut off is refused", async () => {
  const blob = parquetFile(["aaa"]);
  await expect(openParquet(blob.slice(0, blob.size - 3))).rejects.toThrow("does not end as a Parquet file");
});
