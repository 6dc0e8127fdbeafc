import { expect, test } from "vitest";
import type { ColumnKind } from "../api/query";
import { type CsvForm, CsvRewriter, toCsv } from "./csv-form";

const TEXT = `time,bed,temp,n\n2026-07-01T12:00:00.5,"a,""b"";\nc",3.5,7\n,"",-1e-7,\n2026-01-01T00:00:00,x;y,,0`;

function rewrite(text: string, form: CsvForm, size = text.length): string {
  const columns = (["time", "tag", "number", "integer"] as ColumnKind[]).map((kind) => ({ kind }));
  const rewriter = new CsvRewriter(form, columns);
  let out = "";
  for (let at = 0; at < text.length; at += size) {
    out += rewriter.push(text.slice(at, at + size));
  }
  return out + rewriter.end();
}

test("a_file_with_semicolons_has_decimal_commas_and_quotes_where_they_are_needed", () => {
  expect(rewrite(TEXT, { separator: ";", zone: "UTC" })).toBe(
    `time;bed;temp;n\n2026-07-01T12:00:00.5;"a,""b"";\nc";3,5;7\n;"";-1e-7;\n2026-01-01T00:00:00;"x;y";;0`,
  );
});

test("times_of_a_file_are_in_the_zone_and_name_their_offset", () => {
  expect(rewrite(TEXT, { separator: ",", zone: "Europe/Berlin" })).toBe(
    `time,bed,temp,n\n2026-07-01T14:00:00.5+02:00,"a,""b"";\nc",3.5,7\n,"",-1e-7,\n2026-01-01T01:00:00+01:00,x;y,,0`,
  );
});

test("a_file_is_the_same_wherever_its_parts_begin", () => {
  const form: CsvForm = { separator: ";", zone: "Asia/Kolkata" };
  for (let size = 1; size < 12; size++) {
    expect(rewrite(TEXT, form, size)).toBe(rewrite(TEXT, form));
  }
  expect(rewrite(`${TEXT}\n`, form)).toBe(`${rewrite(TEXT, form)}\n`);
});

test("a_result_that_the_server_does_not_write_as_csv_is_written_by_the_page", () => {
  const columns = [
    { name: "time", kind: "time" as const, arrowType: "", get: () => 1_500_000_000n },
    { name: 'a"b', kind: "tag" as const, arrowType: "", get: (row: number) => [null, "x,y"][row] },
  ];
  expect(toCsv({ columns, rows: 2 })).toBe('time,"a""b"\n1970-01-01T00:00:01.500,\n1970-01-01T00:00:01.500,"x,y"\n');
});
