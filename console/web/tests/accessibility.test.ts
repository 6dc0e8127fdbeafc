import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectAccessible, openPage, pageEvents, type Server, screenshot, startServer } from "./harness";
import { hashOf, VIEWS } from "./support/views";

const THEMES = ["light", "dark"] as const;
const NARROW_WIDTH = 360;

let server: Server;

beforeAll(async () => {
  server = await startServer();
  const lines = Array.from({ length: 200 }, (_, at) => {
    const bed = at % 2 === 0 ? "herbs" : "tomatoes";
    return `soil,bed=${bed} moisture=${40 + (at % 17)},watered=${at % 5 === 0} ${1_760_000_000 + at * 60}000000000`;
  });
  await server.write("garden", lines.join("\n"));
});

afterAll(() => server?.close());

describe.each(THEMES)("in the %s theme", (theme) => {
  test.each(VIEWS)("$name has no accessibility violation", async (view) => {
    const page = await openPage(server, hashOf(view, "garden"), { theme });
    await settle(page);
    await screenshot(page, `${view.name}-${theme}`);
    await expectAccessible(page);
    expect(pageEvents(page)).toMatchObject({ errors: [], dialogs: [], foreignRequests: [] });
    await page.context().close();
  });

  test.each(VIEWS)("$name fits a window of 360 pixels, and has no accessibility violation there", async (view) => {
    const page = await openPage(server, hashOf(view, "garden"), { theme, width: NARROW_WIDTH, height: 740 });
    await settle(page);
    await screenshot(page, `${view.name}-narrow-${theme}`);
    await expectAccessible(page);
    await expectNoOverflow(page);
    await page.context().close();
  });
});

test("the sign-in has no accessibility violation", async () => {
  const locked = await startServer({ tokens: true });
  for (const theme of THEMES) {
    const page = await openPage(locked, "", { theme, isSignedOut: true });
    await page.getByRole("button", { name: "Sign in" }).waitFor();
    await expectAccessible(page);
    await screenshot(page, `sign-in-${theme}`);
  }
  await locked.close();
});

/** Waits until the view has loaded what it shows first. */
async function settle(page: Page): Promise<void> {
  await page.waitForLoadState("networkidle");
}

async function expectNoOverflow(page: Page): Promise<void> {
  const { content, window } = await page.evaluate(() => ({
    content: document.documentElement.scrollWidth,
    window: document.documentElement.clientWidth,
  }));
  expect(content, "the page is wider than the window").toBeLessThanOrEqual(window);
}
