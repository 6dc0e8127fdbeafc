import { readFileSync } from "node:fs";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { expectAccessible, openPage, pageEvents, type Server, screenshot, startServer } from "./harness";

let server: Server;

beforeAll(async () => {
  server = await startServer();
  await server.write("garden", "soil,bed=herbs moisture=38.5 1782900000000000000");
});

afterAll(() => server?.close());

async function useBerlin(page: Page): Promise<void> {
  await page.getByRole("button", { name: /^Time zone/ }).click();
  await page.getByLabel("Another zone").fill("Europe/Berlin");
  await page.getByRole("button", { name: "Use this zone" }).click();
  await page.getByRole("button", { name: "Time zone: Europe/Berlin" }).waitFor();
}

test("one zone is that of tables, ranges, history and files, and stays after a reload", async () => {
  const query = "SELECT time, moisture FROM soil WHERE time >= $from AND time < $to";
  const page = await openPage(server, `#/explore?db=garden&q=${encodeURIComponent(query)}`);
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await page.getByRole("gridcell", { name: "2026-07-01T10:00:00Z" }).waitFor();
  await page.getByRole("button", { name: "Time zone: UTC" }).click();
  await expectAccessible(page);
  await page.keyboard.press("Escape");
  await useBerlin(page);
  await page.getByRole("gridcell", { name: "2026-07-01T12:00:00+02:00" }).waitFor();
  await page.getByRole("button", { name: /^Time range/ }).click();
  await page.getByRole("textbox", { name: "From" }).fill("2026-07-01 11:59");
  await page.getByRole("textbox", { name: "To" }).fill("2026-07-01 12:01");
  await page.getByRole("button", { name: "Apply" }).click();
  // The link keeps the moment, which is the same for readers in other zones.
  await expect.poll(() => decodeURIComponent(page.url())).toContain("from=2026-07-01T09:59:00Z");
  await page.getByRole("button", { name: "Time range: 2026-07-01 11:59 – 2026-07-01 12:01" }).waitFor();
  await page.getByRole("gridcell", { name: "2026-07-01T12:00:00+02:00" }).waitFor();
  await screenshot(page, "time-zone");
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    (async () => {
      await page.getByRole("button", { name: "Download" }).click();
      await page.getByRole("menuitem", { name: "CSV with ; and decimal comma" }).click();
    })(),
  ]);
  expect(readFileSync(await download.path(), "utf8").trim()).toBe("time;moisture\n2026-07-01T12:00:00+02:00;38,5");
  await page.getByRole("button", { name: "History" }).click();
  await page.getByText(/^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2} · garden/).waitFor();
  await page.keyboard.press("Escape");
  await page.reload();
  await page.getByRole("button", { name: "Time zone: Europe/Berlin" }).waitFor();
  await page.getByRole("link", { name: "Administer" }).click();
  await page.getByRole("tab", { name: "History" }).click();
  await page.getByLabel("Moment (Europe/Berlin)").waitFor();
  expect(pageEvents(page)).toMatchObject({ errors: [], dialogs: [], foreignRequests: [] });
});
