import { afterAll, beforeAll, expect, test } from "vitest";
import { openPage, pageEvents, type Server, screenshot, startServer } from "./harness";
import { dashboardFile, importDashboard, isPainted } from "./support/dashboards";

const ROWS = 5_000_000;
/** Rows of a write; its body is about 9 MB, below the limit of the server. */
const BATCH_ROWS = 250_000;
const START_SECONDS = 1_700_000_000;

let server: Server;

beforeAll(async () => {
  server = await startServer();
  for (let first = 0; first < ROWS; first += BATCH_ROWS) {
    const lines = Array.from({ length: BATCH_ROWS }, (_, at) => {
      const row = first + at;
      return `m,s=${row % 10} v=${row % 1_000} ${START_SECONDS + row}`;
    });
    await server.request("/api/v3/write_lp?db=large&precision=second", { method: "POST", body: lines.join("\n") });
  }
}, 600_000);

afterAll(() => server?.close());

test("a table of five million rows is shown and scrolled without freezing", async () => {
  const query = encodeURIComponent("SELECT time, s, v FROM m ORDER BY time");
  const page = await openPage(server, `#/explore?db=large&q=${query}`);
  page.setDefaultTimeout(300_000);
  await page.evaluate(watchFrames);
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await page.getByText("5,000,000 rows").first().waitFor();
  // Only the visible rows are elements.
  const grid = page.getByRole("grid");
  expect(await grid.getByRole("row").count()).toBeLessThan(200);
  await grid.focus();
  await page.keyboard.press("Control+End");
  const last = new Date((START_SECONDS + ROWS - 1) * 1_000).toISOString().slice(0, 19);
  await page.getByRole("gridcell").filter({ hasText: last }).first().waitFor();
  await screenshot(page, "large-table");
  const frames = await page.evaluate(() => (globalThis as unknown as { counted: { frames: number } }).counted.frames);
  expect(frames, "the page drew while it read the rows").toBeGreaterThan(10);
  expect(pageEvents(page)).toMatchObject({ errors: [], dialogs: [], foreignRequests: [] });
}, 600_000);

test("a chart of five million rows asks the server for the points that it has room for", async () => {
  const page = await openPage(server, "#/dashboards?db=large");
  page.setDefaultTimeout(300_000);
  const [from, to] = [START_SECONDS, START_SECONDS + ROWS].map((seconds) => new Date(seconds * 1_000).toISOString());
  const statement = "SELECT time, s, v FROM m";
  await importDashboard(page, dashboardFile("Large", [{ title: "All", query: statement }], { range: { from, to } }));
  await page.getByRole("article", { name: "All", exact: true }).locator("canvas").waitFor();
  await expect.poll(() => isPainted(page, "All")).toBe(true);
  const statements = pageEvents(page).requests.map((url) => new URL(url).searchParams.get("q") ?? "");
  expect(statements.filter((text) => text.includes(statement))).toEqual([
    statement,
    expect.stringMatching(
      /^SELECT s0, p0\['time'\] AS t0, .* unnest\(m4\("time", "v", \d+, \$from, \$to\)\) AS p0 FROM/,
    ),
  ]);
  expect(pageEvents(page)).toMatchObject({ errors: [], dialogs: [], foreignRequests: [] });
}, 600_000);

/** Counts frames, so that a test sees whether the page still answers. */
function watchFrames(): void {
  const counted = { frames: 0 };
  Object.assign(globalThis, { counted });
  const count = (): void => {
    counted.frames += 1;
    requestAnimationFrame(count);
  };
  requestAnimationFrame(count);
}
