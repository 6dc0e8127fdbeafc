import { expect, test } from "vitest";
import { formatHash, parseHash } from "./router";

test("a_hash_is_read_back", () => {
  const hash = formatHash("dashboards", { db: "a&b/c?", from: "now-1h", gone: undefined, empty: "" }, ["x/y", "ü"]);
  const { view, path, params } = parseHash(hash);
  expect([view, path, Object.fromEntries(params)]).toEqual([
    "dashboards",
    ["x/y", "ü"],
    { db: "a&b/c?", from: "now-1h" },
  ]);
});

test("an_unknown_or_malformed_hash_is_the_first_view", () => {
  expect(parseHash("").view).toBe("explore");
  expect(parseHash("#/constructor?db=a").view).toBe("explore");
  expect(parseHash("#/write/%E0%A4%A").path).toEqual(["%E0%A4%A"]);
});
