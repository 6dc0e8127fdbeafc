import { afterEach, expect, test, vi } from "vitest";
import { fillParameters, promqlRequest, runPromql, stepOf, toColumns } from "./promql";

const NOW = Date.parse("2026-01-31T12:00:00Z");

afterEach(() => {
  vi.unstubAllGlobals();
});

test("a_range_has_at_most_300_points_at_round_steps", () => {
  expect([60, 3_600, 86_400, 365 * 86_400, 50 * 365 * 86_400].map(stepOf)).toEqual([
    1,
    15,
    300,
    43_200 * 4,
    61 * 86_400,
  ]);
});

test("a_query_is_evaluated_over_the_range_and_over_the_last_hour_if_the_range_is_open", () => {
  const request = (from: string, to: string) => {
    const query = {
      database: "home",
      text: "rate(x[$interval])",
      language: "promql",
      parameters: { from, to },
    } as const;
    return promqlRequest(query, NOW).parameters;
  };
  expect(request("2026-01-30T12:00:00Z", "2026-01-31T12:00:00Z")).toEqual({
    db: "home",
    query: "rate(x[300s])",
    start: String(NOW / 1000 - 86_400),
    end: String(NOW / 1000),
    step: "300",
  });
  expect(request("1677-09-21T00:12:44Z", "2262-04-11T23:47:16Z")).toMatchObject({
    start: String(NOW / 1000 - 3_600),
    end: String(NOW / 1000),
  });
});

test("parameters_are_texts_that_cannot_leave_their_quotes", () => {
  const values = { host: 'a"} or b', all: null };
  const text = `up{host="$host", z=~"$\{all}", c="$constructor"}`;
  expect(fillParameters(text, values)).toBe('up{host="a\\"} or b", z=~".*", c="$constructor"}');
});

test("an_answer_has_columns_for_the_time_the_labels_and_the_value", () => {
  const { columns, rows } = toColumns({
    resultType: "matrix",
    result: [
      { metric: { __name__: "up", host: "a" }, values: [[1.5, "1"], [2.5, "NaN"]] }, // biome-ignore format: pairs
      { metric: { zone: "x" }, values: [[1.5, "+Inf"]] },
    ],
  });
  expect(rows).toBe(3);
  expect(columns.map(({ name, kind }) => `${name} ${kind}`)).toEqual([
    "time time",
    "metric tag",
    "host tag",
    "zone tag",
    "value number",
  ]);
  const row = (at: number) => columns.map((column) => column.get(at));
  expect(row(0)).toEqual([1_500_000_000n, "up", "a", null, 1]);
  expect(row(1)[4]).toBeNaN();
  expect(row(2)).toEqual([1_500_000_000n, null, null, "x", Number.POSITIVE_INFINITY]);
  expect(toColumns({ resultType: "scalar", result: [2, "7"] }).columns.map((column) => column.get(0))).toEqual([
    2_000_000_000n,
    7,
  ]);
});

test("an_answer_that_is_larger_than_its_bound_is_refused_and_not_read_to_its_end", async () => {
  const bytes = new TextEncoder().encode('{"data":{"resultType":"string","result":[1,"ä"]}}');
  const isCancelled = vi.fn();
  let parts = 0;
  const pull = (controller: ReadableStreamDefaultController<Uint8Array>) => {
    if (parts < bytes.length) {
      controller.enqueue(bytes.slice(parts, parts + 1));
      parts += 1;
    } else {
      controller.close();
    }
  };
  vi.stubGlobal("fetch", async () => {
    parts = 0;
    return new Response(new ReadableStream({ pull, cancel: isCancelled }));
  });
  const query = { database: "home", text: "x", language: "promql" } as const;
  const result = await runPromql({ ...query, maxBytes: bytes.length });
  expect([result.bytes, result.columns[1]?.get(0)]).toEqual([bytes.length, "ä"]);
  await expect(runPromql({ ...query, maxBytes: 20 })).rejects.toThrow("larger than 20 bytes");
  expect(isCancelled).toHaveBeenCalledOnce();
  expect(parts).toBeLessThan(bytes.length);
});
