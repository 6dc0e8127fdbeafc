import { afterAll, beforeAll, expect, test } from "vitest";
import { expectAccessible, openPage, pageEvents, type Server, screenshot, startServer } from "./harness";

let server: Server;

beforeAll(async () => {
  server = await startServer();
  const nowMs = Date.now();
  const lines = Array.from({ length: 20 }, (_, at) => {
    return `home,room=${at % 2 === 0 ? "kitchen" : "cellar"} temp=${at % 2 === 0 ? 35 : 12} ${nowMs - at * 1_000}000000`;
  });
  await server.write("garden", lines.join("\n"));
});

afterAll(() => server?.close());

test("a query of Explore becomes an alert, whose expression is tried before it is stored", async () => {
  const q =
    "SELECT date_bin($interval, time) AS time, room, avg(temp) AS temp FROM home WHERE time >= $from GROUP BY 1, 2";
  const page = await openPage(server, `#/explore?db=garden&q=${encodeURIComponent(q)}`);
  await page.getByRole("button", { name: "More actions" }).click();
  await page.getByRole("menuitem", { name: "Alert on this query…" }).click();
  const dialog = page.getByRole("dialog", { name: "Create an alert" });
  expect(await dialog.getByLabel("Query").inputValue()).toBe(q);
  await expectAccessible(page);
  await dialog.getByLabel("Name").fill("Hot");
  await dialog.getByLabel("Limit").fill("30");
  await dialog.getByLabel("For at least").fill("5m");
  await dialog.getByLabel("Severity").fill("warning");
  await dialog.getByLabel("Summary").fill("{{ $labels.room }} is hot");
  await screenshot(page, "administer-alert-dialog");
  await dialog.getByRole("button", { name: "Create alert" }).click();
  await page.getByText("Its condition is true for 1 series now.").waitFor();
  const row = page.getByRole("row", { name: /^Hot inactive after 5 min/ });
  await row.waitFor();
  await screenshot(page, "administer-alerts");
  await expectAccessible(page);
  await row.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("dialog", { name: "Delete the rules" }).getByRole("button", { name: "Delete" }).click();
  await page.getByText("No rule yet").waitFor();
  expect(pageEvents(page)).toMatchObject({ errors: [], dialogs: [], foreignRequests: [] });
});

test("alerts on missing series, on InfluxQL and on PromQL find their series, and errors are shown", async () => {
  const page = await openPage(server, "#/administer/alerts?db=garden");
  const dialog = page.getByRole("dialog", { name: "Create an alert" });
  const create = async (name: string, language: string, query: string, kind: string, limit: string | undefined) => {
    await page.getByRole("button", { name: "Create alert" }).first().click();
    await dialog.getByLabel("Name").fill(name);
    await dialog.getByLabel("Language").selectOption(language);
    await dialog.getByLabel("Query").fill(query);
    await dialog.getByLabel("Fires if").selectOption(kind);
    if (limit !== undefined) {
      await dialog.getByLabel("Limit").fill(limit);
    }
    await dialog.getByRole("button", { name: "Create alert" }).click();
  };
  await create("Gone", "sql", "SELECT time, room, temp FROM home WHERE time >= $from", "missing", undefined);
  await page.getByText("The alert Gone is created. Its condition is true for 0 series now.").waitFor();
  const influxql = "SELECT mean(temp) FROM home WHERE time > $from GROUP BY room";
  await create("Cold", "influxql", influxql, "below", "20");
  await page.getByText("The alert Cold is created. Its condition is true for 1 series now.").waitFor();
  await create("Hot", "promql", 'home_temp{room="kitchen"}', "above", "30");
  await page.getByText("The alert Hot is created. Its condition is true for 1 series now.").waitFor();
  await create("Wrong", "sql", "SELECT room FROM home", "above", "1");
  await dialog.getByText("The query has no column of numbers.").waitFor();
  await dialog.getByRole("button", { name: "Cancel" }).click();
  await expect.poll(() => page.getByRole("row").count()).toBe(4);
});

test("alerts that fire are shown with their labels, values and errors", async () => {
  const group = {
    name: "rooms",
    interval: "1s",
    rules: [
      { alert: "Warm", language: "sql", expr: "SELECT room, max(temp) AS value FROM home GROUP BY room" },
      { record: "broken", language: "sql", expr: "SELECT nothing FROM nowhere" },
    ],
  };
  await server.send("POST", "/prometheus/config/v1/rules/house?db=garden", group);
  const page = await openPage(server, "#/administer/alerts?db=garden", { theme: "dark" });
  await page
    .getByRole("row", { name: /^Warm firing firing: room=(cellar 12|kitchen 35)/ })
    .waitFor({ timeout: 60_000 });
  await page.getByRole("row", { name: /^broken records: .*nowhere/ }).waitFor();
  await screenshot(page, "administer-alerts-firing");
  await expectAccessible(page);
});
