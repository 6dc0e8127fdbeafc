import { afterAll, beforeAll, expect, test } from "vitest";
import { expectAccessible, openPage, pageEvents, type Server, screenshot, startServer } from "./harness";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const START_NS = 1_782_900_000_000_000_000n;

let server: Server;

beforeAll(async () => {
  server = await startServer();
  await server.write("garden", "soil,bed=herbs moisture=38.5");
  await send("/v1/traces", "resourceSpans", "scopeSpans", "spans", "shop", [
    span(1, 0, "GET /buy", 0, 90),
    span(2, 1, "render", 70, 15),
  ]);
  await send("/v1/traces", "resourceSpans", "scopeSpans", "spans", "pay", [span(3, 1, "charge", 5, 60, true)]);
  const records = Array.from({ length: 6 }, (_, at) => ({
    timeUnixNano: String(START_NS + BigInt(at) * 1_000_000n),
    severityNumber: at === 3 ? 17 : 9,
    severityText: at === 3 ? "ERROR" : "INFO",
    body: { stringValue: at === 3 ? "The card was refused <b>" : `Step ${at}` },
    ...(at === 3 ? { traceId: TRACE, spanId: id(3) } : {}),
    attributes: [{ key: "card", value: { stringValue: "visa" } }],
  }));
  await send("/v1/logs", "resourceLogs", "scopeLogs", "logRecords", "pay", records);
});

afterAll(() => server?.close());

function id(number: number): string {
  return number.toString(16).padStart(16, "0");
}

function span(number: number, parent: number, name: string, startMs: number, lengthMs: number, isError = false) {
  const start = START_NS + BigInt(startMs) * 1_000_000n;
  return {
    traceId: TRACE,
    spanId: id(number),
    ...(parent === 0 ? {} : { parentSpanId: id(parent) }),
    name,
    kind: 2,
    startTimeUnixNano: String(start),
    endTimeUnixNano: String(start + BigInt(lengthMs) * 1_000_000n),
    attributes: [{ key: "http.route", value: { stringValue: "/buy" } }],
    status: isError ? { code: 2, message: "refused" } : {},
  };
}

/** Sends spans or log records of a service as OTLP in JSON. */
async function send(path: string, resources: string, scopes: string, items: string, service: string, list: unknown[]) {
  const resource = { attributes: [{ key: "service.name", value: { stringValue: service } }] };
  await server.request(path, {
    method: "POST",
    headers: { "content-type": "application/json", database: "shop" },
    body: JSON.stringify({ [resources]: [{ resource, [scopes]: [{ [items]: list }] }] }),
  });
}

test("a log record is found by its words, and leads to its trace", async () => {
  const page = await openPage(server, "#/telemetry/logs?db=shop");
  const list = page.getByRole("list", { name: "Log records" });
  await expect.poll(() => list.getByRole("listitem").count()).toBe(6);
  await expectAccessible(page);
  await page.getByRole("searchbox", { name: "Words of log records" }).fill("REFUSED card");
  await expect.poll(() => list.getByRole("listitem").count()).toBe(1);
  await list.getByRole("button", { name: /ERROR pay The card was refused <b>$/ }).click();
  await list.getByText("visa").waitFor();
  await screenshot(page, "telemetry-logs");
  await expectAccessible(page);
  await list.getByRole("link", { name: "Trace" }).click();
  const names = page.getByRole("rowheader");
  await expect.poll(() => names.allInnerTexts()).toEqual(["GET /buy", "charge error", "render"]);
  await page.getByRole("button", { name: "charge" }).click();
  await page.getByText("status_description").waitFor();
  await page.getByRole("heading", { name: "Log records and events" }).waitFor();
  await screenshot(page, "telemetry-trace");
  await expectAccessible(page);
  expect(pageEvents(page)).toMatchObject({ errors: [], dialogs: [], foreignRequests: [] });
});

test("traces are listed with their root, length and errors, and filtered", async () => {
  const page = await openPage(server, "#/telemetry?db=shop", { theme: "dark" });
  await page.getByRole("row", { name: "GET /buy shop 2026-07-01 10:00:00 90 ms 3 1" }).waitFor();
  await screenshot(page, "telemetry-traces");
  await expectAccessible(page);
  await page.getByLabel("Service").selectOption("pay");
  await page.getByLabel("Errors only").check();
  await page.getByRole("link", { name: "GET /buy" }).waitFor();
  await page.getByRole("searchbox", { name: "Words of spans" }).fill("nothing");
  await page.getByText("No trace matches").waitFor();
});

test("a database without signals says how to send them", async () => {
  const page = await openPage(server, "#/telemetry?db=garden", { width: 360 });
  await page.getByRole("heading", { name: "No logs or traces yet" }).waitFor();
  await expectAccessible(page);
});
