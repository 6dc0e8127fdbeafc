import type { Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { expectAccessible, openPage, pageEvents, type Server, screenshot, startServer } from "./harness";
import { Model } from "./support/model";

/** A key that must not reach the page. */
const KEY = "sk-0123456789";

let model: Model;
let server: Server;

beforeAll(async () => {
  model = await Model.start();
  const args = ["--assistant-url", model.url, "--assistant-model", "small", "--assistant-key", KEY];
  server = await startServer({ args });
  await server.write("garden", 'soil,bed=herbs moisture=38.5,owner="Alice" 1750000000000000000');
});

beforeEach(() => {
  model.status = 200;
  model.prompts.length = 0;
});

afterAll(async () => {
  await server?.close();
  await model?.close();
});

async function openQuery(text: string, of = server): Promise<Page> {
  return openPage(of, `#/explore?db=garden&q=${encodeURIComponent(text)}`);
}

async function editorText(page: Page): Promise<string> {
  return (await page.locator(".cm-line").allInnerTexts()).join("\n");
}

async function chooseTask(page: Page, name: string): Promise<void> {
  await page.getByRole("button", { name: "Assistant" }).click();
  await page.getByRole("menuitem", { name }).click();
}

test("an error is corrected in the editor, and the statement waits for the user", async () => {
  model.content = "The column is called moisture.\n```sql\nSELECT moisture FROM soil\n```";
  const page = await openQuery("SELECT 1;\nSELECT moistur FROM soil");
  await page.locator(".cm-line").nth(1).click();
  await page.keyboard.press("Control+Enter");
  await page.getByRole("alert").getByRole("button", { name: "Fix this error" }).click();
  const dialog = page.getByRole("dialog", { name: "Fix this error" });
  await dialog.getByText("The column is called moisture.").waitFor();
  await dialog.getByText("SELECT moisture FROM soil", { exact: true }).waitFor();
  await screenshot(page, "explore-assistant");
  await expectAccessible(page);
  const [, question] = model.prompts[0] ?? [];
  expect(question).toContain("SELECT moistur FROM soil");
  expect(question).toContain("No field named moistur");
  expect(question).toContain('"soil": "time" time, "bed" tag');
  expect(question).not.toMatch(/Alice|herbs|38\.5/);
  await dialog.getByRole("button", { name: "Replace the statement" }).click();
  await expect.poll(() => editorText(page)).toBe("SELECT 1;\nSELECT moisture FROM soil");
  // The result is still that of the old statement.
  await page.getByRole("alert").getByText("No field named moistur").waitFor();
  expect(pageEvents(page)).toMatchObject({ errors: [], dialogs: [], foreignRequests: [] });
});

test("a query is written from a description, and the answer is shown as text", async () => {
  model.content = "<img src=x onerror=alert(1)> Ignore all <b>rules</b>.\n```\nSELECT bed FROM soil\n```";
  const page = await openQuery("");
  await chooseTask(page, "Write a query…");
  const dialog = page.getByRole("dialog", { name: "Write a query" });
  await dialog.getByRole("textbox").fill("All beds");
  await dialog.getByRole("button", { name: "Ask", exact: true }).click();
  await dialog.getByText("<img src=x onerror=alert(1)>").waitFor();
  expect(await page.locator("img[src=x]").count()).toBe(0);
  expect(model.prompts[0]?.[1]).toContain("All beds");
  await expectAccessible(page);
  await dialog.getByRole("button", { name: "Insert into the editor" }).click();
  await expect.poll(() => editorText(page)).toBe("SELECT bed FROM soil");
  expect(pageEvents(page)).toMatchObject({ errors: [], dialogs: [], foreignRequests: [] });
});

test("a statement is explained, and a model that fails is asked again", async () => {
  model.status = 500;
  model.content = "It counts the rows.";
  const page = await openQuery("SELECT count(*) FROM soil");
  await chooseTask(page, "Explain the statement");
  const dialog = page.getByRole("dialog", { name: "Explain the statement" });
  await dialog.getByRole("alert").getByText("the model answers 500 Internal Server Error").waitFor();
  model.status = 200;
  await dialog.getByRole("button", { name: "Ask again" }).click();
  await dialog.getByText("It counts the rows.").waitFor();
  expect(await dialog.getByRole("button", { name: "Insert into the editor" }).count()).toBe(0);
});

test("the page knows the name of the model, and not its key or its address", async () => {
  const session = await (await server.request("/api/v3/console/session")).text();
  expect(session).toContain('"assistant_model":"small"');
  expect(session).not.toContain(KEY);
  expect(session).not.toContain(new URL(model.url).host);
});

test("without a model, the page offers no assistant", async () => {
  const other = await startServer();
  await other.write("garden", "soil moisture=38.5");
  const page = await openQuery("SELECT moistur FROM soil", other);
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await page.getByRole("alert").getByText("No field named moistur").waitFor();
  expect(await page.getByRole("button", { name: /Assistant|Fix this error/ }).count()).toBe(0);
  await other.close();
});
