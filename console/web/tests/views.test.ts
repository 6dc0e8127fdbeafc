import { afterAll, beforeAll, expect, test } from "vitest";
import { expectAccessible, openPage, pageEvents, type Server, screenshot, startServer } from "./harness";

let server: Server;

beforeAll(async () => {
  server = await startServer();
  const lines = Array.from({ length: 48 }, (_, at) => {
    return `soil,bed=${at % 2 === 0 ? "herbs" : "tomatoes"} moisture=${30 + at / 2} ${1_750_000_000 + at * 600}000000000`;
  });
  await server.write("garden", lines.join("\n"));
});

afterAll(() => server?.close());

test("a chart becomes a materialized view, which is listed, marked in the tree, and dropped", async () => {
  const page = await openPage(server, "#/explore?db=garden");
  await page.getByRole("treeitem", { name: "soil" }).click();
  await page.getByRole("application").waitFor();
  await page.getByRole("button", { name: "More actions" }).click();
  await page.getByRole("menuitem", { name: "Keep as a materialized view…" }).click();
  const dialog = page.getByRole("dialog", { name: "Create a materialized view" });
  expect(await dialog.getByLabel("Query").inputValue()).toBe(
    "SELECT date_bin(INTERVAL '1 hour', time) AS time, bed, avg(moisture) AS moisture\nFROM soil\nGROUP BY 1, 2",
  );
  await expectAccessible(page);
  await dialog.getByLabel("Name").fill("soil_1h");
  await dialog.getByRole("button", { name: "Create view" }).click();
  const row = page.getByRole("row", { name: /^soil_1h view soil soil_1h 1h/ });
  await row.waitFor();
  await screenshot(page, "administer-views");
  await expectAccessible(page);
  await page.getByRole("link", { name: "Explore" }).click();
  await page.getByRole("button", { name: "Read the schema again" }).click();
  await page.getByRole("treeitem", { name: "soil_1h view: 1 h of soil" }).waitFor();
  await page.getByRole("link", { name: "Administer" }).click();
  await page.getByRole("tab", { name: "Views" }).click();
  await row.getByRole("button", { name: "Drop" }).click();
  await page.getByRole("dialog", { name: "Drop the view" }).getByRole("button", { name: "Drop the view" }).click();
  await page.getByText("No view yet").waitFor();
  expect(pageEvents(page)).toMatchObject({ errors: [], dialogs: [], foreignRequests: [] });
});

test("a continuous query is listed and dropped, and a query that can't be a view says why", async () => {
  const q =
    "CREATE CONTINUOUS QUERY means ON garden BEGIN SELECT mean(moisture) INTO dry FROM soil GROUP BY time(1h) END";
  await server.request("/query", { method: "POST", body: new URLSearchParams({ q }) });
  const page = await openPage(server, "#/administer/views?db=garden");
  const row = page.getByRole("row", { name: /^means continuous query soil dry 1h/ });
  await row.waitFor();
  await page.getByRole("button", { name: "Create view" }).click();
  const dialog = page.getByRole("dialog", { name: "Create a materialized view" });
  await dialog.getByLabel("Name").fill("rows");
  await dialog.getByLabel("Query").fill("SELECT * FROM soil");
  await dialog.getByRole("button", { name: "Create view" }).click();
  await dialog.getByRole("alert").waitFor();
  await dialog.getByRole("button", { name: "Cancel" }).click();
  await row.getByRole("button", { name: "Drop" }).click();
  await page.getByRole("button", { name: "Drop the view" }).click();
  await row.waitFor({ state: "detached" });
});
