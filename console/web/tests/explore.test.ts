import { readFileSync } from "node:fs";
import { tableFromIPC } from "@uwdata/flechette";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { expectAccessible, openPage, pageEvents, type Server, screenshot, startServer } from "./harness";

/** A query that computes for minutes unless it is ended. */
const ENDLESS = "SELECT count(*) FROM generate_series(1, 1000000) AS a, generate_series(1, 1000000) AS b";

/** The editor takes no key for a completion that has only just appeared, so that typing goes on. */
const COMPLETION_DELAY_MS = 200;

let server: Server;

beforeAll(async () => {
  server = await startServer();
  const lines = Array.from({ length: 48 }, (_, at) => {
    const bed = at % 2 === 0 ? "herbs" : "tomatoes";
    return `soil,bed=${bed} moisture=${30 + at / 2},watered=${at % 7 === 0} ${1_750_000_000 + at * 600}000000000`;
  });
  await server.write("garden", lines.join("\n"));
  await server.write("garden", "air humidity=61.5");
  await server.send("POST", "/api/v3/configure/last_cache", {
    db: "garden",
    table: "soil",
    name: "latest",
    ttl: 10 * 365 * 86_400,
  });
});

afterAll(() => server?.close());

/** Opens the view with a text in the editor. */
async function openQuery(text: string, params = "", width?: number): Promise<Page> {
  return openPage(server, `#/explore?db=garden&q=${encodeURIComponent(text)}${params}`, { width });
}

async function run(page: Page): Promise<void> {
  await page.getByRole("button", { name: "Run", exact: true }).click();
}

function cell(page: Page, text: string) {
  return page.getByRole("gridcell", { name: text, exact: true });
}

/** Returns the text of the editor. */
async function editorText(page: Page): Promise<string> {
  return (await page.locator(".cm-line").allInnerTexts()).join("\n");
}

test("a click on a table draws a line for each value of a tag, and then shows the rows", async () => {
  const page = await openPage(server, "#/explore?db=garden");
  await page.getByRole("treeitem", { name: "soil" }).click();
  const chart = page.getByRole("application", { name: /^soil: Line chart of moisture.* 2 series: herbs .* tomatoes / });
  await chart.waitFor();
  await expect
    .poll(() => editorText(page))
    .toBe(
      "SELECT date_bin($interval, time) AS time, bed, avg(moisture) AS moisture\nFROM soil\n" +
        "WHERE time >= $from AND time < $to\nGROUP BY 1, 2 ORDER BY 1",
    );
  await screenshot(page, "explore-first-chart");
  await expectAccessible(page);
  await page.getByRole("button", { name: "Show rows" }).click();
  await page.getByRole("columnheader", { name: "moisture float" }).waitFor();
  await page.getByText("48 rows").waitFor();
  await screenshot(page, "explore-table");
  expect(pageEvents(page)).toMatchObject({ errors: [], dialogs: [], foreignRequests: [] });
});

test("a zoom into a first chart reads finer points, and goes back", async () => {
  const fine = Array.from(
    { length: 2_000 },
    (_, at) => `pulse,bed=a beat=${at % 7} ${1_750_000_000 + at * 60}000000000`,
  );
  await server.write("garden", [...fine, ...fine.map((line) => line.replace("bed=a", "bed=b"))].join("\n"));
  const page = await openPage(server, "#/explore?db=garden");
  await page.getByRole("treeitem", { name: "pulse" }).click();
  const plot = page.getByRole("application", { name: /^pulse: Line chart/ });
  await plot.waitFor();
  // 2,000 minutes are 201 intervals of 10 minutes for each of the two lines.
  await page.getByText("402 rows").waitFor();
  const box = await plot.locator(".u-over").boundingBox();
  if (!box) {
    throw new Error("the plot is not visible");
  }
  await page.mouse.move(box.x + box.width * 0.4, box.y + 50);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.5, box.y + 50, { steps: 5 });
  await page.mouse.up();
  await page.getByRole("button", { name: "Zoom out" }).waitFor();
  await page.getByText(/^(39\d|40[0-8]) rows$/).waitFor();
  await page.getByRole("button", { name: "Zoom out" }).click();
  await page.getByText("402 rows").waitFor();
  expect(await page.getByRole("button", { name: "Zoom out" }).count()).toBe(0);
});

test("an empty server leads to the first write", async () => {
  const empty = await startServer();
  const page = await openPage(empty);
  await page.getByRole("heading", { name: "Write the first rows" }).waitFor();
  await expectAccessible(page);
  await page.getByRole("button", { name: "Load a sample" }).click();
  await page.waitForFunction(() => location.hash.startsWith("#/write/samples"));
  await empty.close();
});

test("the tree shows columns with types, counted tags, caches and system tables, by keyboard too", async () => {
  const page = await openPage(server, "#/explore?db=garden");
  const table = page.getByRole("treeitem", { name: "soil" });
  await table.focus();
  await page.keyboard.press("ArrowRight");
  await page.getByRole("treeitem", { name: "moisture Float64" }).waitFor();
  await page
    .getByRole("treeitem", { name: /^bed tag/ })
    .getByRole("button", { name: "count" })
    .click();
  await page.getByRole("treeitem", { name: "bed 2 values" }).waitFor();
  await page.getByRole("treeitem", { name: "Caches 1" }).click();
  await page.getByRole("treeitem", { name: "latest last values of soil" }).click();
  await page.getByText("2 rows").waitFor();
  await page.getByRole("searchbox", { name: "Filter tables and columns" }).fill("humid");
  expect(await page.getByRole("treeitem", { name: "soil" }).count()).toBe(0);
  await page.getByRole("treeitem", { name: "air" }).waitFor();
});

test("an error is shown under the place that it is about", async () => {
  const page = await openQuery("SELECT 1;\nSELECT nothing FROM soil");
  await page.locator(".cm-line").nth(1).click();
  await page.keyboard.press("Control+Enter");
  await page.getByRole("alert").filter({ hasText: "No field named nothing" }).waitFor();
  expect(await page.locator(".cm-lintRange-error").textContent()).toBe("nothing");
  await screenshot(page, "explore-error");
});

test("cancel ends the query on the server", async () => {
  const page = await openQuery(ENDLESS);
  await run(page);
  const running = "SELECT count(*) AS n FROM system.queries WHERE running AND query_text LIKE '%generate_series%'";
  await expect.poll(async () => (await server.query("garden", running))[0]?.n, { timeout: 30_000 }).toBe(2);
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("heading", { name: "Cancelled" }).waitFor();
  // The query that asks is the only one that is left.
  await expect.poll(async () => (await server.query("garden", running))[0]?.n, { timeout: 30_000 }).toBe(1);
});

test("completion offers tables, columns and functions with signatures", async () => {
  const page = await openQuery("");
  await page.locator(".cm-content").click();
  await page.keyboard.type("SELECT moi");
  await page.keyboard.press("Escape");
  await page.keyboard.type(" FROM so");
  await page.getByRole("option", { name: /^soil/ }).waitFor();
  await page.waitForTimeout(COMPLETION_DELAY_MS);
  await page.keyboard.press("Enter");
  await expect.poll(() => editorText(page)).toContain("FROM soil");
  await page.keyboard.press("Home");
  for (let at = 0; at < "SELECT moi".length; at++) {
    await page.keyboard.press("ArrowRight");
  }
  await page.keyboard.press("Control+Space");
  await page.getByRole("option", { name: /^moisture/ }).waitFor();
  await page.waitForTimeout(COMPLETION_DELAY_MS);
  await page.keyboard.press("Enter");
  await expect.poll(() => editorText(page)).toBe("SELECT moisture FROM soil");
  await page.keyboard.type(", date_b");
  await page.getByRole("option", { name: /^date_bin\(interval/ }).waitFor();
  await screenshot(page, "explore-completion");
});

test("parameters and the time range fill the placeholders", async () => {
  const page = await openQuery("SELECT count(*) AS n FROM soil WHERE bed = $bed AND time >= $from AND time < $to");
  await page.getByLabel("Value of $bed").fill("herbs");
  await run(page);
  await cell(page, "24").waitFor();
  await page.getByRole("button", { name: /^Time range/ }).click();
  await page.getByRole("textbox", { name: "From" }).fill("2025-06-15 16:00");
  await page.getByRole("textbox", { name: "To" }).fill("2025-06-15 17:00");
  await page.getByRole("button", { name: "Apply" }).click();
  // The query runs again by itself.
  await cell(page, "3").waitFor();
  expect(page.url()).toContain("from=2025-06-15");
  await page.getByLabel("Value of $bed").fill("nettles");
  await page.getByLabel("Value of $bed").press("Enter");
  await cell(page, "0").waitFor();
});

test("a query without rows in the range offers all time", async () => {
  const page = await openQuery("SELECT bed FROM soil WHERE time >= $from AND time < $to", "&from=now-5m&to=now");
  await run(page);
  await page.getByRole("button", { name: "Search all time" }).click();
  await page.getByText("48 rows").waitFor();
});

test("as of shows the data of an earlier moment", async () => {
  await server.write("past", "t v=1 1");
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  const moment = new Date().toISOString();
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  await server.write("past", "t v=2 2");
  const query = encodeURIComponent("SELECT count(*) AS n FROM t");
  const page = await openPage(server, `#/explore?db=past&q=${query}`);
  await run(page);
  await cell(page, "2").waitFor();
  await page.getByRole("button", { name: /^Moment of the data/ }).click();
  await page.getByLabel("Time or stamp").fill(moment);
  await page.getByRole("button", { name: "Apply" }).click();
  await cell(page, "1").waitFor();
  await page.getByRole("button", { name: /^Moment of the data/ }).click();
  await page.getByRole("button", { name: "Now", exact: true }).last().click();
  await cell(page, "2").waitFor();
});

test("the automatic refresh shows new rows", async () => {
  const query = encodeURIComponent("SELECT count(*) AS n FROM live");
  await server.write("refresh", "live v=1 1");
  const page = await openPage(server, `#/explore?db=refresh&refresh=5&q=${query}`);
  await run(page);
  await cell(page, "1").waitFor();
  await server.write("refresh", "live v=1 2");
  await cell(page, "2").waitFor();
});

test("influxql queries run, too", async () => {
  const page = await openQuery("SELECT mean(moisture) FROM soil WHERE time >= $from GROUP BY bed", "&lang=influxql");
  await run(page);
  await page.getByText("2 rows").waitFor();
  await page.getByRole("columnheader", { name: /^mean/ }).waitFor();
});

test("tabs keep their texts over a reload, and a closed tab comes back", async () => {
  const page = await openQuery("SELECT 1 AS first");
  await page.keyboard.press("Alt+N");
  await page.locator(".cm-content").click();
  await page.keyboard.type("SELECT 2 AS second");
  await page.reload();
  await page.getByRole("tab", { name: "Query 2" }).click();
  await expect.poll(() => editorText(page)).toBe("SELECT 2 AS second");
  await page.getByRole("tab", { name: "Query 2" }).press("Delete");
  await expect.poll(() => editorText(page)).toBe("SELECT 1 AS first");
  await page.getByRole("button", { name: "Undo" }).click();
  await expect.poll(() => editorText(page)).toBe("SELECT 2 AS second");
});

test("the history lists queries that were run", async () => {
  const page = await openQuery("SELECT 41 + 1 AS answer");
  await run(page);
  await cell(page, "42").waitFor();
  await page.keyboard.press("Alt+N");
  await page.getByRole("button", { name: "History" }).click();
  await page.getByRole("button", { name: /SELECT 41 \+ 1 AS answer/ }).click();
  await expect.poll(() => editorText(page)).toBe("SELECT 41 + 1 AS answer");
});

test("a saved query is in the database for everybody, and goes after a confirmation", async () => {
  const page = await openQuery("SELECT 7 AS seven");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.getByRole("textbox", { name: "Name" }).fill("The seven");
  await page.getByRole("button", { name: "Save the query" }).click();
  await page.getByText("Saved “The seven”").waitFor();
  // Another user, in a browser of their own.
  const other = await openPage(server, "#/explore?db=garden");
  await other.getByRole("button", { name: "Saved" }).click();
  await other.getByRole("button", { name: /^The seven/ }).click();
  await expect.poll(() => editorText(other)).toBe("SELECT 7 AS seven");
  await other.locator(".cm-content").click();
  await other.keyboard.press("Control+End");
  await other.keyboard.type(", 8 AS eight");
  await other.getByRole("button", { name: "Save", exact: true }).click();
  await other.getByText("Saved “The seven”.").waitFor();
  // The first user has an old version.
  await page.locator(".cm-content").click();
  await page.keyboard.press("Control+End");
  await page.keyboard.type(" ");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.getByText("Another user has changed this query").waitFor();
  await page.getByRole("button", { name: "Saved" }).click();
  await page.getByRole("button", { name: "Delete The seven" }).click();
  await page.getByRole("button", { name: "Delete the query" }).click();
  await page.getByRole("heading", { name: "No saved queries" }).waitFor();
});

test("a result is sorted by a click on a column, and a value opens by Enter", async () => {
  const page = await openQuery("SELECT bed, moisture FROM soil ORDER BY time");
  await run(page);
  await page
    .getByRole("columnheader", { name: /^moisture/ })
    .getByRole("button")
    .click();
  await page
    .getByRole("columnheader", { name: /^moisture/ })
    .getByRole("button")
    .click();
  const first = page.getByRole("row").nth(1).getByRole("gridcell").nth(1);
  expect(await first.textContent()).toBe("53.5");
  await page.getByRole("grid", { name: "Result" }).focus();
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Enter");
  await page.getByRole("dialog", { name: "moisture" }).getByText("53.5").waitFor();
});

test("downloads have the rows in the chosen format", async () => {
  const page = await openQuery("SELECT bed, moisture FROM soil ORDER BY time LIMIT 3");
  await run(page);
  await page.getByText("3 rows").waitFor();
  const download = async (format: string): Promise<Buffer> => {
    await page.getByRole("button", { name: "Download" }).click();
    const [file] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("menuitem", { name: new RegExp(`^${format} *\\.`) }).click(),
    ]);
    expect(file.suggestedFilename()).toMatch(new RegExp(`^garden-[0-9-]+\\.${format.toLowerCase()}$`));
    return readFileSync(await file.path());
  };
  expect((await download("CSV")).toString()).toBe("bed,moisture\nherbs,30.0\ntomatoes,30.5\nherbs,31.0\n");
  expect((await download("Parquet")).subarray(0, 4).toString()).toBe("PAR1");
  expect(tableFromIPC(await download("Arrow")).numRows).toBe(3);
});

test("a query is copied for curl, Python and neap, without a token", async () => {
  const page = await openQuery("SELECT bed FROM soil WHERE bed = 'herbs'");
  const copy = async (name: string): Promise<string> => {
    await page.getByRole("button", { name: "Copy as" }).click();
    await page.getByRole("menuitem", { name, exact: true }).click();
    await page
      .getByText(/^Copied a/)
      .last()
      .waitFor();
    return page.evaluate(() => navigator.clipboard.readText());
  };
  expect(await copy("curl")).toContain("/api/v3/query_sql");
  expect(await copy("Python")).toContain("InfluxDBClient3(host=");
  expect(await copy("neap query")).toContain("neap query --host");
});

test("a statement that changes data asks before it runs", async () => {
  await server.write("deletes", "t,a=x v=1 1\nt,a=y v=2 2");
  const query = encodeURIComponent("DELETE FROM t WHERE a = 'x'");
  const page = await openPage(server, `#/explore?db=deletes&q=${query}`);
  await run(page);
  await page.getByRole("dialog", { name: "This statement changes data" }).waitFor();
  expect(await server.query("deletes", "SELECT a FROM t")).toHaveLength(2);
  await page.getByRole("button", { name: "Run the statement" }).click();
  await expect.poll(() => server.query("deletes", "SELECT a FROM t")).toHaveLength(1);
});

test("format lays out the query, and the plan shows its operators", async () => {
  const page = await openQuery("select bed, avg(moisture) from soil group by bed");
  await page.getByRole("button", { name: "Format" }).click();
  await expect.poll(() => editorText(page)).toBe("SELECT bed,\n  avg(moisture)\nFROM soil\nGROUP BY bed");
  await page.getByRole("tab", { name: "Plan" }).click();
  await page.getByRole("button", { name: "Explain the query" }).click();
  await page.getByText("AggregateExec").first().waitFor();
  await screenshot(page, "explore-plan");
});

test("the result is shown as a chart", async () => {
  const page = await openQuery("SELECT time, bed, moisture FROM soil ORDER BY time");
  await run(page);
  await page.getByText("48 rows").waitFor();
  await page.getByRole("tab", { name: "Chart" }).click();
  await page.locator("canvas").first().waitFor();
  await screenshot(page, "explore-chart");
});

test("the palette and the list of keys open by keyboard", async () => {
  const page = await openPage(server, "#/explore?db=garden");
  await page.locator("main").focus();
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keyboard" }).waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.press("Control+K");
  await page.getByRole("combobox", { name: "Find a command" }).fill("go to write");
  await page.getByRole("option", { name: /^Go to write/i, selected: true }).waitFor();
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => location.hash.startsWith("#/write"));
});

test.each([
  { theme: "light", width: 1280 },
  { theme: "dark", width: 1280 },
  { theme: "light", width: 360 },
] as const)("the view has no accessibility problems in $theme at $width pixels", async ({ theme, width }) => {
  const query = encodeURIComponent("SELECT nothing, $limit FROM soil");
  const page = await openPage(server, `#/explore?db=garden&q=${query}`, { theme, width });
  await run(page);
  await page.getByRole("alert").waitFor();
  await expectAccessible(page);
  if (width < 860) {
    await page.getByRole("button", { name: "Show the schema" }).click();
  }
  await page.getByRole("treeitem", { name: "soil" }).click();
  await page.getByText("48 rows").waitFor();
  await page.getByRole("application").waitFor();
  await expectAccessible(page);
  await screenshot(page, `explore-${theme}-${width}`);
  await page.getByRole("button", { name: /^Time range/ }).click();
  await expectAccessible(page);
});

test("the dialogs have no accessibility problems", async () => {
  const page = await openQuery("SELECT bed FROM soil");
  await run(page);
  await page.getByText("48 rows").waitFor();
  await page.getByRole("grid", { name: "Result" }).focus();
  await page.keyboard.press("Enter");
  const openers = [
    async () => {},
    () => page.getByRole("button", { name: "History" }).click(),
    () => page.getByRole("button", { name: "Saved" }).click(),
    () => page.getByRole("button", { name: "Save", exact: true }).click(),
    () => page.keyboard.press("Control+K"),
    () => page.getByRole("button", { name: "Keyboard (?)" }).click(),
  ];
  for (const open of openers) {
    await open();
    await page.getByRole("dialog").waitFor();
    await page.waitForLoadState("networkidle");
    await expectAccessible(page);
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
  }
  await page.getByRole("button", { name: "Download" }).click();
  await expectAccessible(page);
});

test("a link to a query opens it without running it", async () => {
  const page = await openQuery("SELECT count(*) AS n FROM soil");
  await page.getByRole("button", { name: "More actions" }).click();
  await page.getByRole("menuitem", { name: "Copy a link to this query" }).click();
  await page.getByText("Copied the link.").waitFor();
  const link = await page.evaluate(() => navigator.clipboard.readText());
  const other = await openPage(server, new URL(link).hash);
  await expect.poll(() => editorText(other)).toBe("SELECT count(*) AS n FROM soil");
  await other.getByRole("heading", { name: "No result yet" }).waitFor();
});

test("the next user of the page does not see what the last one saw", async () => {
  const secured = await startServer({ tokens: true });
  await secured.write("garden", "soil,bed=herbs moisture=38.5");
  const page = await openPage(secured, "#/explore?db=garden", { token: secured.token });
  await page.getByRole("treeitem", { name: "soil" }).click();
  await page.getByText("1 row", { exact: true }).waitFor();
  await page.getByRole("button", { name: /^Sign out/ }).click();
  await page.getByLabel("Token", { exact: true }).fill(secured.token ?? "");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "Explore" }).waitFor({ state: "attached" });
  expect(await page.getByRole("gridcell").count()).toBe(0);
  expect(await page.getByRole("tab", { name: "soil" }).count()).toBe(0);
  expect(await page.evaluate(() => JSON.stringify([localStorage, sessionStorage]))).not.toContain("soil");
  await secured.close();
});

test("a click in the tree shows a chart, also after a plan", async () => {
  const page = await openQuery("SELECT bed FROM soil");
  await run(page);
  await page.getByRole("tab", { name: "Plan" }).click();
  await page.getByRole("treeitem", { name: "air" }).click();
  await page.getByRole("application").waitFor();
});

test("a run closes the list of completions", async () => {
  const page = await openQuery("SELECT bed FROM soil");
  await page.locator(".cm-content").click();
  await page.keyboard.press("Control+End");
  await page.keyboard.type(" WHERE moi");
  await page.getByRole("option", { name: /^moisture/ }).waitFor();
  await page.keyboard.press("Control+Enter");
  await page.getByRole("alert").waitFor();
  expect(await page.locator(".cm-tooltip-autocomplete").count()).toBe(0);
});

test("typing over selected text breaks no rule of the content security policy", async () => {
  const page = await openQuery("SELECT 'bed' FROM soil -- comment");
  await page.locator(".cm-content").click();
  await page.keyboard.press("Control+A");
  await page.keyboard.type("SELECT 2");
  await expect.poll(() => editorText(page)).toBe("SELECT 2");
  await page.keyboard.press("Control+A");
  await page.keyboard.type("(");
  await expect.poll(() => editorText(page)).toBe("(SELECT 2)");
  expect(pageEvents(page)).toMatchObject({ errors: [], dialogs: [], foreignRequests: [] });
});

test("on a phone the tree is a drawer, and a plot has half of the screen", async () => {
  const page = await openPage(server, "#/explore?db=garden", { width: 360, height: 740 });
  const tree = page.getByRole("treeitem", { name: "soil" });
  await tree.waitFor({ state: "hidden" });
  await page.getByRole("button", { name: "Show the schema" }).click();
  await tree.waitFor();
  await screenshot(page, "explore-drawer");
  await page.keyboard.press("Escape");
  await tree.waitFor({ state: "hidden" });
  await page.getByRole("button", { name: "Show the schema" }).click();
  await page.mouse.click(350, 400);
  await tree.waitFor({ state: "hidden" });
  await page.getByRole("button", { name: "Show the schema" }).click();
  await tree.click();
  await tree.waitFor({ state: "hidden" });
  const plot = page.getByRole("application");
  await plot.waitFor();
  expect((await plot.boundingBox())?.height).toBeGreaterThanOrEqual(370);
  await plot.scrollIntoViewIfNeeded();
  await screenshot(page, "explore-phone-plot");
  await expectAccessible(page);
});
