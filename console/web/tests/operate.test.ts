import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { expectAccessible, openPage, pageEvents, type Server, screenshot, startServer } from "./harness";

let server: Server;

beforeAll(async () => {
  server = await startServer({ tokens: true });
  for (let batch = 0; batch < 5; batch += 1) {
    await server.write("garden", `soil,bed=herbs moisture=${batch}.5\nsoil,bed=tomatoes moisture=4${batch}`);
  }
  await server.query("garden", "SELECT bed, avg(moisture) FROM soil GROUP BY bed");
});

afterAll(() => server?.close());

test("the overview shows what the process does", async () => {
  const page = await openPage(server, "#/operate?db=garden", { token: server.token });
  await page.getByText("These figures are of one process").waitFor();
  await page.getByText("No problems are reported.").waitFor();
  const before = page.getByText("Lines written").locator("..").locator(".figure-value");
  expect(await before.textContent()).toBe("–");
  await server.write("garden", "soil,bed=herbs moisture=1");
  // A rate needs two samples.
  await page.waitForFunction(() => document.querySelector(".figure-value")?.textContent !== "–");
  expect(await before.textContent()).toMatch(/^[\d.]+\/s$/);
  await expectAccessible(page);
  await screenshot(page, "operate-overview");
  expect(pageEvents(page).errors).toEqual([]);
});

test("the cost of requests is shown by kind, and follows the prices", async () => {
  const page = await openPage(server, "#/operate/cost?db=garden", { token: server.token, theme: "dark" });
  const table = page.getByLabel("By request");
  await table.getByRole("rowheader", { name: "PUT tail" }).waitFor();
  await page.getByText("as of 2026-09-24").waitFor();
  const hourly = page.locator(".cost-tile dd").first();
  // Rates appear when the process has run for some time.
  await page.locator(".cost-tile dd", { hasText: "$" }).nth(2).waitFor({ timeout: 60_000 });
  const cheap = Number((await hourly.textContent())?.replace(/[$,]/g, ""));
  expect(cheap).toBeGreaterThan(0);
  await page.getByLabel("$ for 1,000 PUT or LIST").fill("5");
  await page.getByText("These prices are your own.").waitFor();
  const expensive = Number((await hourly.textContent())?.replace(/[$,]/g, ""));
  expect(expensive).toBeGreaterThan(cheap * 100);
  await expectAccessible(page);
  await screenshot(page, "operate-cost-dark");
  await page.getByLabel("Price list").selectOption("s3-standard");
  await page.getByLabel("$ for 1,000 PUT or LIST").fill("x");
  await page.getByText("Enter a number that is not negative.").waitFor();
});

test("queries are listed with their time and plan", async () => {
  const page = await openPage(server, "#/operate/queries?db=garden", { token: server.token });
  const row = page.getByRole("row").filter({ hasText: "SELECT bed, avg(moisture)" });
  await row.getByRole("button", { name: "Show the details" }).click();
  await page.getByText("Waiting for a permit").waitFor();
  expect(await page.getByText("information_schema").count()).toBe(0);
  await page.getByRole("button", { name: "Run it again and measure its plan" }).click();
  await page.getByText("AggregateExec").first().waitFor();
  await expectAccessible(page);
  await screenshot(page, "operate-queries");
});

test("a query of Explore can be cancelled", async () => {
  const endless = "SELECT sum(a.value * b.value) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b";
  const hash = `#/explore?db=garden&q=${encodeURIComponent(endless)}`;
  const page = await openPage(server, hash, { token: server.token });
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await page.getByRole("link", { name: "Operate" }).click();
  await page.getByRole("tab", { name: "Queries" }).click();
  const row = page.getByRole("row").filter({ hasText: "generate_series" });
  await row.getByText("running").waitFor();
  await row.getByRole("button", { name: "Show the details" }).click();
  await page.getByRole("button", { name: "Cancel the query" }).click();
  await row.getByText("cancelled").waitFor();
});

test("a query of another client is cancelled by an administrator, and not by others", async () => {
  const text = "SELECT sum(a.value + b.value) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b";
  const failure = server.query("garden", text).then(
    () => "an answer",
    (error: unknown) => String(error),
  );
  const open = async (token: string | undefined): Promise<Page> => {
    const page = await openPage(server, "#/operate/queries?db=garden", { token });
    const row = page.getByRole("row").filter({ hasText: "a.value + b.value" });
    await row.getByText("running").waitFor();
    await row.getByRole("button", { name: "Show the details" }).click();
    return page;
  };
  const reader = await open(await server.createToken("query-reader", ["db:garden:read"]));
  await reader.getByText("A query ends when its client disconnects.").waitFor();
  expect(await reader.getByRole("button", { name: "Cancel the query" }).count()).toBe(0);
  const page = await open(server.token);
  await page.getByRole("button", { name: "Cancel the query" }).click();
  expect(await failure).toMatch(/query_sql: 4\d\d/);
  await page
    .getByRole("row")
    .filter({ hasText: "a.value + b.value" })
    .getByText(/failed|cancelled/)
    .waitFor();
});

test("files and nodes are listed", async () => {
  const page = await openPage(server, "#/operate/storage?db=garden", { token: server.token, width: 360 });
  await page.getByRole("button", { name: "Measure the tables" }).click();
  await page
    .getByText(/No rows have been flushed yet|Bytes per row/)
    .first()
    .waitFor();
  await expectAccessible(page);
  await screenshot(page, "operate-storage-narrow");
  await page.getByRole("tab", { name: "Nodes" }).click();
  await page.getByText("answers this page").waitFor();
  await expectAccessible(page);
  await screenshot(page, "operate-nodes-narrow");
});
