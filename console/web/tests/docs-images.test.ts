import { fileURLToPath } from "node:url";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, test } from "vitest";
import { openPage, type Server, startServer } from "./harness";

/** The pictures of the documentation. They are made by `NEAP_DOCS_IMAGES=1 npm run test:browser docs-images`. */
const IMAGES = fileURLToPath(new URL("../../../docs/images/", import.meta.url));

const BEDS = ["herbs", "tomatoes", "lettuce", "berries"];
const HOURS = 24;
const MINUTES_BETWEEN_ROWS = 5;

let server: Server;

describe.runIf(process.env.NEAP_DOCS_IMAGES)("pictures of the documentation", () => {
  beforeAll(async () => {
    server = await startServer({ store: "s3" });
    await server.write("garden", gardenLines(Date.now()));
    await server.write("weather", `rain,station=north amount=1.5\nrain,station=south amount=0.4`);
    await server.query("garden", "SELECT bed, avg(moisture) FROM soil GROUP BY bed");
    await server.query("weather", "SELECT * FROM rain");
  });

  afterAll(() => server?.close());

  test("explore", async () => {
    const query = `SELECT date_bin(INTERVAL '10 minutes', time) AS time, bed, avg(moisture) AS moisture
FROM soil
WHERE time >= now() - INTERVAL '1 day'
GROUP BY 1, bed
ORDER BY 1`;
    const page = await openPage(server, `#/explore?db=garden&q=${encodeURIComponent(query)}`, SIZE);
    await page.getByRole("button", { name: "Run", exact: true }).click();
    await page.getByRole("tab", { name: "Chart", exact: true }).click();
    await page.getByRole("treeitem").filter({ hasText: "soil" }).last().press("ArrowRight");
    await save(page, "console-explore");
  });

  test("dashboard", async () => {
    const page = await openPage(server, "#/dashboards?db=garden", { ...SIZE, theme: "dark" });
    await page.getByRole("button", { name: "Make one from the tables" }).click();
    await page.locator("canvas").first().waitFor();
    await page.getByRole("button", { name: "Save", exact: true }).click();
    await page.getByText("Not saved yet").waitFor({ state: "detached" });
    await page.getByRole("button", { name: "Time range" }).click();
    await page.getByRole("button", { name: "Last 24 hours" }).click();
    await save(page, "console-dashboard");
  });

  test("cost", async () => {
    const page = await openPage(server, "#/operate/cost?db=garden", SIZE);
    // Rates appear when the process has run for some time, and writes make the figures those of a busy server.
    for (let second = 0; second < 30; second += 1) {
      await server.write("garden", `soil,bed=herbs moisture=${40 + second / 10}`);
      await page.waitForTimeout(1_000);
    }
    await page.locator(".cost-tile dd", { hasText: "$" }).nth(2).waitFor();
    await save(page, "console-operate");
  });
});

const SIZE = { width: 1240, height: 780 };

async function save(page: Page, name: string): Promise<void> {
  await page.waitForLoadState("networkidle");
  await page.screenshot({ path: `${IMAGES}${name}.png` });
}

/** A day of four beds whose soil dries until it is watered. */
function gardenLines(nowMs: number): string {
  const lines: string[] = [];
  const rows = (HOURS * 60) / MINUTES_BETWEEN_ROWS;
  for (let row = 0; row < rows; row += 1) {
    const time = nowMs - (rows - row) * MINUTES_BETWEEN_ROWS * 60_000;
    BEDS.forEach((bed, index) => {
      const dried = ((row + index * 40) % 130) / 130;
      const moisture = 58 - index * 4 - dried * 18 + Math.sin(row / 5 + index) * 0.6;
      const temperature = 17 + Math.sin((row / rows) * 2 * Math.PI - 1.9) * 6 + index * 0.4;
      lines.push(`soil,bed=${bed} moisture=${moisture.toFixed(2)},temperature=${temperature.toFixed(2)} ${time}000000`);
    });
  }
  return lines.join("\n");
}
