import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { expectAccessible, openPage, pageEvents, type Server, screenshot, startServer } from "./harness";

/** A repository of plugins, in place of the public one. */
const LIBRARY = join(import.meta.dirname, "../../../tests/plugin-repository");

let server: Server;
let plugins: string;

beforeAll(async () => {
  plugins = mkdtempSync(join(tmpdir(), "neap-plugins-"));
  mkdirSync(plugins, { recursive: true });
  server = await startServer({ tokens: true, args: ["--plugin-dir", plugins, "--plugin-repo", LIBRARY] });
  await server.write("home", "home,room=Kitchen temp=31,hum=40 1700000000\nhome,room=Bath temp=21,hum=60 1700000060");
});

afterAll(async () => {
  await server?.close();
  rmSync(plugins, { recursive: true, force: true });
});

function open(section: string, options: Parameters<typeof openPage>[2] = {}): Promise<Page> {
  return openPage(server, `#/administer/${section}?db=home`, { token: server.token, ...options });
}

/** Opens the actions of a row and chooses one. */
async function act(page: Page, name: string, action: string): Promise<void> {
  await page.getByRole("button", { name: `Actions for ${name}`, exact: true }).click();
  await page.getByRole("menuitem", { name: action }).click();
}

test("a database is created with a retention, deleted by its name, and undeleted", async () => {
  const page = await open("databases");
  await page.getByRole("button", { name: "Create database" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name").fill("short lived");
  await dialog.getByText("A name has letters").waitFor();
  await dialog.getByLabel("Name").fill("temporary");
  await dialog.getByLabel("Keep rows for").fill("30d");
  await screenshot(page, "admin-create-database");
  await expectAccessible(page);
  await dialog.getByRole("button", { name: "Create database" }).click();
  const live = page.getByRole("region", { name: "Live databases" });
  await live.getByRole("row", { name: /temporary 30d/ }).waitFor();
  await server.write("temporary", "m v=1");
  await act(page, "the database temporary", "Delete database");
  await dialog.getByText("It has 1 table.").waitFor();
  const confirm = dialog.getByRole("button", { name: "Delete database" });
  expect(await confirm.isDisabled()).toBe(true);
  await dialog.getByLabel("Name").fill("temporary");
  await screenshot(page, "admin-delete-database");
  await confirm.click();
  await page.getByText(/temporary is deleted. It can be undeleted until \d{4}-/).waitFor();
  await live.getByRole("row", { name: /temporary/ }).waitFor({ state: "detached" });
  await screenshot(page, "admin-deleted-database");
  await page.getByRole("button", { name: "Undo" }).click();
  await live.getByRole("row", { name: /temporary 30d/ }).waitFor();
  expect(await server.query("temporary", "SELECT count(*) AS n FROM m")).toEqual([{ n: 1 }]);
});

test("tables are created, get a retention, and are dropped after a count", async () => {
  const page = await open("databases");
  await page.getByRole("button", { name: "Create table" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name", { exact: true }).fill("pumps");
  await dialog.getByLabel("Tags").fill("hall, pump");
  await dialog.getByLabel("Name of field 1").fill("bar");
  await dialog.getByRole("button", { name: "Add a field" }).click();
  await dialog.getByLabel("Name of field 2").fill("runs");
  await dialog.getByLabel("Type of field 2").selectOption("bool");
  await dialog.getByRole("button", { name: "Create table" }).click();
  const live = page.getByRole("region", { name: "Live tables" });
  await live.getByRole("row", { name: /pumps 5 hall, pump for ever/ }).waitFor();
  await act(page, "the table pumps", "Set retention");
  await dialog.getByLabel("Keep rows for").fill("7d");
  await dialog.getByRole("button", { name: "Set retention" }).click();
  await live.getByRole("row", { name: /pumps 5 hall, pump 7d/ }).waitFor();
  await screenshot(page, "admin-databases");
  await expectAccessible(page);
  await act(page, "the table home", "Set retention");
  await dialog.getByLabel("Keep rows for").fill("30d");
  await dialog.getByText("2 rows older than that").waitFor();
  expect(await dialog.getByRole("button", { name: "Set retention" }).isDisabled()).toBe(true);
  await screenshot(page, "admin-retention");
  await dialog.getByRole("button", { name: "Cancel" }).click();
  await act(page, "the table home", "Delete table");
  await dialog.getByText("It has 2 rows, from 2023-11-14 22:13:20").waitFor();
  await dialog.getByRole("button", { name: "Cancel" }).click();
  await act(page, "the table pumps", "Delete table");
  await dialog.getByLabel("Delete the data").selectOption("never");
  await dialog.getByLabel("Name").fill("pumps");
  await dialog.getByRole("button", { name: "Delete table" }).click();
  await page.getByText("1 deleted table").waitFor();
  await page.getByRole("button", { name: "Undelete" }).first().click();
  await dialog.getByLabel("Name").fill("pumps2");
  await dialog.getByRole("button", { name: "Undelete" }).click();
  await live.getByRole("row", { name: /pumps2/ }).waitFor();
});

test("a token is shown once, works with its permissions, and is revoked", async () => {
  const page = await open("tokens");
  await page.getByRole("button", { name: "Create token" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name").fill("reader");
  await dialog.getByLabel("Databases 1", { exact: true }).fill("nowhere");
  await dialog.getByText("There is no database nowhere").waitFor();
  await dialog.getByLabel("Databases 1", { exact: true }).fill("home");
  await dialog.getByText("db:home:read").waitFor();
  await screenshot(page, "admin-create-token");
  await expectAccessible(page);
  await dialog.getByRole("button", { name: "Create token" }).click();
  const secret = (await page.getByTestId("token").textContent()) ?? "";
  expect(secret).toMatch(/^apiv3_/);
  await screenshot(page, "admin-token-once");
  const ask = (body: string) =>
    fetch(`${server.url}${body}`, { method: "POST", headers: { authorization: `Bearer ${secret}` }, body: "m v=1" });
  expect((await ask("/api/v3/query_sql?db=home&q=SELECT%201")).status).toBeLessThan(500);
  expect((await ask("/api/v3/write_lp?db=home")).status).toBe(403);
  await page.getByRole("button", { name: "I have stored it" }).click();
  expect(await page.content()).not.toContain(secret);
  expect(await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }))).not.toContain(secret);
  const row = page.getByRole("row", { name: /reader db:home:read/ });
  await row.getByRole("button", { name: "Revoke" }).click();
  await dialog.getByLabel("Name").fill("reader");
  await dialog.getByRole("button", { name: "Revoke token" }).click();
  await row.waitFor({ state: "detached" });
  await expect.poll(async () => (await ask("/api/v3/query_sql?db=home&q=SELECT%201")).status).toBe(401);
  await screenshot(page, "admin-tokens");
});

test("caches are created, queried and deleted", async () => {
  const page = await open("caches");
  await screenshot(page, "admin-caches-empty");
  const dialog = page.getByRole("dialog");
  await page.getByRole("button", { name: "Last value cache" }).click();
  await dialog.getByLabel("Table").selectOption("home");
  await dialog.getByLabel("Name").fill("latest");
  await dialog.getByLabel("Age of rows").fill("1h");
  await dialog.getByRole("button", { name: "Create cache" }).click();
  await page.getByRole("row", { name: /home latest last values room/ }).waitFor();
  await page.getByRole("button", { name: "Distinct value cache" }).click();
  await dialog.getByLabel("Table").selectOption("home");
  expect(await dialog.getByLabel(/^room tag/).isChecked()).toBe(true);
  await dialog.getByLabel("Name").fill("rooms");
  await dialog.getByRole("button", { name: "Create cache" }).click();
  await page.getByRole("row", { name: /home rooms distinct values room/ }).waitFor();
  await screenshot(page, "admin-caches");
  await expectAccessible(page);
  const row = page.getByRole("row", { name: /home latest/ });
  await row.getByRole("button", { name: "Delete" }).click();
  await dialog.getByRole("button", { name: "Delete cache" }).click();
  await row.waitFor({ state: "detached" });
});

test("a plugin is written, run without storing, uploaded, triggered, and its log is filtered", async () => {
  const page = await open("plugins");
  await page.getByRole("button", { name: "Templates" }).click();
  await page.getByRole("menuitem", { name: "On written rows" }).click();
  await page.getByLabel("File name").fill("alarm.py");
  await page.getByRole("button", { name: /Take its newest/ }).click();
  const rows = page.getByLabel("Rows as line protocol");
  await expect.poll(() => rows.inputValue()).toContain("home,room=Kitchen hum=40,temp=31 1700000000000000000");
  await page.getByRole("button", { name: "Run without storing" }).click();
  await page
    .getByRole("region", { name: "Lines of the log" })
    .getByText("too hot in Kitchen")
    .waitFor({ timeout: 60_000 });
  await page.getByRole("region", { name: "Lines for home" }).getByText("alarms,room=Kitchen temp=31").waitFor();
  await screenshot(page, "admin-plugin");
  await expectAccessible(page);
  // The draft of the dry run is gone, and nothing is stored.
  expect(await server.query("_internal", "SELECT file_name FROM system.plugin_files")).toEqual([]);
  await page.getByRole("button", { name: "Upload", exact: true }).click();
  await page.getByText("alarm.py is uploaded.").waitFor();
  await page.getByRole("button", { name: "Create trigger" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name", { exact: true }).fill("alarm");
  await dialog.getByLabel("Runs on").fill("table");
  await dialog.getByText(/One of table:NAME/).waitFor();
  await dialog.getByLabel("Runs on").fill("table:home");
  await dialog.getByLabel("Arguments").fill("limit=20");
  await dialog.getByRole("button", { name: "Create trigger" }).click();
  await dialog.waitFor({ state: "detached" });
  await server.write("home", "home,room=Attic temp=25 1700000120");
  await page.getByRole("tab", { name: "Triggers" }).click();
  await page.getByRole("row", { name: /alarm table:home alarm.py limit=20 log enabled/ }).waitFor();
  const lines = page.getByRole("region", { name: "Log lines" });
  await expect
    .poll(
      async () => {
        await page.getByRole("button", { name: "Refresh" }).click();
        return page.getByText("too hot in Attic").count();
      },
      { timeout: 60_000 },
    )
    .toBeGreaterThan(0);
  await page.getByLabel("Level").selectOption("WARN");
  await page.getByLabel("Contains").fill("ATTIC");
  await expect.poll(() => lines.locator("li").count()).toBe(1);
  await screenshot(page, "admin-triggers");
  await expectAccessible(page);
});

/** The text of the editor, line by line. */
async function codeOf(page: Page): Promise<string> {
  const lines = page.getByRole("textbox", { name: "Code of the plugin" }).locator(".cm-line");
  return (await lines.allTextContents()).join("\n");
}

async function typeCode(page: Page, text: string): Promise<void> {
  await page.getByRole("textbox", { name: "Code of the plugin" }).click();
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.insertText(text);
}

test("the code of a trigger is opened, edited, run and saved", async () => {
  const page = await open("triggers");
  await act(page, "alarm", "Open its code");
  await page.getByLabel("File name").waitFor();
  await expect.poll(() => codeOf(page)).toContain("too hot in");
  expect(await page.getByLabel("File name").inputValue()).toBe("alarm.py");
  // The list of triggers may arrive after the code.
  await expect.poll(() => page.getByLabel("Trigger", { exact: true }).inputValue()).toBe("alarm");
  expect(await page.getByText("cannot read the code").count()).toBe(0);
  await screenshot(page, "admin-plugin-code");
  await expectAccessible(page);
  const code = 'def process_writes(influxdb3_local, table_batches, args=None):\n    influxdb3_local.info("edited")\n';
  await typeCode(page, code);
  await page.getByRole("button", { name: "Give it this code" }).click();
  await page.getByText("alarm runs the new code from its next run on.").waitFor();
  const saved = await server.request("/api/v3/plugins/files?trigger_name=alarm&db=home");
  expect(await saved.json()).toEqual({ is_package: false, files: [{ path: "alarm.py", content: code }] });
  // The editor is replaced by a template, and the trigger's code opened again.
  await page.getByRole("button", { name: "Templates" }).click();
  await page.getByRole("menuitem", { name: "On written rows" }).click();
  await page.getByLabel("File name").fill("other.py");
  await page.getByLabel("Trigger", { exact: true }).selectOption("alarm");
  await page.getByRole("button", { name: "Open its code" }).click();
  await expect.poll(() => codeOf(page)).toContain("edited");
  // The code of before serves the next tests.
  await page.getByRole("button", { name: "Templates" }).click();
  await page.getByRole("menuitem", { name: "On written rows" }).click();
  await page.getByLabel("Trigger", { exact: true }).selectOption("alarm");
  await page.getByRole("button", { name: "Give it this code" }).click();
  // The message of the first change may be shown still.
  const codeOnServer = async () => {
    const answer = await server.request("/api/v3/plugins/files?trigger_name=alarm&db=home");
    return (await answer.json()).files[0].content;
  };
  await expect.poll(codeOnServer, { timeout: 60_000 }).toContain("too hot in");
});

test("the files of an uploaded folder are opened, edited one by one, and uploaded", async () => {
  const main = "from pack import limits\n\ndef process_scheduled_call(influxdb3_local, call_time, args=None):\n";
  for (const [name, content] of [
    ["pack/__init__.py", `${main}    influxdb3_local.info("limit is", limits.LIMIT)\n`],
    ["pack/limits.py", "LIMIT = 20\n"],
  ]) {
    await server.send("POST", "/api/v3/plugins/files", { plugin_name: name, content });
  }
  const page = await open("plugins");
  const plugin = page.getByRole("listitem").filter({ hasText: "pack" });
  await plugin.getByText("uploaded, 2 files").waitFor();
  await plugin.getByRole("button", { name: "Open" }).click();
  const files = page.getByLabel("File (2 in the folder)");
  await expect.poll(() => codeOf(page)).toContain("limit is");
  expect(await page.getByLabel("Folder name").inputValue()).toBe("pack");
  await files.selectOption("limits.py");
  await expect.poll(() => codeOf(page)).toContain("LIMIT = 20");
  await typeCode(page, "LIMIT = 30\n");
  await files.selectOption("__init__.py");
  await files.getByRole("option", { name: "limits.py (changed)" }).waitFor({ state: "attached" });
  await expect.poll(() => codeOf(page)).toContain("limit is");
  await page.getByLabel("Run it").selectOption("schedule");
  await page.getByRole("button", { name: "Run without storing" }).click();
  await page.getByRole("region", { name: "Lines of the log" }).getByText("limit is 30").waitFor({ timeout: 60_000 });
  await screenshot(page, "admin-plugin-folder");
  await expectAccessible(page);
  await page.getByRole("button", { name: "Upload", exact: true }).click();
  await page.getByText("pack is uploaded.").waitFor();
  const saved = await server.request("/api/v3/plugins/files?plugin_name=pack");
  expect(await saved.json()).toMatchObject({
    is_package: true,
    files: [{}, { path: "limits.py", content: "LIMIT = 30\n" }],
  });
});

test("the folder that a trigger runs is replaced as a whole", async () => {
  await server.send("POST", "/api/v3/configure/processing_engine_trigger", {
    db: "home",
    plugin_filename: "pack",
    trigger_name: "packed",
    trigger_specification: "request:packed",
    trigger_settings: { run_async: false, error_behavior: "log" },
    disabled: true,
  });
  const page = await open("triggers");
  await act(page, "packed", "Open its code");
  await page.getByLabel("File (2 in the folder)").selectOption("limits.py");
  await typeCode(page, "LIMIT = 40\n");
  await page.getByRole("button", { name: "Give it this code" }).click();
  await page.getByText("packed runs the new code from its next run on.").waitFor();
  const saved = await server.request("/api/v3/plugins/files?trigger_name=packed&db=home");
  expect(await saved.json()).toMatchObject({
    is_package: true,
    files: [{}, { path: "limits.py", content: "LIMIT = 40\n" }],
  });
  // A trigger of a single file cannot run a folder.
  await page.getByLabel("Trigger", { exact: true }).selectOption("alarm");
  await page.getByText("alarm runs the single file alarm.py").waitFor();
  expect(await page.getByRole("button", { name: "Give it this code" }).isDisabled()).toBe(true);
  await server.send("DELETE", "/api/v3/configure/processing_engine_trigger?db=home&trigger_name=packed&force=true", {});
});

test("code in the plugin folder of a server is opened there, and its absence is said", async () => {
  writeFileSync(join(plugins, "local.py"), "def process_request(*given):\n    return {}\n");
  await server.send("POST", "/api/v3/configure/processing_engine_trigger", {
    db: "home",
    plugin_filename: "local.py",
    trigger_name: "local",
    trigger_specification: "request:local",
    trigger_settings: { run_async: false, error_behavior: "log" },
    disabled: true,
  });
  const page = await open("triggers");
  await act(page, "local", "Open its code");
  await expect.poll(() => codeOf(page)).toContain("process_request");
  // As on a server without this file.
  rmSync(join(plugins, "local.py"));
  await page.getByRole("tab", { name: "Triggers" }).click();
  await act(page, "local", "Open its code");
  await page
    .getByText("This server cannot read the code of local: its plugin local.py lies in the plugin folder")
    .waitFor();
  await screenshot(page, "admin-plugin-elsewhere");
  await expectAccessible(page);
  await typeCode(page, "def process_request(*given):\n    return {'new': True}\n");
  await page.getByRole("button", { name: "Give it this code" }).click();
  await page.getByText("local runs the new code from its next run on.").waitFor();
  expect(await page.getByText("cannot read the code").count()).toBe(0);
  await server.send("DELETE", "/api/v3/configure/processing_engine_trigger?db=home&trigger_name=local&force=true", {});
});

test("a trigger is run by hand, its lines are stored on demand, and it is disabled and deleted", async () => {
  const page = await open("triggers");
  const row = page.getByRole("row", { name: /^alarm/ });
  await row.getByRole("button", { name: "Run now" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Rows as line protocol").fill("home,room=Garage temp=40 1700000180000000000");
  await dialog.getByRole("button", { name: "Run now" }).click();
  await dialog.getByRole("button", { name: "Store these lines" }).click({ timeout: 60_000 });
  await dialog.getByRole("button", { name: "Stored" }).waitFor();
  await screenshot(page, "admin-run-now");
  expect(await server.query("home", "SELECT temp FROM alarms WHERE room = 'Garage'")).toEqual([{ temp: 40 }]);
  await dialog.getByRole("button", { name: "Close" }).last().click();
  await act(page, "alarm", "Disable");
  await page.getByRole("row", { name: /^alarm .* disabled/ }).waitFor();
  await act(page, "alarm", "Delete trigger");
  await dialog.getByLabel("Name").fill("alarm");
  await dialog.getByRole("button", { name: "Delete trigger" }).click();
  await page.getByText("No trigger yet").waitFor();
});

test("rows are counted and shown before they are deleted, and the state before is named", async () => {
  await server.write(
    "home",
    "gone,room=a,floor=1 v=1 1700000000\ngone,room=a,floor=2 v=2 1700000060\ngone,room=it's v=3 1700000120",
  );
  const page = await openPage(server, "#/administer/delete?db=home&table=gone", { token: server.token });
  await page.getByLabel("Before (UTC)").fill("2023-11-14T22:14:00Z");
  await page.getByLabel("Only with a tag").selectOption("room");
  await page.getByLabel("Values of room", { exact: true }).fill("a");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Count the rows" }).click();
  await page.getByText("1 row matches").waitFor();
  await page.getByRole("button", { name: "Remove a", exact: true }).click();
  await page.getByLabel("Values of room", { exact: true }).fill("it's");
  await page.getByRole("button", { name: "Add", exact: true }).click();
  await page.getByLabel("Before (UTC)").fill("");
  await page.getByRole("region", { name: "Condition" }).getByText(`"room" = 'it''s'`).waitFor();
  await page.getByRole("button", { name: "Count the rows" }).click();
  await page.getByRole("region", { name: "Rows that match" }).getByText("it's").waitFor();
  await screenshot(page, "admin-delete-rows");
  await expectAccessible(page);
  await page.getByRole("button", { name: "Delete 1 row" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name").fill("gone");
  await dialog.getByRole("button", { name: "Delete rows" }).click();
  await page.getByText("1 row is deleted.").waitFor();
  await page
    .getByRole("region", { name: "Command" })
    .getByText(/neap restore --database home --as-of \d{4}-\d\d-\d\dT/)
    .waitFor();
  const link = await page.getByRole("link", { name: "See the table as it was before" }).getAttribute("href");
  expect(decodeURIComponent(link ?? "")).toMatch(/asof=\d{4}-/);
  expect(await server.query("home", "SELECT count(*) AS n FROM gone")).toEqual([{ n: 2 }]);
});

test("the history shows changes, and restores a moment as a new database", async () => {
  const page = await open("restore");
  await page.getByRole("region", { name: "All changes" }).getByText("home").first().waitFor();
  await page.getByLabel("Moment (UTC)").fill("2026-11-22 04:00");
  await page.getByLabel("Restore it as").fill("home");
  await page.getByText("This database exists.").waitFor();
  await page.getByLabel("Restore it as").fill("copy");
  await page.getByText("Restore with a command").click();
  await page
    .getByRole("region", { name: "Command that restores" })
    .getByText("neap restore --database home --as-of 2026-11-22T04:00:00Z --to copy")
    .waitFor();
  await screenshot(page, "admin-history");
  await expectAccessible(page);
  await page.getByLabel("Moment (UTC)").fill(new Date().toISOString());
  await page.getByRole("button", { name: "Restore", exact: true }).click();
  await page.getByRole("row", { name: /^home as copy \d{4}-\S+ completed/ }).waitFor({ timeout: 60_000 });
  const count = "SELECT count(*) AS n FROM home";
  expect(await server.query("copy", count)).toEqual(await server.query("home", count));
});

test("a token with few rights is offered only what it may do", async () => {
  const reader = await server.createToken("few", ["db:home:read"]);
  const page = await openPage(server, "#/administer?db=home", { token: reader });
  await page.getByRole("tab", { name: "Caches" }).waitFor();
  for (const forbidden of ["Plugins", "Tokens", "Delete rows"]) {
    expect(await page.getByRole("tab", { name: forbidden }).count()).toBe(0);
  }
  expect(await page.getByRole("button", { name: "Create database" }).count()).toBe(0);
  expect(await page.getByRole("button", { name: /^Actions for/ }).count()).toBe(0);
  await page.getByRole("tab", { name: "Caches" }).click();
  expect(await page.getByRole("button", { name: "Last value cache" }).count()).toBe(0);
  expect(pageEvents(page).errors).toEqual([]);
  await page.goto(`${page.url().split("#")[0]}#/write`);
  await page.getByText("You may not write").waitFor();
});

test.each([
  ["databases", 360, "light"],
  ["plugins", 360, "dark"],
  ["delete", 360, "light"],
  ["tokens", 360, "dark"],
  ["databases", 3840, "dark"],
  ["plugins", 3840, "light"],
] as const)("%s at %i pixels is accessible in %s", async (section, width, theme) => {
  const page = await open(section, { width, theme, height: width > 1000 ? 2160 : 740 });
  await page.waitForLoadState("networkidle");
  await screenshot(page, `admin-${section}-${width}-${theme}`);
  await expectAccessible(page);
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  expect(overflow).toBeLessThanOrEqual(0);
});

test("a plugin of the library is installed", async () => {
  const page = await open("plugins");
  await page.getByRole("button", { name: "Library" }).click();
  const dialog = page.getByRole("dialog", { name: "Plugin library" });
  await dialog.getByRole("row", { name: /almanac Knows/ }).waitFor();
  await dialog.getByLabel("Filter plugins").fill("GREETS");
  await dialog.getByRole("row", { name: /almanac Knows/ }).waitFor({ state: "detached" });
  await screenshot(page, "administer-plugin-library");
  await expectAccessible(page);
  await dialog.getByRole("button", { name: "Install" }).click();
  await page.getByText("greeter: installed. Create a trigger to run it.").waitFor();
  await dialog.waitFor({ state: "detached" });
  expect(pageEvents(page)).toMatchObject({ errors: [], dialogs: [], foreignRequests: [] });
});
