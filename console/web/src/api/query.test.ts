import { tableFromArrays, tableToIPC } from "@uwdata/flechette";
import { expect, test, vi } from "vitest";
import { runQuery } from "./query";

test("a_result_tells_the_bound_at_which_it_was_cut", async () => {
  const stream = tableToIPC(tableFromArrays({ v: [1, 2, 3] }), { format: "stream" }) as Uint8Array<ArrayBuffer>;
  vi.stubGlobal("fetch", async () => new Response(stream));
  const query = { database: "home", text: "SELECT v FROM t", language: "sql" } as const;
  const whole = await runQuery({ ...query, maxBytes: stream.length });
  expect([whole.rows, whole.truncatedAt]).toEqual([3, undefined]);
  const cut = await runQuery({ ...query, maxBytes: 10 });
  expect([cut.rows, cut.truncatedAt]).toEqual([3, 10]);
});
