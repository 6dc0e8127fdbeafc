import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { expectAccessible, openPage, pageEvents, type Server, screenshot, startServer } from "./harness";

let server: Server;

beforeAll(async () => {
  server = await startServer();
  await server.write("garden", "soil,bed=herbs temp=21i,wet=1 1");
});

afterAll(() => server?.close());

/** Opens the actions of something and chooses one. */
async function act(page: Page, name: string, action: string): Promise<void> {
  await page.getByRole("button", { name: `Actions for ${name}`, exact: true }).click();
  await page.getByRole("menuitem", { name: action }).click();
}

test("columns are renamed, widened, added and deleted, and former names go on to work until they are deleted", async () => {
  const page = await openPage(server, "#/administer/databases?db=garden");
  await act(page, "the table soil", "Columns");
  const columns = page.getByRole("dialog", { name: "Columns of soil" });
  await columns.getByRole("row", { name: /^temp field Int64/ }).waitFor();
  await screenshot(page, "administer-columns");
  await expectAccessible(page);
  await act(page, "the column temp", "Make it a float");
  await page.getByRole("button", { name: "Make it a float" }).click();
  await columns.getByRole("row", { name: /^temp field Float64/ }).waitFor();
  await act(page, "the column temp", "Rename");
  const rename = page.getByRole("dialog", { name: "Rename temp" });
  await rename.getByLabel("Name").fill("celsius");
  await rename.getByRole("button", { name: "Rename" }).click();
  await columns.getByRole("row", { name: /^celsius field Float64/ }).waitFor();
  expect(await server.query("garden", "SELECT temp FROM soil")).toEqual([{ temp: 21 }]);
  await act(page, "the column celsius", "Rename");
  const again = page.getByRole("dialog", { name: "Rename celsius" });
  await again.getByText("Former names that still stand for it:").waitFor();
  await again.getByRole("button", { name: "Delete" }).click();
  await again.getByText("Former names that still stand for it:").waitFor({ state: "detached" });
  await again.getByRole("button", { name: "Cancel" }).click();
  await columns.getByRole("button", { name: "Add column" }).click();
  const add = page.getByRole("dialog", { name: "Add a column to soil" });
  await add.getByLabel("Name").fill("acidity");
  await add.getByRole("button", { name: "Add column" }).click();
  await columns.getByRole("row", { name: /^acidity field Float64/ }).waitFor();
  await act(page, "the column wet", "Delete column");
  const drop = page.getByRole("dialog", { name: "Delete the column wet" });
  await drop.getByLabel("Name").fill("wet");
  await drop.getByRole("button", { name: "Delete column" }).click();
  await columns.getByRole("row", { name: /^wet/ }).waitFor({ state: "detached" });
  expect(pageEvents(page)).toMatchObject({ errors: [], dialogs: [], foreignRequests: [] });
});

test("tables and databases are renamed, and a database is locked", async () => {
  await server.write("plants", "leaf,kind=mint length=3 1");
  const page = await openPage(server, "#/administer/databases?db=plants", { theme: "dark" });
  await act(page, "the table leaf", "Rename");
  const rename = page.getByRole("dialog", { name: "Rename leaf" });
  await rename.getByLabel("Name").fill("leaves");
  await screenshot(page, "administer-rename");
  await expectAccessible(page);
  await rename.getByRole("button", { name: "Rename" }).click();
  await page.getByRole("link", { name: "leaves" }).waitFor();
  await act(page, "the database plants", "What writes create");
  const lock = page.getByRole("dialog", { name: "What writes create in plants" });
  await lock.getByLabel("Writes create").selectOption("none");
  await lock.getByRole("button", { name: "Apply" }).click();
  await page.getByRole("row", { name: /^plants for ever none/ }).waitFor();
  await expect(server.write("plants", "stem length=3 1")).rejects.toThrow("stem");
  await act(page, "the database plants", "Rename");
  const dialog = page.getByRole("dialog", { name: "Rename plants" });
  await dialog.getByLabel("Name").fill("herbs");
  await dialog.getByRole("button", { name: "Rename" }).click();
  await page.getByRole("row", { name: /^herbs for ever none/ }).waitFor();
  await expect.poll(() => page.evaluate(() => location.hash)).toContain("db=herbs");
  expect(await server.query("plants", "SELECT length FROM leaf")).toEqual([{ length: 3 }]);
});
