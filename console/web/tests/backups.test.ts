import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { expectAccessible, openPage, pageEvents, type Server, screenshot, startServer } from "./harness";

/** A backup waits until no older write can appear: 12 seconds on a directory. */
const JOB_TIMEOUT_MS = 90_000;

const COUNT = "SELECT count(*) AS n FROM soil";

let server: Server;
let place: string;

beforeAll(async () => {
  place = mkdtempSync(join(tmpdir(), "neap-backups-"));
  server = await startServer({ tokens: true, args: ["--backup-to", place] });
  await server.write("garden", "soil,bed=herbs moisture=38.5 1700000000\nsoil,bed=roses moisture=41 1700000060");
});

afterAll(async () => {
  await server?.close();
  rmSync(place, { recursive: true, force: true });
});

function open(section: string): Promise<Page> {
  return openPage(server, `#/administer/${section}?db=garden`, { token: server.token });
}

async function act(page: Page, name: string, action: string): Promise<void> {
  await page.getByRole("button", { name: `Actions for the backup ${name}`, exact: true }).click();
  await page.getByRole("menuitem", { name: action }).click();
}

test("a backup is made, continued at its place, restored, and deleted with those that continue it", async () => {
  const page = await open("backups");
  const dialog = page.getByRole("dialog");
  await page.getByRole("button", { name: "Create backup" }).click();
  await dialog.getByLabel("Name").fill("monday");
  await dialog.getByLabel("Place").fill("/nowhere");
  await dialog.getByRole("button", { name: "Create backup" }).click();
  await dialog.getByText(/does not permit this place/).waitFor();
  await dialog.getByLabel("Place").fill(place);
  await screenshot(page, "admin-create-backup");
  await expectAccessible(page);
  await dialog.getByRole("button", { name: "Create backup" }).click();
  const monday = page.getByRole("row", { name: /^monday/ });
  await monday.getByText("in progress").waitFor();
  await screenshot(page, "admin-backup-in-progress");
  await monday.getByText("completed").waitFor({ timeout: JOB_TIMEOUT_MS });
  await server.write("garden", "soil,bed=ferns moisture=50 1700000120");

  await act(page, "monday", "Continue by an incremental backup");
  await dialog.getByLabel("Name").fill("tuesday");
  await dialog.getByRole("button", { name: "Create backup" }).click();
  const tuesday = page.getByRole("row", { name: /^tuesday/ });
  await tuesday.getByText("continues monday").waitFor();
  await tuesday.getByText("completed").waitFor({ timeout: JOB_TIMEOUT_MS });

  await act(page, "monday", "Restore");
  const restore = dialog.getByRole("button", { name: "Restore" });
  await dialog.getByText("The databases of the backup replace all present ones.").waitFor();
  expect(await restore.isDisabled()).toBe(true);
  await dialog.getByLabel("Databases").selectOption("garden");
  expect(await restore.isDisabled()).toBe(true);
  await dialog.getByLabel("Restore it as").fill("garden_monday");
  await screenshot(page, "admin-restore");
  await expectAccessible(page);
  await restore.click();
  await page
    .getByRole("row", { name: /^garden as garden_monday monday completed/ })
    .waitFor({ timeout: JOB_TIMEOUT_MS });
  expect(await server.query("garden_monday", COUNT)).toEqual([{ n: 2 }]);
  expect(await server.query("garden", COUNT)).toEqual([{ n: 3 }]);
  await screenshot(page, "admin-backups");
  await expectAccessible(page);

  await act(page, "monday", "Delete backup");
  await dialog.getByText("1 incremental backup that continues it is deleted, too: tuesday.").waitFor();
  await dialog.getByLabel("Name").fill("monday");
  await dialog.getByRole("button", { name: "Delete backup" }).click();
  await monday.waitFor({ state: "detached" });
  await tuesday.waitFor({ state: "detached" });
  expect(pageEvents(page)).toMatchObject({ errors: [], dialogs: [], foreignRequests: [] });
});

test("a backup in progress is cancelled", async () => {
  const page = await open("backups");
  const dialog = page.getByRole("dialog");
  await page.getByRole("button", { name: "Create backup" }).click();
  await dialog.getByLabel("Name").fill("given-up");
  await dialog.getByRole("button", { name: "Create backup" }).click();
  await act(page, "given-up", "Cancel backup");
  await dialog.getByRole("button", { name: "End backup" }).click();
  await page.getByRole("row", { name: /^given-up .*failed/ }).waitFor();
});

test("a database is replaced by a backup after its name is typed", async () => {
  await server.write("kitchen", "soil,bed=pot moisture=1 1700000000");
  await server.send("POST", "/api/v3/enterprise/backup", { type: "full", name: "kitchen", database: "kitchen" });
  const page = await open("backups");
  await page.getByRole("row", { name: /^kitchen full completed/ }).waitFor({ timeout: JOB_TIMEOUT_MS });
  await server.write("kitchen", "soil,bed=pan moisture=2 1700000060");
  await act(page, "kitchen", "Restore");
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Databases").selectOption("kitchen");
  await dialog.getByLabel("Name").fill("kitchen");
  await dialog.getByRole("button", { name: "Restore" }).click();
  await page.getByRole("row", { name: /^kitchen kitchen completed/ }).waitFor({ timeout: JOB_TIMEOUT_MS });
  await expect.poll(() => server.query("kitchen", COUNT)).toEqual([{ n: 1 }]);
});

test("a Parquet file is uploaded as a job, whose progress and failure are shown", async () => {
  const query = new URLSearchParams({ db: "garden", q: "SELECT * FROM soil", format: "parquet" });
  const parquet = Buffer.from(await (await server.request(`/api/v3/query_sql?${query}`)).arrayBuffer());
  const file = { name: "exported.parquet", mimeType: "application/octet-stream", buffer: parquet };
  const page = await open("imports");
  await page.getByText("No import job").waitFor();
  const dialog = page.getByRole("dialog");
  await page.getByRole("button", { name: "Import a file" }).click();
  await dialog.getByLabel("File").setInputFiles(file);
  expect(await dialog.getByLabel("Table").inputValue()).toBe("exported");
  await dialog.getByLabel("Types of columns").fill("bed:tag\nmoisture:number");
  await dialog.getByText(/moisture:number: write NAME:TYPE/).waitFor();
  await dialog.getByLabel("Types of columns").fill("bed:tag\nmissing:tag");
  await dialog.getByRole("button", { name: "Upload" }).click();
  await dialog.getByText("the file has no column 'missing'").waitFor();
  await dialog.getByLabel("Types of columns").fill("bed:tag");
  await screenshot(page, "admin-import");
  await expectAccessible(page);
  await dialog.getByRole("button", { name: "Upload" }).click();
  await page.getByRole("row", { name: /^exported.parquet garden.exported imported 3 of 3 \(100 %\)/ }).waitFor();
  expect(await server.query("garden", "SELECT count(*) AS n FROM exported")).toEqual([{ n: 3 }]);
  await screenshot(page, "admin-imports");
  await expectAccessible(page);
  expect(pageEvents(page)).toMatchObject({ errors: [], dialogs: [], foreignRequests: [] });
});
