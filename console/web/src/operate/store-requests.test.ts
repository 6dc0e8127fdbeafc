import { expect, test } from "vitest";
import { Metrics } from "./prometheus";
import { requestsOf } from "./store-requests";

test("metrics count the requests and bytes of each kind since the process started", () => {
  const metrics = Metrics.parse(
    [
      'neap_store_requests_total{operation="put",class="tail"} 12',
      'neap_store_requests_total{operation="get",class="tail"} 3',
      'neap_store_bytes_total{operation="put",class="tail"} 4096',
      "neap_uptime_seconds 60",
    ].join("\n"),
  );
  expect(requestsOf(metrics, 100_000)).toEqual({
    sinceMs: 40_000,
    hasDatabases: false,
    counts: [
      { database: null, operation: "put", objectClass: "tail", requests: 12, bytes: 4096 },
      { database: null, operation: "get", objectClass: "tail", requests: 3, bytes: 0 },
    ],
  });
});
