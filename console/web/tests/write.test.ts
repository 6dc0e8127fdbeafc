import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  expectAccessible,
  openPage,
  pageEvents,
  type Server,
  screenshot,
  startServer,
  waitUntilReady,
} from "./harness";

let server: Server;
let folder: string;

beforeAll(async () => {
  server = await startServer();
  folder = mkdtempSync(join(tmpdir(), "neap-write-"));
  await server.write("home", "existing,room=Kitchen n=1i,temp=20.5 1700000000");
});

afterAll(async () => {
  await server?.close();
  rmSync(folder, { recursive: true, force: true });
});

async function type(page: Page, text: string): Promise<void> {
  await page.getByRole("textbox", { name: "Line protocol" }).click();
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.insertText(text);
}

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

async function choose(page: Page, path: string): Promise<void> {
  await page.getByLabel("Files to write").setInputFiles(path);
}

test("typed lines are previewed with their types, written, and found", async () => {
  const page = await openPage(server, "#/write/text?db=home");
  await screenshot(page, "write-empty");
  await expectAccessible(page);
  await type(page, "typed,room=Living\\ room temp=21.5,on=true,n=3i 1700000000\ntyped,room=Bath temp=23.5 1700000060");
  const preview = page.getByRole("region", { name: "Preview" });
  await preview.getByText("new table").waitFor();
  await preview.getByText("2 of 2 lines can be stored; timestamps in s.").waitFor();
  await preview.getByRole("row", { name: /temp float 21.5/ }).waitFor();
  await preview.getByRole("row", { name: /room tag Living room/ }).waitFor();
  await preview.getByText("2023-11-14 22:13:20 to 2023-11-14 22:14:20 UTC").waitFor();
  await page.getByRole("button", { name: "Write 2 rows" }).click();
  await page.getByText("2 rows are stored in home").waitFor();
  expect(await server.query("home", "SELECT count(*) AS n FROM typed")).toEqual([{ n: 2 }]);
  expect(pageEvents(page).errors).toEqual([]);
});

test("errors are marked while typing, and good lines are kept", async () => {
  const page = await openPage(server, "#/write/text?db=home");
  await type(page, 'partial v=1 1\npartial v="open 2\nexisting n=1.5 3\npartial v=4 4');
  const errors = page.getByRole("region", { name: "Lines with errors" });
  await errors.getByText("No fields were provided").waitFor();
  await errors.getByText("expected iox::column_type::field::integer, got iox::column_type::field::float").waitFor();
  expect(await page.locator(".cm-lintRange-error").count()).toBeGreaterThanOrEqual(2);
  await screenshot(page, "write-errors");
  await expectAccessible(page);
  await page.getByRole("button", { name: "Write 2 rows" }).click();
  await page.getByText("2 rows are stored, 2 are refused").waitFor();
  await page.getByRole("region", { name: "Lines that the server refused" }).getByText("No fields").waitFor();
  expect(await server.query("home", "SELECT count(*) AS n FROM partial")).toEqual([{ n: 2 }]);
});

test("without partial writes, one refused line refuses all", async () => {
  const page = await openPage(server, "#/write/text?db=home");
  await type(page, "strict v=1 1\nstrict v=x 2");
  await page.getByLabel("Keep good lines").uncheck();
  await page.getByRole("button", { name: /^Write/ }).click();
  await page.getByText("Nothing is stored").waitFor();
  await expect(server.query("home", "SELECT * FROM strict")).rejects.toThrow("strict");
});

test("a write creates a new database, and says so before", async () => {
  const page = await openPage(server, "#/write/text?db=home");
  const database = page.getByLabel("Into database");
  await database.fill("no spaces");
  await page.getByText("A name has letters, digits, _ and - only").waitFor();
  await database.fill("created");
  await page.getByText("New: the first write creates it.").waitFor();
  await type(page, "m v=1");
  await page.getByText("1 with the time of the server").waitFor();
  await page.keyboard.press("ControlOrMeta+Enter");
  await page.getByText("1 row is stored in created").waitFor();
  await page
    .getByLabel("Database", { exact: true })
    .getByRole("option", { name: "created" })
    .waitFor({ state: "attached" });
});

test("CSV is previewed, its table is created first, and refused rows are listed by their number", async () => {
  const page = await openPage(server, "#/write/files?db=home");
  await screenshot(page, "write-files-empty");
  await choose(
    page,
    file(
      "measured values.csv",
      "when,room,temp,on\n2026-01-01T00:00:00Z,a,21,true\n2026-01-01T00:01:00Z,a,21.5,false\n2026-01-01T00:02:00Z,b,22,true,more\n",
    ),
  );
  const card = page.getByRole("article", { name: "measured values.csv" });
  await card.getByRole("row", { name: /^when/ }).waitFor();
  await expect.poll(() => card.getByLabel("Table", { exact: true }).inputValue()).toBe("measured_values");
  await card.getByLabel("Role of when").selectOption("time");
  await card.getByLabel("Role of room").selectOption("tag");
  await card.getByLabel("Role of temp").selectOption("field");
  await card.getByLabel("Type of temp").selectOption("float");
  await card.getByText("5 cells, but the header has 4").waitFor();
  await screenshot(page, "write-csv");
  await expectAccessible(page);
  await card.getByRole("button", { name: "Write the file" }).click();
  const upload = page.getByRole("article", { name: "Upload of measured values.csv" });
  await upload.getByText("done", { exact: true }).waitFor();
  await upload.getByText("2 rows stored, 1 refused").waitFor();
  const refused = upload.getByRole("region", { name: "Refused rows" });
  expect(await refused.locator(".issue-line").textContent()).toBe("3");
  const download = page.waitForEvent("download");
  await upload.getByRole("button", { name: "Save the list" }).click();
  expect((await download).suggestedFilename()).toBe("refused-measured_values.csv.txt");
  await screenshot(page, "write-csv-done");
  const rows = await server.query("home", 'SELECT room, temp, "on" FROM measured_values ORDER BY time');
  expect(rows).toEqual([
    { room: "a", temp: 21, on: true },
    { room: "a", temp: 21.5, on: false },
  ]);
});

test("JSON lines and Parquet are previewed and written", async () => {
  const page = await openPage(server, "#/write/files?db=home");
  const lines = Array.from({ length: 50 }, (_, at) =>
    JSON.stringify({ time: 1_700_000_000 + at, host: `h${at % 3}`, load: at / 2 }),
  );
  await choose(page, file("load.jsonl", lines.join("\n")));
  const card = page.getByRole("article", { name: "load.jsonl" });
  await card.getByText("First 20 rows").click();
  await card.getByLabel("Role of host").selectOption("tag");
  await card.getByRole("button", { name: "Write the file" }).click();
  await page.getByText("50 rows stored").waitFor();
  const answer = await server.request(
    "/api/v3/query_sql?db=home&format=parquet&q=SELECT%20*%20FROM%20load%20ORDER%20BY%20time",
  );
  await choose(page, file("copied.parquet", new Uint8Array(await answer.arrayBuffer())));
  const parquet = page.getByRole("article", { name: "copied.parquet", exact: true });
  await parquet.getByText("50 rows").first().waitFor();
  expect(await parquet.getByLabel("Tags are the columns that the file marks").isChecked()).toBe(true);
  await screenshot(page, "write-parquet");
  await parquet.getByRole("button", { name: "Write the file" }).click();
  await page.getByRole("article", { name: "Upload of copied.parquet" }).getByText("done", { exact: true }).waitFor();
  expect(await server.query("home", "SELECT count(*) AS n, sum(load) AS s FROM copied")).toEqual([{ n: 50, s: 612.5 }]);
  const [host] = await server.query("home", "SHOW COLUMNS FROM copied");
  expect(host).toMatchObject({ column_name: "host", data_type: "Dictionary(Int32, Utf8)" });
});

test("a large file is sent in parts, pauses, continues after a reload, and loses nothing", async () => {
  const page = await openPage(server, "#/write/files?db=home");
  const rows = 150_000;
  let text = "";
  for (let at = 0; at < rows; at += 1) {
    text += `large,host=h${at % 100} v=${at}i ${1_700_000_000 + at}\n`;
  }
  const path = file("large.lp", text);
  await choose(page, path);
  const card = page.getByRole("article", { name: "large.lp" });
  await card.getByText("The start of the file has").waitFor();
  // The click comes when the first part is stored, and the second part waits for it, so that the upload does not end before.
  let parts = 0;
  let release: () => void = () => undefined;
  const clicked = new Promise<void>((resolve) => (release = resolve));
  let request: () => void = () => undefined;
  const requested = new Promise<void>((resolve) => (request = resolve));
  await page.route(/\/api\/v3\/write_/, async (route) => {
    parts += 1;
    if (parts === 2) {
      request();
      await clicked;
    }
    await route.continue();
  });
  await card.getByRole("button", { name: "Write the file" }).click();
  const upload = page.getByRole("article", { name: "Upload of large.lp" });
  await requested;
  await upload.getByRole("button", { name: "Pause" }).click();
  release();
  await upload.getByText("paused", { exact: true }).waitFor();
  await screenshot(page, "write-paused");
  await page.reload();
  await waitUntilReady(page);
  await choose(page, path);
  await card.getByRole("button", { name: /^Continue at/ }).click();
  await upload.getByText("done", { exact: true }).waitFor({ timeout: 120_000 });
  await upload.getByText("150,000 rows stored").waitFor();
  expect(await server.query("home", "SELECT count(*) AS n FROM large")).toEqual([{ n: rows }]);
});

test("an upload waits for a server that is away, and continues", async () => {
  const own = await startServer({ store: "s3" });
  try {
    const page = await openPage(own, "#/write/files");
    await page.getByLabel("Into database").fill("db");
    await choose(page, file("away.lp.gz", gzipSync("m v=1 1\nm v=2 2\n")));
    const card = page.getByRole("article", { name: "away.lp.gz" });
    await card.getByText("The file has 2 lines: 2 can be stored.").waitFor();
    await own.stop();
    await card.getByRole("button", { name: "Write the file" }).click();
    const upload = page.getByRole("article", { name: "Upload of away.lp.gz" });
    await upload.getByText("waits for the server").waitFor();
    await own.start();
    await upload.getByText("done", { exact: true }).waitFor({ timeout: 60_000 });
    expect(await own.query("db", "SELECT count(*) AS n FROM m")).toEqual([{ n: 2 }]);
  } finally {
    await own.close();
  }
});

test("dropped and pasted texts of other formats become files", async () => {
  const page = await openPage(server, "#/write/text?db=home");
  await type(page, "time,room,temp\n1,a,2\n");
  await page.getByText("This looks like CSV.").waitFor();
  await page.getByRole("button", { name: "Open it as a file" }).click();
  await page.getByRole("article", { name: "text.csv" }).getByLabel("Role of room").waitFor();
  await page.locator(".write-view").evaluate((view) => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File(["m v=1 1\nm v=2 2\n"], "dropped.lp"));
    view.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
  });
  await page.getByRole("list", { name: "Files that wait" }).getByText("dropped.lp").waitFor();
  await page.getByRole("article").getByRole("button", { name: "Remove" }).click();
  await page.getByText("The file has 2 lines: 2 can be stored.").waitFor();
  await page.getByRole("tab", { name: "Line protocol" }).click();
  await page.getByRole("textbox", { name: "Line protocol" }).evaluate((editor) => {
    const clipboardData = new DataTransfer();
    clipboardData.setData("text/plain", "m v=1 1\n".repeat(200_000));
    const event = { clipboardData, bubbles: true, cancelable: true, composed: true };
    editor.dispatchEvent(new ClipboardEvent("paste", event));
  });
  await page.getByRole("list", { name: "Files that wait" }).getByText("pasted text").waitFor();
});

/** Drops files on the view. */
async function drop(page: Page, files: { name: string; bytes: number[] }[]): Promise<void> {
  await page.locator(".write-view").evaluate((view, dropped) => {
    const dataTransfer = new DataTransfer();
    for (const { name, bytes } of dropped) {
      dataTransfer.items.add(new File([new Uint8Array(bytes)], name));
    }
    view.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
  }, files);
}

function bytesOf(text: string): number[] {
  return [...new TextEncoder().encode(text)];
}

const PNG = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13];

test("of several dropped files each is shown in turn, and wrong ones are named and do not block the others", async () => {
  const page = await openPage(server, "#/write/text?db=home");
  await drop(page, [
    { name: "photo.csv", bytes: PNG },
    { name: "nothing.lp", bytes: [] },
    { name: "header.csv", bytes: bytesOf("time,room,temp\r\n") },
    { name: "rows.csv", bytes: bytesOf("time,room,temp\r\n1700000000,a,1.5\r\n") },
    { name: "last.lp", bytes: bytesOf("dropped_last v=1 1700000000\n") },
  ]);
  const waiting = page.getByRole("list", { name: "Files that wait" });
  await page.getByText("4 more files: the next one is shown").waitFor();
  expect(await waiting.getByRole("listitem").allInnerTexts()).toEqual([
    expect.stringContaining("nothing.lp"),
    expect.stringContaining("header.csv"),
    expect.stringContaining("rows.csv"),
    expect.stringContaining("last.lp"),
  ]);
  const photo = page.getByRole("article", { name: "photo.csv" });
  await photo.getByText("The file is a PNG image. Write takes line protocol").waitFor();
  expect(await photo.getByRole("button", { name: "Write the file" }).count()).toBe(0);
  await screenshot(page, "write-several");
  await expectAccessible(page);
  await photo.getByRole("button", { name: "Remove" }).click();
  const nothing = page.getByRole("article", { name: "nothing.lp" });
  await nothing.getByText("The file is empty.").waitFor();
  await nothing.getByRole("button", { name: "Remove" }).click();
  const header = page.getByRole("article", { name: "header.csv" });
  await header.getByText("The file has a header, and no rows.").waitFor();
  expect(await header.getByRole("button", { name: "Write the file" }).isDisabled()).toBe(true);
  await header.getByRole("button", { name: "Remove" }).click();
  await waiting.getByText("last.lp").waitFor();
  await page.getByRole("article", { name: "rows.csv" }).getByRole("button", { name: "Write the file" }).click();
  await page.getByRole("article", { name: "last.lp" }).getByRole("button", { name: "Write the file" }).click();
  for (const name of ["rows.csv", "last.lp"]) {
    const upload = page.getByRole("article", { name: `Upload of ${name}` });
    await upload.getByText("done", { exact: true }).waitFor();
    await upload.getByText("1 row stored").waitFor();
  }
  expect(await server.query("home", "SELECT temp FROM rows")).toEqual([{ temp: 1.5 }]);
  expect(await server.query("home", "SELECT v FROM dropped_last")).toEqual([{ v: 1 }]);
  expect(pageEvents(page).errors).toEqual([]);
});

test("a byte order mark and CRLF lines become no part of names and values", async () => {
  const page = await openPage(server, "#/write/files?db=home");
  await choose(page, file("excel.csv", "\ufefftime,room,note\r\n1700000000,a,x\r\n1700000060,b,y\r\n"));
  const card = page.getByRole("article", { name: "excel.csv" });
  expect(await card.getByLabel("Role of time").inputValue()).toBe("time");
  await card.getByLabel("Role of room").selectOption("tag");
  await card.getByLabel("Role of note").selectOption("field");
  await card.getByRole("button", { name: "Write the file" }).click();
  await page.getByRole("article", { name: "Upload of excel.csv" }).getByText("done", { exact: true }).waitFor();
  expect(await server.query("home", "SELECT room, note FROM excel ORDER BY time")).toEqual([
    { room: "a", note: "x" },
    { room: "b", note: "y" },
  ]);
  await choose(
    page,
    file("windows.lp", '\ufeffwindows,room=a v="x" 1700000000\r\nwindows,room=b v="y" 1700000060\r\n'),
  );
  const lines = page.getByRole("article", { name: "windows.lp" });
  await lines.getByText("The file has 2 lines: 2 can be stored.").waitFor();
  await lines.getByRole("button", { name: "Write the file" }).click();
  await page.getByRole("article", { name: "Upload of windows.lp" }).getByText("done", { exact: true }).waitFor();
  expect(await server.query("home", "SELECT room, v FROM windows ORDER BY time")).toEqual([
    { room: "a", v: "x" },
    { room: "b", v: "y" },
  ]);
});

test("a file whose name says another format can be read as what it is", async () => {
  const page = await openPage(server, "#/write/files?db=home");
  await choose(page, file("lines.parquet", "misnamed v=1 1700000000\n"));
  const card = page.getByRole("article", { name: "lines.parquet" });
  await card.getByText("The file cannot be written").waitFor();
  await card.getByLabel("Read it as").selectOption("lp");
  await card.getByText("The file has 1 line: 1 can be stored.").waitFor();
});

test("sample data are written with one click", async () => {
  const page = await openPage(server, "#/write/samples?db=home", { theme: "dark" });
  await screenshot(page, "write-samples-dark");
  await expectAccessible(page);
  await page.getByLabel("Into database").fill("samples");
  await page.getByRole("button", { name: "Write 40,320 rows" }).click();
  const upload = page.getByRole("article", { name: "Upload of Rooms of a home" });
  await upload.getByText("done", { exact: true }).waitFor({ timeout: 60_000 });
  expect(await server.query("samples", "SELECT count(*) AS n FROM home")).toEqual([{ n: 40_320 }]);
  const href = await page.getByRole("link", { name: "Explore them" }).getAttribute("href");
  expect(decodeURIComponent(href ?? "")).toContain("db=samples");
});

test("the live generator goes on in other views, until it is stopped", async () => {
  const page = await openPage(server, "#/write/samples?db=home");
  await page.getByLabel("Into database").fill("livedb");
  await page.getByRole("button", { name: "Start", exact: true }).click();
  await page.getByText(/the last second was stored in/).waitFor();
  await screenshot(page, "write-live");
  await page.goto(`${page.url().split("#")[0]}#/explore?db=livedb`);
  const count = async () => (await server.query("livedb", "SELECT count(*) AS n FROM cpu"))[0]?.n as number;
  const before = await count();
  await expect.poll(count, { timeout: 20_000 }).toBeGreaterThan(before);
  await page.goto(`${page.url().split("#")[0]}#/write/samples?db=livedb`);
  await page.getByRole("button", { name: "Stop" }).click();
  await page.getByText(/the last second was stored in/).waitFor({ state: "detached" });
  expect(pageEvents(page).errors).toEqual([]);
});

test("the command of an import has no secrets, and fits a phone", async () => {
  const page = await openPage(server, "#/write/import?db=home", { width: 360 });
  await page.getByLabel("Import from", { exact: true }).selectOption("running2");
  await page.getByLabel("Address").fill("http://old:8086");
  const command = page.getByRole("region", { name: "Command of the dry run" });
  await command.getByText("--from http://old:8086").waitFor();
  expect(await command.textContent()).toContain("--source-token-file source-token.txt");
  expect(await command.textContent()).toContain("--dry-run");
  await screenshot(page, "write-import-narrow");
  await expectAccessible(page);
});

test("a wide screen shows the preview beside the lines", async () => {
  const page = await openPage(server, "#/write/text?db=home", { width: 3840, height: 2160, theme: "dark" });
  await page.getByRole("button", { name: "Insert an example" }).click();
  await page.getByText("3 of 3 lines can be stored").waitFor();
  await screenshot(page, "write-4k-dark");
});
