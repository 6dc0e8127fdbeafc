import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openPage, pageEvents, type Server, screenshot, startServer } from "./harness";
import { HOSTILE_DATABASE, HOSTILE_TEXTS, writeHostileRows } from "./support/hostile";
import { hashOf, VIEWS } from "./support/views";

let server: Server;

beforeAll(async () => {
  server = await startServer();
  await writeHostileRows(server);
});

afterAll(() => server?.close());

test.each(VIEWS)("$name treats hostile names and values as texts, in a wide and a narrow window", async (view) => {
  const page = await openPage(server, hashOf(view, HOSTILE_DATABASE), { width: 1280 });
  await page.waitForLoadState("networkidle");
  for (const width of [1280, 360]) {
    await page.setViewportSize({ width, height: 800 });
    await screenshot(page, `hostile-${view.name}-${width}`);
    await expectHarmless(page);
  }
});

test("previews of hostile tables show their rows", async () => {
  const page = await openPage(server, `#/explore?db=${HOSTILE_DATABASE}`);
  for (const text of HOSTILE_TEXTS) {
    await page.getByRole("tree").getByText(text, { exact: true }).click();
    await page.locator("canvas").first().waitFor();
    await expectHarmless(page);
    await page.getByRole("button", { name: "Show rows" }).click();
    await page.getByRole("gridcell").filter({ hasText: text }).first().waitFor();
    await expectHarmless(page);
  }
});

test("columns and charts of hostile tables are shown", async () => {
  const page = await openPage(server, `#/explore?db=${HOSTILE_DATABASE}`);
  for (const text of HOSTILE_TEXTS.slice(0, 5)) {
    const name = page.getByRole("tree").getByText(text, { exact: true });
    await name.click();
    await page.locator("canvas").first().waitFor();
    await page.keyboard.press("ArrowRight");
    await page
      .getByRole("treeitem")
      .filter({ hasText: `f ${text}` })
      .last()
      .waitFor();
    await expectHarmless(page);
    await page.getByRole("button", { name: "Show rows" }).click();
    await page.getByRole("gridcell").filter({ hasText: text }).first().waitFor();
    await page.getByRole("tab", { name: "Chart", exact: true }).click();
    await page.locator("canvas").first().waitFor();
    await expectHarmless(page);
  }
});

test("a dashboard of hostile tables shows them", async () => {
  const page = await openPage(server, `#/dashboards?db=${HOSTILE_DATABASE}`);
  await page.getByRole("button", { name: "Make one from the tables" }).click();
  await page.getByText("Rows of").first().waitFor();
  await page.waitForLoadState("networkidle");
  await screenshot(page, "hostile-dashboard");
  await expectHarmless(page);
});

test("results show values of 60 KB without breaking the layout", async () => {
  const query = encodeURIComponent("SELECT tag, text, other FROM long");
  const page = await openPage(server, `#/explore?db=${HOSTILE_DATABASE}&q=${query}`);
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await page.getByRole("gridcell").filter({ hasText: "LLLL" }).first().waitFor();
  await screenshot(page, "hostile-long-values");
  await expectHarmless(page);
});

test("the log of queries shows hostile texts as they are", async () => {
  const text = "SELECT '<img src=x onerror=alert(1)>' AS \"<b>x</b>\", '\u202e👩‍👩‍👧‍👦'";
  await server.query(HOSTILE_DATABASE, text);
  const page = await openPage(server, `#/operate/queries?db=${HOSTILE_DATABASE}`);
  const row = page.getByRole("row").filter({ hasText: text });
  await row.getByRole("button", { name: "Show the details" }).click();
  await page.getByLabel("Text of the query").filter({ hasText: text }).waitFor();
  await expectHarmless(page);
});

/** Throws if a name or value did something, or if the page is wider than its window. */
async function expectHarmless(page: Page): Promise<void> {
  expect(pageEvents(page)).toMatchObject({ errors: [], dialogs: [], foreignRequests: [] });
  const found = await page.evaluate(() => ({
    // Elements that only the texts of the database could have made.
    injected: document.querySelectorAll("img[src=x], [onerror], [onload], #app script, #app style").length,
    hasOverflow: document.documentElement.scrollWidth > document.documentElement.clientWidth,
    isVisible: getComputedStyle(document.body).display !== "none",
    isPrototypeClean: !("alert" in Object.prototype) && Object.keys(Object.prototype).length === 0,
  }));
  expect(found).toEqual({ injected: 0, hasOverflow: false, isVisible: true, isPrototypeClean: true });
}
