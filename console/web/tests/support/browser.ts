/** Pages of the console in a browser, and what they do that they should not. */
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";

import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll, afterEach } from "vitest";

import type { Server } from "./server";

export interface OpenOptions {
  /** A token to sign in with, as a user does. */
  token?: string | undefined;
  theme?: "light" | "dark";
  /** The width of the window in CSS pixels; 1280 unless set. */
  width?: number;
  /** The height of the window in CSS pixels; 800 unless set. */
  height?: number;
  /** Whether to return before the console is ready, for tests of the sign-in. */
  isSignedOut?: boolean;
}

/** What a page did, for checks of hostile input and of privacy. */
export interface PageEvents {
  /** Errors of scripts, and messages of the content security policy. */
  errors: string[];
  /** Dialogs of the browser: alert, confirm, prompt. */
  dialogs: string[];
  /** Addresses of requests to other origins than the server's. */
  foreignRequests: string[];
  /** All requested addresses, with their query strings. */
  requests: string[];
}

/** Time that the console gets to show a view, in milliseconds. A debug build on a busy machine is slow. */
const READY_TIMEOUT_MS = 30_000;

const events = new WeakMap<Page, PageEvents>();
const contexts: BrowserContext[] = [];
let browser: Browser | undefined;

// A page that nobody looks at any more would go on to refresh itself beside the tests that follow.
afterEach(async () => {
  await Promise.allSettled(contexts.splice(0).map((context) => context.close()));
});

afterAll(async () => {
  await browser?.close();
  browser = undefined;
});

/** Opens the console of a server at a hash such as `#/explore`, in a browser profile of its own. */
export async function openPage(server: Server, hash = "", options: OpenOptions = {}): Promise<Page> {
  browser ??= await startBrowser();
  const context = await browser.newContext({
    viewport: { width: options.width ?? 1280, height: options.height ?? 800 },
    colorScheme: options.theme ?? "light",
    reducedMotion: "reduce",
    acceptDownloads: true,
    permissions: ["clipboard-read", "clipboard-write"],
  });
  contexts.push(context);
  const page = await context.newPage();
  page.setDefaultTimeout(READY_TIMEOUT_MS);
  watch(page, server);
  await page.goto(`${server.url}/${hash}`);
  if (options.token) {
    await signIn(page, options.token);
  }
  if (!options.isSignedOut) {
    await waitUntilReady(page);
  }
  return page;
}

/** Starts the browser that NEAP_CHROMIUM names, or else that of Debian. */
async function startBrowser(): Promise<Browser> {
  const executablePath = process.env.NEAP_CHROMIUM ?? "/usr/bin/chromium";
  if (!existsSync(executablePath)) {
    throw new Error(`there is no ${executablePath}: install chromium, or set NEAP_CHROMIUM to the path of a browser`);
  }
  // Chromium refuses its sandbox to root, which builds run as.
  return chromium.launch({ executablePath, headless: true, args: ["--no-sandbox"] });
}

/** Enters a token in the sign-in form, as a user does. */
export async function signIn(page: Page, token: string): Promise<void> {
  await page.getByLabel("Token", { exact: true }).fill(token);
  await page.getByRole("button", { name: "Sign in" }).click();
}

/** Waits until the view of the hash is shown. */
export async function waitUntilReady(page: Page): Promise<void> {
  await page.waitForSelector("main.shell-main > :not(.spinner-line)", { state: "attached" });
}

/** Returns what the page has done since it was opened. */
export function pageEvents(page: Page): PageEvents {
  const found = events.get(page);
  if (!found) {
    throw new Error("the page was not opened with openPage");
  }
  return found;
}

/** Saves a picture of the page into the folder that NEAP_SCREENSHOTS names; does nothing if it is not set. */
export async function screenshot(page: Page, name: string): Promise<void> {
  const folder = process.env.NEAP_SCREENSHOTS;
  if (folder) {
    mkdirSync(folder, { recursive: true });
    await page.screenshot({ path: join(folder, `${name}.png`) });
  }
}

function watch(page: Page, server: Server): void {
  const found: PageEvents = { errors: [], dialogs: [], foreignRequests: [], requests: [] };
  events.set(page, found);
  page.on("pageerror", (error) => found.errors.push(String(error)));
  page.on("console", (message) => {
    const isPolicy = /content security policy|refused to/i.test(message.text());
    if (isPolicy) {
      found.errors.push(message.text());
    }
  });
  page.on("dialog", (dialog) => {
    found.dialogs.push(`${dialog.type()}: ${dialog.message()}`);
    dialog.dismiss().catch(() => undefined);
  });
  page.on("request", (request) => {
    const url = request.url();
    found.requests.push(url);
    if (!url.startsWith(`${server.url}/`) && !/^(data|blob):/.test(url)) {
      found.foreignRequests.push(url);
    }
  });
}
