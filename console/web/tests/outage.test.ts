import { afterAll, beforeAll, expect, test } from "vitest";
import { openPage, pageEvents, type Server, screenshot, startServer } from "./harness";

let server: Server;

beforeAll(async () => {
  server = await startServer({ tokens: true });
  await server.write("garden", "soil,bed=herbs moisture=38.5");
});

afterAll(() => server?.close());

test("the page says that the server is away, and continues when it is back", async () => {
  const page = await openPage(server, "#/operate?db=garden", { token: server.token });
  await page.getByText("No problems are reported.").waitFor();
  await server.stop("SIGKILL");
  await page.getByText("The server does not answer. The page connects again as soon as it does.").waitFor();
  await page.getByText("The figures below are old.").waitFor();
  await screenshot(page, "outage");
  await server.start();
  await page.getByText("The page connects again as soon as it does.").waitFor({ state: "detached" });
  await page.getByText("The figures below are old.").waitFor({ state: "detached" });
  // The token is still in memory, and the data are still there.
  await page.getByRole("link", { name: "Explore" }).click();
  await page.getByText("soil").first().waitFor();
  expect(pageEvents(page)).toMatchObject({ errors: [], dialogs: [], foreignRequests: [] });
});

test("a query that loses its server ends with an error, and can be repeated", async () => {
  const query = encodeURIComponent("SELECT bed, moisture FROM soil");
  const page = await openPage(server, `#/explore?db=garden&q=${query}`, { token: server.token });
  const run = page.getByRole("button", { name: "Run", exact: true });
  await run.click();
  await page.getByRole("gridcell", { name: "herbs" }).waitFor();
  await server.stop("SIGKILL");
  await run.click();
  await page.getByRole("alert").filter({ hasText: "does not answer" }).waitFor();
  await server.start();
  await run.click();
  await page.getByRole("alert").waitFor({ state: "detached" });
  await page.getByRole("gridcell", { name: "herbs" }).waitFor();
});

test("a view that is opened while the server is away says so, and appears when the server is back", async () => {
  const page = await openPage(server, "#/explore?db=garden", { token: server.token });
  await page.getByRole("treeitem", { name: "soil" }).waitFor();
  // The files of the views that are not shown are read soon after the first one. This is the last of them.
  const isRead = () => pageEvents(page).requests.some((url) => /write-view.*css$/.test(url));
  await expect.poll(isRead, { timeout: 30_000 }).toBe(true);
  await page.waitForLoadState("networkidle");
  await server.stop("SIGKILL");
  await page.getByRole("link", { name: "Operate" }).click();
  await page.getByText("The server does not answer. The page connects again as soon as it does.").waitFor();
  await page.getByRole("link", { name: "Administer" }).click();
  await screenshot(page, "outage-of-a-new-view");
  await server.start();
  await page.getByRole("tab", { name: "Databases" }).waitFor();
  await page.getByText("The page connects again as soon as it does.").waitFor({ state: "detached" });
  await page.getByRole("alert").waitFor({ state: "detached" });
  expect(pageEvents(page)).toMatchObject({ errors: [], dialogs: [], foreignRequests: [] });
});
