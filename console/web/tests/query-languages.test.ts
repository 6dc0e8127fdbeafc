import { readFileSync } from "node:fs";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { expectAccessible, openPage, pageEvents, type Server, screenshot, startServer } from "./harness";

let server: Server;

beforeAll(async () => {
  server = await startServer();
  const lines = ["herbs", "tomatoes"].map((bed) => `soil,bed=${bed} moisture=38.5 1750000000000000000`);
  await server.write("garden", lines.join("\n"));
});

afterAll(() => server?.close());

async function openQuery(text: string, params = ""): Promise<Page> {
  return openPage(server, `#/explore?db=garden&q=${encodeURIComponent(text)}${params}`);
}

async function editorText(page: Page): Promise<string> {
  return (await page.locator(".cm-line").allInnerTexts()).join("\n");
}

test("all statements run, each with a result of its own", async () => {
  const page = await openQuery(
    "SELECT 1 AS a;\nSELECT bed FROM soil ORDER BY bed;\nSELECT nothing FROM soil;\nSELECT 4",
  );
  await page.getByRole("button", { name: "Run all" }).click();
  const statements = page.getByRole("group", { name: "Statements" });
  await statements.getByRole("button", { name: "3 SELECT nothing FROM soil failed" }).waitFor();
  await statements.getByText("1 not run").waitFor();
  await page.getByRole("alert").filter({ hasText: "nothing" }).waitFor();
  await statements.getByRole("button", { name: /^2 SELECT bed/ }).click();
  await page.getByRole("gridcell", { name: "tomatoes" }).waitFor();
  await screenshot(page, "explore-run-all");
  await expectAccessible(page);
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await statements.waitFor({ state: "detached" });
});

test("statements that change data ask once before all run", async () => {
  const page = await openQuery("SELECT 1;\nDELETE FROM soil WHERE bed = 'none'");
  await page.getByRole("button", { name: "Run all" }).click();
  const dialog = page.getByRole("dialog", { name: "1 of 2 statements change data" });
  await dialog.getByText("DELETE FROM soil").waitFor();
  await dialog.getByRole("button", { name: "Cancel" }).click();
  expect(await page.getByRole("group", { name: "Statements" }).count()).toBe(0);
});

test("completion offers the values of tags", async () => {
  const page = await openQuery("SELECT moisture FROM soil WHERE bed = ");
  await page.locator(".cm-content").click();
  await page.keyboard.press("Control+End");
  await page.keyboard.type("'");
  await page.keyboard.press("Control+Space");
  await page.getByRole("option", { name: "'tomatoes'" }).waitFor();
  await page.waitForTimeout(200);
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await expect.poll(() => editorText(page)).toBe("SELECT moisture FROM soil WHERE bed = 'tomatoes'");
});

test("a query in PromQL is drawn over the range, and saved as CSV", async () => {
  const page = await openQuery(
    "avg by (bed) (soil_moisture)",
    "&lang=promql&from=2026-01-31T12:00:00Z&to=2026-01-31T13:00:00Z",
  );
  const asked: URLSearchParams[] = [];
  // The shape of the answer is that of Prometheus; tests of the server compare its answers.
  await page.route("**/prometheus/api/v1/query_range", async (route) => {
    asked.push(new URLSearchParams(route.request().postData() ?? ""));
    const values = [0, 15, 30].map((second) => [1_769_860_800 + second, String(second)]);
    const result = [
      { metric: { bed: "herbs" }, values },
      { metric: { bed: "tomatoes" }, values },
    ];
    await route.fulfill({ json: { status: "success", data: { resultType: "matrix", result } } });
  });
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await page.getByText("6 rows").waitFor();
  expect(Object.fromEntries(asked[0] ?? [])).toEqual({
    db: "garden",
    query: "avg by (bed) (soil_moisture)",
    start: "1769860800",
    end: "1769864400",
    step: "15",
  });
  await page.getByRole("gridcell", { name: "2026-01-31T12:00:15Z" }).first().waitFor();
  await page.getByRole("tab", { name: "Chart" }).click();
  await page.getByRole("application", { name: /2 series: herbs .* tomatoes/ }).waitFor();
  await expectAccessible(page);
  await page.getByRole("button", { name: "Download" }).click();
  const [file] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("menuitem", { name: /^CSV *\./ }).click(),
  ]);
  expect(
    readFileSync(await file.path(), "utf8")
      .split("\n")
      .slice(0, 2),
  ).toEqual(["time,bed,value", "2026-01-31T12:00:00,herbs,0"]);
  await page.getByRole("button", { name: "Copy as" }).click();
  await page.getByRole("menuitem", { name: "neap query" }).click();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toContain(
    "--language promql --start 2026-01-31T12:00:00Z --end 2026-01-31T13:00:00Z --step 15s",
  );
  expect(pageEvents(page)).toMatchObject({ errors: [], dialogs: [], foreignRequests: [] });
});

test("a refresh with new data runs the query after a write, and not before", async () => {
  const page = await openQuery("SELECT count(*) AS n FROM soil", "&refresh=data");
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await page.getByRole("gridcell", { name: "2", exact: true }).waitFor();
  await server.write("garden", "soil,bed=nettles moisture=1");
  await page.getByRole("gridcell", { name: "3", exact: true }).waitFor();
});

test("a link with fixed times names the moments of a relative range", async () => {
  const page = await openQuery("SELECT 1", "&from=now-1h&to=now");
  await page.getByRole("button", { name: "More actions" }).click();
  await page.getByRole("menuitem", { name: "Copy a link with fixed times" }).click();
  await page.getByText("Copied the link.").waitFor();
  const link = decodeURIComponent(await page.evaluate(() => navigator.clipboard.readText()));
  expect(link).toMatch(/from=\d{4}-\d{2}-\d{2}T[\d:.]+Z&to=\d{4}-\d{2}-\d{2}T[\d:.]+Z&/);
});
