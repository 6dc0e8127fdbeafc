import { readFileSync } from "node:fs";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { expectAccessible, openPage, pageEvents, type Server, screenshot, startServer } from "./harness";
import { dashboardFile, importDashboard, isPainted, RANGE, type TestCell, writeClimate } from "./support/dashboards";

const WARMEST: TestCell = {
  title: "Warmest",
  view: "table",
  query: `SELECT room, max(temperature) AS warmest FROM climate
WHERE time >= $from AND time < $to AND ($room IS NULL OR room = $room) GROUP BY room ORDER BY room`,
};

const VARIABLES = [
  { name: "room", source: { kind: "tag", table: "climate", column: "room" }, hasAll: true, initial: null },
];

let server: Server;

beforeAll(async () => {
  server = await startServer({ tokens: true });
  await writeClimate(server, "home");
});

afterAll(() => server?.close());

function open(hash = "#/dashboards?db=home", options: Parameters<typeof openPage>[2] = {}): Promise<Page> {
  return openPage(server, hash, { token: server.token, ...options });
}

/** Imports a dashboard and saves it. Returns its hash. */
async function saved(page: Page, name: string, cells: TestCell[], more = {}): Promise<string> {
  await importDashboard(page, dashboardFile(name, cells, more));
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.getByText("Saved as version 1.").waitFor();
  return page.evaluate(() => location.hash);
}

function cellOf(page: Page, title: string) {
  return page.getByRole("article", { name: title, exact: true });
}

test("a first dashboard is made from the tables, saved, and seen by others", async () => {
  const page = await open();
  await page.getByText("No dashboards yet").waitFor();
  await screenshot(page, "dashboards-empty");
  await expectAccessible(page);
  await page.getByRole("button", { name: "Make one from the tables" }).click();
  await page.getByRole("heading", { name: "temperature of climate" }).waitFor();
  await page.getByLabel("Name of the dashboard").fill("Climate");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.getByText("Saved as version 1.").waitFor();
  const other = await open();
  await other.getByRole("link", { name: /Climate/ }).click();
  await other.getByRole("heading", { name: "Climate", exact: true }).waitFor();
  expect(await other.getByRole("article", { name: /of climate/ }).count()).toBe(3);
  await expectAccessible(other);
  expect(pageEvents(other).errors).toEqual([]);
});

test("a cell is added, moved and resized by keyboard, and removed with an undo", async () => {
  const page = await open(`#/dashboards/new?db=home&from=${RANGE.from}&to=${RANGE.to}`);
  await page.getByRole("button", { name: "Add a cell" }).click();
  const editor = page.getByRole("dialog", { name: "Edit the cell" });
  await editor.getByLabel("Title").fill("Rows");
  await editor.getByRole("button", { name: "temperature of climate" }).click();
  await editor.getByRole("button", { name: "Run" }).click();
  await editor.locator("canvas").waitFor();
  await screenshot(page, "dashboards-cell-editor");
  await expectAccessible(page);
  await editor.getByRole("button", { name: "Apply" }).click();
  const cell = cellOf(page, "Rows");
  const handle = cell.getByRole("button", { name: /^Move Rows/ });
  const place = () =>
    cell.evaluate((element) =>
      ["--x", "--y", "--w", "--h"].map((name) => (element as HTMLElement).style.getPropertyValue(name)),
    );
  expect(await place()).toEqual(["1", "1", "6", "5"]);
  await handle.focus();
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Shift+ArrowLeft");
  await page.keyboard.press("Shift+ArrowDown");
  expect(await place()).toEqual(["2", "1", "5", "6"]);
  await page.getByText("Column 2, row 1, 5 columns wide, 6 rows high.").waitFor({ state: "attached" });
  await cell.getByRole("button", { name: "Actions of Rows" }).click();
  await page.getByRole("menuitem", { name: "Remove" }).click();
  await cell.waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Undo" }).click();
  await cell.waitFor();
  await page.getByRole("button", { name: "Discard" }).click();
  await page.getByRole("button", { name: "Discard changes" }).click();
  await page.getByRole("heading", { name: "Dashboards" }).waitFor();
});

test("changes that are not saved can be discarded after returning to the dashboard", async () => {
  const page = await open();
  const hash = await saved(page, "Returned", [WARMEST], { variables: VARIABLES });
  await page.getByRole("button", { name: "Edit", exact: true }).click();
  await page.getByLabel("Name of the dashboard").fill("Changed");
  await page.getByRole("link", { name: "Explore" }).click();
  await page.getByRole("tree", { name: "Databases" }).waitFor();
  await page.evaluate((place) => {
    location.hash = place;
  }, hash);
  await page.getByRole("button", { name: "Discard" }).click();
  await page.getByRole("button", { name: "Discard changes" }).click();
  await page.getByRole("heading", { name: "Returned", exact: true }).waitFor();
});

test("charts show thresholds and annotations, and a dashboard fills a screen and follows new data", async () => {
  const chart = { kind: "line", thresholds: [22] };
  const query = `SELECT date_bin($interval, time) AS time, room, avg(temperature) AS temperature FROM climate
    WHERE time >= $from AND time < $to GROUP BY 1, 2`;
  const newest = { ...WARMEST, title: "Newest", query: "SELECT max(mark) AS mark FROM marks" };
  await server.write("home", `marks,kind=door mark=1 ${Date.parse(`${RANGE.from}`) + 43_200_000}000000`);
  const page = await open();
  const hash = await saved(page, "Wall", [{ title: "Curves", query, chart }, newest], { refreshSeconds: "data" });
  await page.getByRole("button", { name: "Edit", exact: true }).click();
  await page.getByRole("button", { name: "Add", exact: true }).click();
  await page.getByRole("menuitem", { name: "Annotations" }).click();
  const dialog = page.getByRole("dialog", { name: "Annotations" });
  await dialog.getByLabel("Query in SQL").fill("SELECT time, 'The door opens' AS text FROM marks");
  await expectAccessible(page);
  await dialog.getByRole("button", { name: "Apply" }).click();
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.getByText("Saved as version 2.").waitFor();
  const plot = cellOf(page, "Curves").getByRole("application");
  await expect
    .poll(async () => {
      const box = await plot.locator(".u-over").boundingBox();
      await page.mouse.move((box?.x ?? 0) + (box?.width ?? 0) / 2, (box?.y ?? 0) + 20);
      return cellOf(page, "Curves").getByText("The door opens").count();
    })
    .toBe(1);
  await screenshot(page, "dashboards-annotations");
  await page.evaluate((place) => {
    location.hash = `${place}&tv=1`;
  }, hash);
  await page.getByRole("navigation").waitFor({ state: "detached" });
  await cellOf(page, "Newest").getByText("1", { exact: true }).waitFor();
  await server.write("home", "marks,kind=door mark=7");
  await cellOf(page, "Newest").getByText("7", { exact: true }).waitFor();
  await screenshot(page, "dashboards-tv");
  await expectAccessible(page);
  await page.keyboard.press("Escape");
  await page.getByRole("navigation").waitFor();
  expect(pageEvents(page)).toMatchObject({ errors: [], dialogs: [], foreignRequests: [] });
});

test("a cell is dragged to another place", async () => {
  const page = await open();
  await importDashboard(
    page,
    dashboardFile(
      "Drag",
      [
        { ...WARMEST, title: "A" },
        { ...WARMEST, title: "B" },
      ],
      { variables: VARIABLES },
    ),
  );
  const handle = await cellOf(page, "A")
    .getByRole("button", { name: /^Move A/ })
    .boundingBox();
  const target = await cellOf(page, "B").boundingBox();
  if (!handle || !target) {
    throw new Error("the cells are not visible");
  }
  await page.mouse.move(handle.x + 8, handle.y + 8);
  await page.mouse.down();
  await page.mouse.move(target.x + 40, target.y + 8, { steps: 6 });
  await page.mouse.up();
  expect(await cellOf(page, "A").evaluate((element) => (element as HTMLElement).style.getPropertyValue("--x"))).toBe(
    "7",
  );
  await screenshot(page, "dashboards-edit");
});

test("a variable chooses the rows of all cells, and is part of the URL", async () => {
  const page = await open();
  await saved(page, "Variables", [WARMEST], { variables: VARIABLES });
  const rows = cellOf(page, "Warmest").getByText(/^(Attic|Cellar|Kitchen|Office)$/);
  await expect.poll(() => rows.count()).toBe(4);
  await page.getByLabel("room", { exact: true }).selectOption({ label: "Kitchen" });
  await expect.poll(() => rows.allTextContents()).toEqual(["Kitchen"]);
  expect(await page.evaluate(() => location.hash)).toContain("var-room=%3DKitchen");
  await page.getByLabel("room", { exact: true }).selectOption({ label: "All" });
  await expect.poll(() => rows.count()).toBe(4);
});

test("a selection in a chart becomes the time range of all cells", async () => {
  const query = "SELECT time, room, temperature FROM climate WHERE time >= $from AND time < $to";
  const page = await open();
  await saved(page, "Range", [
    { title: "Line", query },
    { ...WARMEST, query: "SELECT count(*) AS n FROM climate WHERE time >= $from AND time < $to" },
  ]);
  const plot = cellOf(page, "Line").locator(".u-over");
  await plot.waitFor();
  const box = await plot.boundingBox();
  if (!box) {
    throw new Error("the plot is not visible");
  }
  const count = cellOf(page, "Warmest").getByText(/^\d+$/);
  await expect.poll(() => count.first().textContent()).toBe("5640");
  await page.mouse.move(box.x + box.width * 0.5, box.y + 40);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.75, box.y + 40, { steps: 5 });
  await page.mouse.up();
  await page.waitForFunction(() => location.hash.includes("from=2026-03-01T1"));
  await expect.poll(async () => Number(await count.first().textContent())).toBeLessThan(1600);
});

test("a change of another user is not overwritten without being asked", async () => {
  const page = await open();
  const hash = await saved(page, "Shared", [WARMEST], { variables: VARIABLES });
  const other = await open(hash);
  for (const [user, name] of [
    [other, "Theirs"],
    [page, "Mine"],
  ] as const) {
    await user.getByRole("button", { name: "Edit", exact: true }).click();
    await user.getByLabel("Name of the dashboard").fill(name);
    await user.getByRole("button", { name: "Save", exact: true }).click();
  }
  const conflict = page.getByRole("dialog", { name: "Another user changed this dashboard" });
  await conflict.getByText(/based on version 1. Meanwhile version 2 was saved/).waitFor();
  await screenshot(page, "dashboards-conflict");
  await expectAccessible(page);
  await conflict.getByRole("button", { name: "Overwrite" }).click();
  await page.getByText("Saved as version 3.").waitFor();
  await other.getByRole("button", { name: "Edit", exact: true }).click();
  await other.getByLabel("Name of the dashboard").fill("Again");
  await other.getByRole("button", { name: "Save", exact: true }).click();
  await other.getByRole("button", { name: "Load theirs" }).click();
  await other.getByRole("heading", { name: "Mine" }).waitFor();
  await page.keyboard.press("Control+k");
  await page.getByRole("combobox", { name: "Find a command" }).fill("edit the dashboard");
  await page.getByRole("option", { name: /^Edit the dashboard/, selected: true }).waitFor();
  await page.keyboard.press("Enter");
  await page.getByLabel("Name of the dashboard").fill("By keyboard");
  await page.keyboard.press("Control+s");
  await page.getByText("Saved as version 4.").waitFor();
});

test("a dashboard is exported, deleted, restored and imported", async () => {
  const page = await open();
  await saved(page, "Rooms of the house", [WARMEST], { variables: VARIABLES });
  await page.getByRole("button", { name: "More actions" }).click();
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("menuitem", { name: "Export as JSON" }).click(),
  ]);
  expect(download.suggestedFilename()).toBe("Rooms of the house.json");
  const text = readFileSync(await download.path(), "utf8");
  expect(JSON.parse(text)).toMatchObject({ format: "neap-dashboard", version: 1, name: "Rooms of the house" });
  await page.getByRole("button", { name: "More actions" }).click();
  await page.getByRole("menuitem", { name: "Delete" }).click();
  const confirm = page.getByRole("dialog", { name: "Delete the dashboard" });
  expect(await confirm.getByRole("button", { name: "Delete dashboard" }).isDisabled()).toBe(true);
  await confirm.getByLabel("Name").fill("Rooms of the house");
  await confirm.getByRole("button", { name: "Delete dashboard" }).click();
  await page.getByRole("button", { name: "Undo" }).click();
  await page.getByRole("heading", { name: "Rooms of the house" }).waitFor();
  await page.getByRole("link", { name: "Dashboards", exact: true }).last().click();
  await importDashboard(page, text);
  await cellOf(page, "Warmest").getByText("Kitchen").waitFor();
});

test("a dashboard of Grafana shows its data here, and goes back to Grafana", async () => {
  const panel = (title: string, x: number, target: object) => {
    return { type: "timeseries", title, gridPos: { x, y: 0, w: 8, h: 8 }, targets: [{ refId: "A", ...target }] };
  };
  const sql =
    "SELECT $__dateBin(time) AS time, room, avg(temperature) AS t FROM climate WHERE $__timeFilter(time) AND room IN ($room) GROUP BY 1, 2";
  const influxql =
    'SELECT mean("temperature") FROM "climate" WHERE "room" =~ /^$room$/ AND $timeFilter GROUP BY time($__interval), "room"';
  const grafana = {
    title: "From Grafana",
    time: { from: RANGE.from, to: RANGE.to },
    templating: {
      list: [
        { type: "query", name: "room", query: 'SHOW TAG VALUES FROM "climate" WITH KEY = "room"', includeAll: true },
      ],
    },
    panels: [
      panel("SQL", 0, { rawSql: sql }),
      panel("InfluxQL", 8, { rawQuery: true, query: influxql }),
      panel("PromQL", 16, { expr: 'climate_temperature{room=~"$room"}' }),
      { type: "geomap", title: "Map" },
    ],
  };
  const page = await open();
  await importDashboard(page, JSON.stringify(grafana));
  for (const title of ["SQL", "InfluxQL", "PromQL"]) {
    await expect.poll(() => cellOf(page, title).getByText("Kitchen").count()).toBe(1);
    expect(await isPainted(page, title)).toBe(true);
  }
  await page.getByText("The panel “Map”: its kind is geomap.").waitFor();
  await screenshot(page, "dashboards-grafana");
  await page.getByLabel("room").selectOption("Attic");
  for (const title of ["SQL", "InfluxQL", "PromQL"]) {
    await cellOf(page, title).getByText("Kitchen").waitFor({ state: "detached" });
    await cellOf(page, title).locator("canvas").waitFor();
  }
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.getByRole("button", { name: "More actions" }).click();
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("menuitem", { name: "Export for Grafana" }).click(),
  ]);
  const exported = JSON.parse(readFileSync(await download.path(), "utf8"));
  expect(exported.panels[0].targets[0].rawSql).toContain("$__timeFilter(time)");
  expect(exported.panels[1].targets[0].query).toContain("$timeFilter");
  expect(pageEvents(page)).toMatchObject({ errors: [], dialogs: [], foreignRequests: [] });
});

test("an imported dashboard can neither run scripts nor change data", async () => {
  const hostile = `<img src=x onerror=alert(1)>"'; DROP TABLE climate --\u202e`;
  const page = await open();
  await importDashboard(
    page,
    dashboardFile(
      hostile,
      [
        {
          title: hostile,
          query: `SELECT ${JSON.stringify(hostile).length} AS n, '${hostile.replaceAll("'", "''")}' AS "${hostile.replaceAll('"', '""')}"`,
          view: "table",
        },
        { title: "Delete", query: "DELETE FROM climate WHERE time < now()" },
        { title: "Second delete", query: "SELECT 1; DELETE FROM climate WHERE time < now()" },
        { title: "Hidden delete", query: "/* SELECT */ delete from climate where time < now()" },
        { title: "Note", view: "note", query: "", note: hostile },
      ],
      {
        variables: [
          { name: "x", source: { kind: "tag", table: hostile, column: hostile }, hasAll: true, initial: hostile },
        ],
      },
    ),
  );
  await cellOf(page, "Delete").getByText("A cell can't change data").waitFor();
  await cellOf(page, "Second delete").getByText("A cell can't change data").waitFor();
  await cellOf(page, "Hidden delete").scrollIntoViewIfNeeded();
  await cellOf(page, "Hidden delete").getByText("A cell can't change data").waitFor();
  await cellOf(page, "Note").scrollIntoViewIfNeeded();
  await cellOf(page, "Note").getByText("<img src=x").waitFor();
  await screenshot(page, "dashboards-hostile");
  expect(await server.query("home", "SELECT count(*) AS n FROM climate")).toEqual([{ n: 5640 }]);
  expect(pageEvents(page).dialogs).toEqual([]);
  expect(pageEvents(page).errors).toEqual([]);
  expect(pageEvents(page).foreignRequests).toEqual([]);
});

test("files that are no dashboards are refused with the reason", async () => {
  const page = await open();
  for (const [text, reason] of [
    ["<html>", "The file is not JSON."],
    ['{"format": "other"}', "The file is not a dashboard of Neap"],
    [dashboardFile("x", [{ title: "x", query: "", chart: { kind: "pie" } }]), "Cells[0].chart.kind is none of"],
    ["x".repeat(2_100_000), "The file is larger than 2048 KiB."],
  ] as const) {
    await importDashboard(page, text);
    await page.getByText(reason).last().waitFor();
  }
});

test("a reader sees a dashboard and can't change it", async () => {
  const writer = await open();
  const hash = await saved(writer, "For readers", [WARMEST], { variables: VARIABLES });
  const token = await server.createToken("reader", ["db:home:read"]);
  const page = await open(hash, { token });
  await cellOf(page, "Warmest").getByText("Kitchen").waitFor();
  expect(await page.getByRole("button", { name: "Edit", exact: true }).count()).toBe(0);
});

test.each([
  ["light", 1280],
  ["dark", 1280],
  ["light", 360],
] as const)("a dashboard is accessible in %s theme, %i pixels wide", async (theme, width) => {
  const page = await open("#/dashboards?db=home", { theme, width });
  const binned = `SELECT date_bin($interval, time) AS time, room, avg(temperature) AS temperature FROM climate
WHERE time >= $from AND time < $to AND ($room IS NULL OR room = $room) GROUP BY 1, 2 ORDER BY 1`;
  await saved(
    page,
    `Climate of the house, ${theme}, ${width}`,
    [
      {
        title: "Temperature",
        query: binned,
        chart: { kind: "line", unit: "celsius" },
        place: { x: 0, y: 0, width: 8, height: 6 },
      },
      {
        title: "Latest",
        query: binned,
        chart: { kind: "value", unit: "celsius", decimals: 1 },
        place: { x: 8, y: 0, width: 4, height: 6 },
      },
      {
        title: "Warmest",
        query: binned,
        chart: { kind: "heatmap", unit: "celsius" },
        place: { x: 0, y: 6, width: 6, height: 5 },
      },
      { ...WARMEST, title: "Rooms", place: { x: 6, y: 6, width: 3, height: 5 } },
      {
        title: "Note",
        view: "note",
        query: "",
        note: "The sensor in the attic was without power from 6 to 8.",
        place: { x: 9, y: 6, width: 3, height: 5 },
      },
    ],
    { variables: VARIABLES, range: RANGE },
  );
  await cellOf(page, "Temperature").locator("canvas").waitFor();
  await cellOf(page, "Rooms").scrollIntoViewIfNeeded();
  await cellOf(page, "Rooms").getByText("Kitchen").waitFor();
  await cellOf(page, "Temperature").scrollIntoViewIfNeeded();
  await expectAccessible(page);
  await screenshot(page, `dashboards-${theme}-${width}`);
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  expect(overflow).toBeLessThanOrEqual(0);
});
