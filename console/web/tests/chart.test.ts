import { readFileSync } from "node:fs";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { expectAccessible, openPage, pageEvents, type Server, screenshot, startServer } from "./harness";
import { dashboardFile, importDashboard, isPainted, ROOMS, type TestCell, writeClimate } from "./support/dashboards";

const BINNED = `SELECT date_bin($interval, time) AS time, room, avg(temperature) AS temperature
FROM climate WHERE time >= $from AND time < $to GROUP BY 1, 2 ORDER BY 1`;

const CELLS: TestCell[] = [
  { title: "Line", query: BINNED, chart: { kind: "line", unit: "celsius" } },
  {
    title: "Bars",
    query: "SELECT room, max(temperature) AS warmest FROM climate GROUP BY room ORDER BY room",
    chart: { kind: "bar" },
  },
  {
    title: "Scatter",
    query: "SELECT temperature, memory, room FROM climate ORDER BY time",
    chart: { kind: "scatter", x: "temperature", values: ["memory"], unit: "bytes" },
  },
  { title: "Distribution", query: "SELECT time, temperature FROM climate", chart: { kind: "heatmap" } },
  { title: "Rooms", query: BINNED, chart: { kind: "heatmap", heat: "series", unit: "celsius" } },
  { title: "Now", query: BINNED, chart: { kind: "value", unit: "celsius", decimals: 1 } },
  { title: "Stacked", query: BINNED, chart: { kind: "bar", stacked: true } },
  { title: "Logarithmic", query: "SELECT time, room, memory FROM climate", chart: { kind: "line", logarithmic: true } },
];

let server: Server;

beforeAll(async () => {
  server = await startServer();
  await writeClimate(server, "home");
});

afterAll(() => server?.close());

/** Opens a dashboard of cells, and waits until the first one is drawn. */
async function openCharts(cells: TestCell[], options: Parameters<typeof openPage>[2] = {}): Promise<Page> {
  const page = await openPage(server, "#/dashboards?db=home", options);
  await importDashboard(page, dashboardFile("Charts", cells));
  await page
    .getByRole("article", { name: cells[0]?.title ?? "", exact: true })
    .locator("canvas, dl")
    .first()
    .waitFor();
  return page;
}

/** Waits until a cell has painted something in colour. */
async function waitForPaint(page: Page, title: string): Promise<void> {
  await page.getByRole("article", { name: title, exact: true }).locator("canvas").waitFor();
  await expect.poll(() => isPainted(page, title), { timeout: 20_000 }).toBe(true);
}

function cellOf(page: Page, title: string) {
  return page.getByRole("article", { name: title, exact: true });
}

test.each([
  ["light", 1280, 900],
  ["dark", 1280, 900],
  ["light", 360, 800],
  ["dark", 3840, 2160],
] as const)("every kind of chart is drawn, in %s theme, %i pixels wide", async (theme, width, height) => {
  const page = await openCharts(CELLS, { theme, width, height });
  for (const { title } of CELLS) {
    await cellOf(page, title).scrollIntoViewIfNeeded();
    if (title === "Now") {
      await cellOf(page, title).getByText("°C").first().waitFor();
    } else {
      await waitForPaint(page, title);
    }
  }
  await cellOf(page, "Line").scrollIntoViewIfNeeded();
  await screenshot(page, `charts-${theme}-${width}`);
  await expectAccessible(page);
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  expect(overflow).toBeLessThanOrEqual(0);
  expect(pageEvents(page).errors).toEqual([]);
});

test("columns are chosen by type, and described for screen readers", async () => {
  const page = await openCharts(CELLS.slice(0, 2));
  const line = cellOf(page, "Line").getByRole("application");
  const label = await line.getAttribute("aria-label");
  expect(label).toContain("Line chart of temperature, time from 2026-03-01 00:00:00");
  expect(label).toContain("4 series: Attic from");
  expect(label).toContain("°C");
  const bars = await cellOf(page, "Bars").getByRole("application").getAttribute("aria-label");
  expect(bars).toContain("Bar chart of warmest, room from Attic");
});

test("the legend switches series off and on by keyboard", async () => {
  const page = await openCharts(CELLS.slice(0, 1));
  await waitForPaint(page, "Line");
  const entries = cellOf(page, "Line").getByRole("list", { name: "Series" }).getByRole("button");
  expect(await entries.allTextContents()).toEqual(ROOMS);
  await entries.first().focus();
  await page.keyboard.press("Enter");
  expect(await entries.first().getAttribute("aria-pressed")).toBe("false");
  await page.keyboard.press("ArrowRight");
  expect(await entries.nth(1).evaluate((element) => element === document.activeElement)).toBe(true);
  await entries.nth(1).click({ modifiers: ["Shift"] });
  expect(await entries.evaluateAll((all) => all.map((one) => one.getAttribute("aria-pressed")))).toEqual([
    "false",
    "true",
    "false",
    "false",
  ]);
  await entries.nth(1).click({ modifiers: ["Shift"] });
  expect(await entries.first().getAttribute("aria-pressed")).toBe("true");
});

test("values are read, and the view is zoomed and moved, by keyboard", async () => {
  const page = await openCharts(CELLS.slice(0, 1));
  await waitForPaint(page, "Line");
  const cell = cellOf(page, "Line");
  await cell.getByRole("application").focus();
  await page.keyboard.press("Home");
  await page.keyboard.press("ArrowRight");
  await cell
    .locator("[aria-live]")
    .getByText(/2026-03-01 00:\d\d:\d\d: .*Kitchen [\d.]+ °C/)
    .waitFor({ state: "attached" });
  await page.keyboard.press("+");
  const zoom = cell.getByRole("group", { name: "Zoom" });
  // The times of a zoom have no digits that the plot does not show.
  await zoom.getByText(/^2026-03-01 00:\d\d:\d\d – 2026-03-01 \d\d:\d\d:\d\d$/).waitFor();
  const before = await zoom.textContent();
  await page.keyboard.press("Shift+ArrowRight");
  await expect.poll(() => zoom.textContent()).not.toBe(before);
  await page.keyboard.press("0");
  await zoom.waitFor({ state: "detached" });
});

test("a pointer shows the values at its place", async () => {
  const page = await openCharts(CELLS.slice(0, 1));
  await waitForPaint(page, "Line");
  await cellOf(page, "Line")
    .locator(".u-over")
    .hover({ position: { x: 150, y: 60 } });
  await cellOf(page, "Line").locator(".chart-tooltip").getByText("Kitchen").waitFor();
});

test("the cells of a dashboard share the moment below the pointer", async () => {
  const page = await openCharts([CELLS[0], { ...CELLS[0], title: "Other" }] as TestCell[]);
  await waitForPaint(page, "Line");
  await waitForPaint(page, "Other");
  const over = cellOf(page, "Line").locator(".u-over");
  await over.hover({ position: { x: 150, y: 60 } });
  const lineOf = async (title: string) => (await cellOf(page, title).locator(".u-cursor-x").boundingBox())?.x ?? 0;
  const edgeOf = async (title: string) => (await cellOf(page, title).locator(".u-over").boundingBox())?.x ?? 0;
  await expect.poll(async () => Math.round((await lineOf("Other")) - (await edgeOf("Other")))).toBe(150);
  expect(await cellOf(page, "Other").locator(".chart-tooltip").count()).toBe(0);
  await page.mouse.move(5, 5);
  await expect.poll(async () => (await lineOf("Other")) < (await edgeOf("Other"))).toBe(true);
});

/** Returns the widest part of a chart, between its first and its last coloured column, that has no colour. */
function widestGap(page: Page, title: string): Promise<number> {
  return cellOf(page, title)
    .locator("canvas")
    .evaluate((element) => {
      const canvas = element as HTMLCanvasElement;
      const { data } = canvas.getContext("2d")?.getImageData(0, 0, canvas.width, canvas.height) ?? { data: [] };
      let widest = 0;
      let last = -1;
      for (let x = 0; x < canvas.width; x++) {
        for (let y = 0; y < canvas.height; y++) {
          const [red = 0, green = 0, blue = 0] = data.slice(4 * (y * canvas.width + x), 4 * (y * canvas.width + x) + 3);
          if (Math.max(red, green, blue) - Math.min(red, green, blue) > 60) {
            widest = last < 0 ? 0 : Math.max(widest, x - last);
            last = x;
            break;
          }
        }
      }
      return widest / canvas.width;
    });
}

test("missing intervals and nulls are gaps", async () => {
  const query = "SELECT time, temperature FROM climate WHERE room = 'Attic' ORDER BY time";
  const page = await openCharts([
    { title: "Gap", query },
    { title: "Joined", query, chart: { kind: "line", gaps: "connect" } },
  ]);
  await waitForPaint(page, "Gap");
  await waitForPaint(page, "Joined");
  expect(await widestGap(page, "Gap")).toBeGreaterThan(0.03);
  expect(await widestGap(page, "Joined")).toBeLessThan(0.02);
});

test("a chart is saved as PNG", async () => {
  const page = await openCharts([{ ...(CELLS[0] as TestCell), title: "../Temperatures <b>" }]);
  await waitForPaint(page, "../Temperatures <b>");
  await page.getByRole("button", { name: "Actions of ../Temperatures <b>" }).click();
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("menuitem", { name: "Save as PNG" }).click(),
  ]);
  expect(download.suggestedFilename()).toBe("Temperatures -b.png");
  const file = readFileSync(await download.path());
  expect(file.subarray(1, 4).toString()).toBe("PNG");
  expect(file.length).toBeGreaterThan(5000);
});

test("a million points stay fluid", async () => {
  const query = "SELECT value AS x, sin(value / 20000.0) * 10 + value % 7 AS y FROM generate_series(1, 1000000)";
  const page = await openCharts([
    { title: "Many", query, chart: { kind: "line", x: "x", values: ["y"] } },
    { title: "Cloud", query, chart: { kind: "scatter", x: "x", values: ["y"] } },
    { title: "Heat", query, chart: { kind: "heatmap", x: "x", values: ["y"] } },
  ]);
  for (const title of ["Many", "Cloud", "Heat"]) {
    await waitForPaint(page, title);
  }
  await screenshot(page, "charts-million");
  await cellOf(page, "Many").getByRole("application").focus();
  for (const key of ["+", "+", "Shift+ArrowRight", "-", "0"]) {
    await page.keyboard.press(key);
  }
  await waitForPaint(page, "Many");
});

/** Opens Explore with a query, and runs it. */
async function openExplore(query: string, options: Parameters<typeof openPage>[2] = {}): Promise<Page> {
  const page = await openPage(server, `#/explore?db=home&q=${encodeURIComponent(query)}`, options);
  await page.getByRole("button", { name: "Run", exact: true }).click();
  return page;
}

test("the kind, the columns and the unit of a chart are chosen in its toolbar", async () => {
  const page = await openExplore("SELECT time, room, temperature, memory FROM climate ORDER BY time");
  await page.getByText("5,640 rows").waitFor();
  await page.getByRole("tab", { name: "Chart" }).click();
  const chart = page.getByRole("application");
  await chart.waitFor();
  expect(await chart.getAttribute("aria-label")).toContain("8 series");
  await page.getByRole("button", { name: /^Values/ }).click();
  await page.getByLabel(/^temperature/).uncheck();
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: /^Chart options/ }).click();
  await page.getByLabel("Unit").selectOption("bytes");
  await page.keyboard.press("Escape");
  await expect
    .poll(() => chart.getAttribute("aria-label"))
    .toMatch(/4 series: Attic from 0\.\d+ MiB|4 series: Attic from .* KiB/);
  await page.getByRole("radio", { name: "Line" }).focus();
  await page.keyboard.press("ArrowRight");
  expect(await page.getByRole("radio", { name: "Bar" }).getAttribute("aria-checked")).toBe("true");
  await page.getByRole("radio", { name: "Heat map" }).click();
  await page.getByText("mean per cell").waitFor();
  await expectAccessible(page);
  await screenshot(page, "chart-toolbar");
  await page.getByRole("radio", { name: "Line" }).click();
  await page.locator(".u-over").waitFor();
  const box = await page.locator(".u-over").boundingBox();
  if (!box) {
    throw new Error("the plot is not visible");
  }
  await page.mouse.move(box.x + box.width * 0.25, box.y + 50);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.5, box.y + 50, { steps: 4 });
  await page.mouse.up();
  await page.getByRole("button", { name: "Query this range" }).click();
  await page.waitForFunction(() => /from=2026-03-01T0[56]/.test(location.hash));
});

test.each([
  ["light", 1280],
  ["dark", 1280],
  ["light", 360],
] as const)("a plan is a tree with time, rows and bytes, in %s theme, %i pixels wide", async (theme, width) => {
  const query = `EXPLAIN ANALYZE SELECT a.room, max(b.temperature) FROM climate a JOIN climate b ON a.time = b.time
WHERE b.room = '<b>''' || chr(10) || 'FakeExec' OR a.room = 'Attic' GROUP BY a.room ORDER BY 1`;
  const page = await openExplore(query, { theme, width });
  await page.getByRole("tab", { name: "Plan" }).click();
  const tree = page.getByRole("treegrid", { name: "Plan" });
  const join = tree.getByRole("row", { name: /HashJoinExec/ }).first();
  await join.waitFor();
  await screenshot(page, `plan-${theme}-${width}`);
  await page.getByText("Read from the store").waitFor();
  const rows = await tree.getByRole("row").count();
  await tree.getByRole("row", { level: 1 }).first().focus();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowLeft");
  await expect.poll(() => tree.getByRole("row").count()).toBeLessThan(rows);
  await page.keyboard.press("ArrowRight");
  await expect.poll(() => tree.getByRole("row").count()).toBe(rows);
  await join.getByText("HashJoinExec").click();
  await page.getByRole("region", { name: "Details of the operator" }).getByText("build input rows").waitFor();
  await expectAccessible(page);
  expect(pageEvents(page).errors).toEqual([]);
});
