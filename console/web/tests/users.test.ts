import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

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
import { program, RunningProcess } from "./support/programs";
import { Provider } from "./support/provider";

const PASSWORD = "correct horse";
const HOUR_MS = 3_600_000;

let provider: Provider;
let server: Server;

beforeAll(async () => {
  provider = await Provider.start();
  const oauth = ["--oauth-issuer", provider.issuer, "--oauth-client-id", "neap", "--oauth-group-roles", "ops=Admin"];
  server = await startServer({ tokens: true, args: ["--user-auth-type", "basic,oauth", ...oauth] });
  await server.write("garden", "soil,bed=herbs moisture=38.5");
  await server.write("secret", "plans,kind=a value=1");
  const gardeners = { name: "gardeners", permissions: ["db:garden:read", "system:metrics:read"] };
  await server.send("POST", "/api/v3/roles", gardeners);
  await createUser("ann", ["Admin"]);
  await createUser("bob", ["gardeners"]);
});

afterAll(async () => {
  await server?.close();
  await provider?.close();
});

async function createUser(username: string, roles: string[], requiresPasswordReset = false): Promise<void> {
  const { items } = (await (await server.request("/api/v3/roles")).json()) as { items: { id: number; name: string }[] };
  const roleIds = items.filter(({ name }) => roles.includes(name)).map(({ id }) => id);
  await server.send("POST", "/api/v3/users", { username, password: PASSWORD, roleIds, requiresPasswordReset });
}

async function enter(page: Page, name: string, password = PASSWORD): Promise<void> {
  await page.getByLabel("Name", { exact: true }).fill(name);
  await page.getByLabel("Password", { exact: true }).fill(password);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
}

/** Opens the page and signs a user in with a password. */
async function openAs(name: string, hash: string): Promise<Page> {
  const page = await openPage(server, hash, { isSignedOut: true });
  await enter(page, name);
  await waitUntilReady(page);
  return page;
}

/** Returns everything that the browser keeps for the page. */
function storageOf(page: Page): Promise<string> {
  return page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]));
}

test("the sign-in of users is accessible in both themes and in a narrow window", async () => {
  for (const [theme, width] of [
    ["light", 1280],
    ["dark", 1280],
    ["light", 360],
  ] as const) {
    const page = await openPage(server, "", { theme, width, isSignedOut: true });
    await page.getByLabel("Password", { exact: true }).waitFor();
    await page.getByRole("button", { name: "Change the password" }).click();
    await expectAccessible(page);
    await screenshot(page, `sign-in-users-${theme}-${width}`);
    await page.context().close();
  }
});

test("a user signs in with a password, sees what the role allows, and signs out on the server, too", async () => {
  const page = await openPage(server, "#/explore?db=garden", { isSignedOut: true });
  await enter(page, "bob", "wrong horse");
  await page.getByText("The name or the password is wrong.").waitFor();
  const answered = page.waitForResponse((response) => response.url().endsWith("/api/v3/authorize"));
  await enter(page, "bob");
  const { accessToken } = (await (await answered).json()) as { accessToken: string };
  await page.getByText("soil").first().waitFor();
  expect(await page.getByText("secret", { exact: true }).count()).toBe(0);
  expect(await storageOf(page)).not.toContain(accessToken);
  expect(pageEvents(page).requests.join()).not.toContain(accessToken);
  const ask = () =>
    fetch(`${server.url}/api/v3/console/session`, { headers: { authorization: `Bearer ${accessToken}` } });
  expect((await ask()).status).toBe(200);
  await page.getByRole("button", { name: "Sign out of the user bob" }).click();
  await page.getByLabel("Password", { exact: true }).waitFor();
  await expect.poll(async () => (await ask()).status).toBe(401);
  expect(pageEvents(page)).toMatchObject({ errors: [], dialogs: [], foreignRequests: [] });
});

test("a session is renewed before its access token expires, and outlives a reload if the user wants", async () => {
  const page = await openPage(server, "#/operate?db=garden", { isSignedOut: true });
  await page.getByLabel("Stay signed in until I close this tab").check();
  await enter(page, "bob");
  await page.getByText("These figures are of one process").waitFor();
  const first = await storageOf(page);
  const renewals = () => pageEvents(page).requests.filter((url) => url.endsWith("/authorize/refresh")).length;
  expect(renewals()).toBe(0);
  await page.clock.setFixedTime(Date.now() + HOUR_MS);
  await page.getByRole("link", { name: "Explore" }).click();
  await expect.poll(renewals).toBe(1);
  await page.getByText("soil").first().waitFor();
  expect(await storageOf(page)).not.toBe(first);
  await page.reload();
  await waitUntilReady(page);
  await page.getByText("soil").first().waitFor();
});

test("a user who is disabled is signed out, and told so", async () => {
  await createUser("eve", ["gardeners"]);
  const page = await openAs("eve", "#/operate?db=garden");
  await page.getByText("These figures are of one process").waitFor();
  const { items } = (await (await server.request("/api/v3/users")).json()) as {
    items: { userId: number; username: string }[];
  };
  const eve = items.find(({ username }) => username === "eve");
  await server.send("PATCH", `/api/v3/users/${eve?.userId}`, { disabled: true });
  await page.getByText("Your session has ended. Sign in again.").waitFor();
});

test("a new user sets another password at the first sign-in", async () => {
  await createUser("dan", ["gardeners"], true);
  const page = await openPage(server, "#/explore?db=garden", { isSignedOut: true });
  await enter(page, "dan");
  await page.getByText("An administrator requires that you set another password.").waitFor();
  await page.getByLabel("New password").fill("short");
  await page.getByText("A password has at least 8 bytes.").waitFor();
  await page.getByLabel("New password").fill("battery staple");
  await page.getByRole("button", { name: "Set the password and sign in" }).click();
  await page.getByText("soil").first().waitFor();
});

test("a token can still be used", async () => {
  const page = await openPage(server, "#/explore?db=secret", { isSignedOut: true });
  await page.getByRole("button", { name: "Use a token" }).click();
  await page.getByLabel("Token", { exact: true }).fill(server.token ?? "");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("plans").first().waitFor();
});

test("a user signs in at the identity provider, and returns to the same view", async () => {
  provider.claims = { sub: "user-7", preferred_username: "ops-person", groups: ["ops"] };
  const page = await openPage(server, "#/operate/nodes?db=garden", { isSignedOut: true });
  await page.getByRole("button", { name: /^Continue to 127\.0\.0\.1/ }).click();
  await page.getByText("Sign in here").click();
  await waitUntilReady(page);
  await page.getByRole("button", { name: "Sign out of the user ops-person" }).waitFor();
  expect(page.url()).toBe(`${server.url}/#/operate/nodes?db=garden`);
  expect(provider.tokenRequests).toHaveLength(1);
  expect(await storageOf(page)).not.toContain("codeVerifier");
  expect(pageEvents(page)).toMatchObject({ errors: [], dialogs: [] });
  // The page itself has sent no request to the provider: the tab has shown it.
  const foreign = pageEvents(page).foreignRequests.map((url) => new URL(url).pathname);
  expect(foreign.filter((path) => path !== "/authorize" && path !== "/favicon.ico")).toEqual([]);
});

test("an answer of the provider that this tab has not asked for begins no session", async () => {
  const page = await openPage(server, "?code=stolen&state=guessed", { isSignedOut: true });
  await page.getByText("This tab has not begun the sign-in.").waitFor();
  expect(page.url()).toBe(`${server.url}/`);
  expect(pageEvents(page).requests.filter((url) => url.endsWith("/authorize"))).toEqual([]);
});

test("a refusal of the provider is shown, and a person without a role is refused", async () => {
  const page = await openPage(server, "", { isSignedOut: true });
  await page.getByRole("button", { name: /^Continue to/ }).click();
  await page.getByText("Refuse").click();
  await page.getByText("The identity provider has refused the sign-in: The user has refused.").waitFor();
  provider.claims = { sub: "user-8", preferred_username: "stranger", groups: ["staff"] };
  await page.getByRole("button", { name: /^Continue to/ }).click();
  await page.getByText("Sign in here").click();
  await page.getByText(/The sign-in at the identity provider has failed/).waitFor();
  await screenshot(page, "sign-in-provider-refused");
  await page.getByLabel("Password", { exact: true }).waitFor();
});

test("a person signs in on the command line and confirms it in a browser", async () => {
  const folder = mkdtempSync(join(tmpdir(), "neap-device-"));
  const connection = ["--host", server.url, "--credentials", join(folder, "credentials.json")];
  const neap = (...args: string[]) =>
    RunningProcess.start(program("neap", "NEAP_BIN"), [...args, ...connection], folder);
  const page = await openPage(server, "", { isSignedOut: true });
  const answer = async (text: string) => {
    const login = neap("auth", "login", "--oauth");
    const address = await login.waitFor("address", () => /Open (\S+) and confirm the code/.exec(login.log)?.[1]);
    await page.goto(address);
    await page.getByText(text, { exact: true }).click();
    await page.getByText("Done").waitFor();
    return { status: await login.ended, log: login.log };
  };
  try {
    const refused = await answer("refuse");
    expect(refused.status).not.toBe(0);
    expect(refused.log).toContain("access_denied");
    provider.claims = { sub: "user-9", preferred_username: "dora", groups: ["ops"] };
    const confirmed = await answer("confirm");
    expect(confirmed).toMatchObject({ status: 0, log: expect.stringContaining('Signed in as "dora"') });
    const shown = neap("show", "databases");
    expect(await shown.ended).toBe(0);
    expect(shown.log).toContain("secret");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("an administrator creates a role and a user, changes them, and deletes them", async () => {
  const page = await openAs("ann", "#/administer/users");
  const dialog = page.getByRole("dialog");
  await page.getByRole("button", { name: "Create role" }).click();
  await dialog.getByLabel("Name").fill("writers");
  await dialog.getByLabel("Permissions").fill("db:nowhere:write");
  await dialog.getByRole("button", { name: "Create role" }).click();
  await dialog.getByRole("alert").waitFor();
  await dialog.getByLabel("Permissions").fill("db:garden:read,write\nsystem:metrics:read");
  await screenshot(page, "admin-create-role");
  await expectAccessible(page);
  await dialog.getByRole("button", { name: "Create role" }).click();
  await page.getByRole("row", { name: /writers db:garden:read,write, system:metrics:read/ }).waitFor();

  await page.getByRole("button", { name: "Create user" }).click();
  await dialog.getByLabel("Name", { exact: true }).fill("carl");
  await dialog.getByLabel("Full name").fill("Carl <b>Example</b>");
  await dialog.getByLabel("writers").check();
  await dialog.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await screenshot(page, "admin-create-user");
  await expectAccessible(page);
  await dialog.getByRole("button", { name: "Create user" }).click();
  const carl = page.getByRole("row", { name: /^carl/ });
  await carl.getByText("must set a password").waitFor();
  await screenshot(page, "admin-users");
  await expectAccessible(page);

  const act = async (name: string, action: string) => {
    await page.getByRole("button", { name: `Actions for ${name}`, exact: true }).click();
    await page.getByRole("menuitem", { name: action }).click();
  };
  await act("the user carl", "Set roles");
  await dialog.getByLabel("Auditor").check();
  await dialog.getByRole("button", { name: "Set roles" }).click();
  await carl.getByText(/Auditor/).waitFor();
  await act("the user carl", "Disable");
  await carl.getByText("disabled").waitFor();
  await act("the role writers", "Set permissions");
  expect(await dialog.getByLabel("Permissions").inputValue()).toBe("db:garden:read,write\nsystem:metrics:read");
  await dialog.getByLabel("Permissions").fill("db:garden:write");
  await dialog.getByRole("button", { name: "Set permissions" }).click();
  await page.getByRole("row", { name: /writers db:garden:write/ }).waitFor();
  await act("the user carl", "Delete user");
  await dialog.getByLabel("Name").fill("carl");
  await dialog.getByRole("button", { name: "Delete user" }).click();
  await carl.waitFor({ state: "detached" });
  await act("the role writers", "Delete role");
  await dialog.getByLabel("Name").fill("writers");
  await dialog.getByRole("button", { name: "Delete role" }).click();
  await page.getByRole("row", { name: /^writers/ }).waitFor({ state: "detached" });
  expect(pageEvents(page)).toMatchObject({ errors: [], dialogs: [], foreignRequests: [] });
});

test("users see only what their role lets them administer", async () => {
  const reader = await server.createToken("users-reader", ["user:*:read", "audit:*:read"]);
  const page = await openPage(server, "#/administer/users", { isSignedOut: true });
  await page.getByRole("button", { name: "Use a token" }).click();
  await page.getByLabel("Token", { exact: true }).fill(reader);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("row", { name: /^bob/ }).waitFor();
  expect(await page.getByRole("button", { name: "Create user" }).count()).toBe(0);
  expect(await page.getByRole("button", { name: /^Actions for/ }).count()).toBe(0);
  await page.getByRole("tab", { name: "Backups" }).click();
  await page.getByText("No backup yet").waitFor();
  expect(await page.getByRole("button", { name: "Create backup" }).count()).toBe(0);
  const bob = await openAs("bob", "#/administer");
  await bob.getByRole("tab", { name: "Databases" }).waitFor();
  for (const name of ["Users", "Backups", "Imports", "Tokens"]) {
    expect(await bob.getByRole("tab", { name }).count()).toBe(0);
  }
});

test.each([
  [360, "light"],
  [1280, "dark"],
] as const)("users at %i pixels are accessible in %s", async (width, theme) => {
  const page = await openPage(server, "#/administer/users", { width, theme, isSignedOut: true });
  await enter(page, "ann");
  await page.getByRole("row", { name: /^bob/ }).waitFor();
  await page.waitForLoadState("networkidle");
  await screenshot(page, `admin-users-${width}-${theme}`);
  await expectAccessible(page);
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  expect(overflow).toBeLessThanOrEqual(0);
});
