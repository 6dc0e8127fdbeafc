import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openPage, pageEvents, type Server, screenshot, signIn, startServer, waitUntilReady } from "./harness";

describe.each(["directory", "s3"] as const)("with tokens, on a store of kind %s", (store) => {
  let server: Server;

  beforeAll(async () => {
    server = await startServer({ tokens: true, store });
    await server.write("garden", "soil,bed=herbs moisture=38.5");
    await server.write("secret", "plans,kind=a value=1");
  });

  afterAll(() => server?.close());

  test("the page asks for a token and accepts the right one", async () => {
    const page = await openPage(server, "#/explore?db=garden", { isSignedOut: true });
    await signIn(page, "apiv3_wrong");
    await page.getByText("The server does not accept this token.").waitFor();
    await signIn(page, server.token ?? "");
    await waitUntilReady(page);
    await expectTokenUnseen(page, server.token ?? "");
    expect(pageEvents(page)).toMatchObject({ errors: [], dialogs: [], foreignRequests: [] });
  });

  test("a reload forgets the token unless the user keeps it in the tab", async () => {
    const page = await openPage(server, "#/operate", { token: server.token });
    await page.reload();
    await page.getByLabel("Keep the token until I close this tab").check();
    await signIn(page, server.token ?? "");
    await waitUntilReady(page);
    await page.reload();
    await waitUntilReady(page);
    expect(await page.evaluate(() => JSON.stringify(localStorage))).not.toContain("apiv3_");
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("button", { name: "Sign in" }).waitFor();
    expect(await page.evaluate(() => JSON.stringify(sessionStorage))).not.toContain("apiv3_");
  });

  test("a token shows only the databases that it may use", async () => {
    const token = await server.createToken(`reader-${store}`, ["db:garden:read"]);
    const page = await openPage(server, "#/explore?db=garden", { token });
    await page.getByText("soil").first().waitFor();
    expect(await page.getByText("secret", { exact: true }).count()).toBe(0);
    await page.goto(`${server.url}/#/operate/nodes`);
    await page.getByRole("tab", { name: "Overview" }).waitFor();
    expect(await page.getByRole("tab", { name: "Nodes" }).count()).toBe(0);
  });

  test("a revoked token leads back to the sign-in, and says why", async () => {
    const name = `revoked-${store}`;
    const token = await server.createToken(name, ["db:garden:read", "system:metrics:read"]);
    const page = await openPage(server, "#/operate?db=garden", { token });
    await page.getByText("These figures are of one process").waitFor();
    await server.revokeToken(name);
    await page.getByText("The token has expired or was revoked.").waitFor();
    await screenshot(page, "sign-in-revoked");
    await expectTokenUnseen(page, token);
  });

  test("an expired token leads back to the sign-in, and a new one continues", async () => {
    const token = await server.createToken(`expired-${store}`, ["db:garden:read", "system:metrics:read"], 4);
    const page = await openPage(server, "#/operate?db=garden", { token });
    await page.getByText("The token has expired or was revoked.").waitFor();
    await signIn(page, server.token ?? "");
    await page.getByText("These figures are of one process").waitFor();
    expect(page.url()).toContain("#/operate");
  });
});

describe.each(["directory", "s3"] as const)("without tokens, on a store of kind %s", (store) => {
  let server: Server;

  beforeAll(async () => {
    server = await startServer({ store });
    await server.write("garden", "soil,bed=herbs moisture=38.5");
  });

  afterAll(() => server?.close());

  test("the page opens without a sign-in", async () => {
    const page = await openPage(server);
    await page.getByText("soil").first().waitFor();
    expect(await page.getByRole("button", { name: "Sign out" }).count()).toBe(0);
    expect(pageEvents(page)).toMatchObject({ errors: [], dialogs: [], foreignRequests: [] });
  });
});

/** Throws if the token is where others could find it. */
async function expectTokenUnseen(page: Page, token: string): Promise<void> {
  const kept = await page.evaluate(() => [location.href, document.cookie, JSON.stringify(localStorage)].join());
  expect(kept).not.toContain(token);
  expect(pageEvents(page).requests.join()).not.toContain(token);
}
