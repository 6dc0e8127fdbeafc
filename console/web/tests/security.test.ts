import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openPage, pageEvents, type Server, startServer } from "./harness";

let server: Server;

beforeAll(async () => {
  server = await startServer();
  await server.write("garden", "soil,bed=herbs moisture=38.5");
});

afterAll(() => server?.close());

test("the policy refuses scripts and styles that the page does not contain", async () => {
  const page = await openPage(server);
  const injected = await page.evaluate(() => {
    const script = document.createElement("script");
    script.textContent = "globalThis.hasRun = true";
    document.head.append(script);
    const style = document.createElement("style");
    style.textContent = "body { display: none }";
    document.head.append(style);
    const hasRun = "hasRun" in globalThis;
    return { hasRun, display: getComputedStyle(document.body).display };
  });
  expect(injected).toEqual({ hasRun: false, display: "block" });
});

test("the policy refuses requests to other places", async () => {
  const other = createServer((_, response) => response.writeHead(200, { "access-control-allow-origin": "*" }).end("x"));
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
  const address = `http://127.0.0.1:${(other.address() as AddressInfo).port}/`;
  const page = await openPage(server);
  const outcome = await page.evaluate(
    (url) =>
      fetch(url).then(
        () => "answered",
        () => "refused",
      ),
    address,
  );
  expect(outcome).toBe("refused");
  other.close();
});

test("another site cannot show the page in a frame", async () => {
  const site = createServer((_, response) =>
    response.writeHead(200, { "content-type": "text/html" }).end(`<iframe src="${server.url}/"></iframe>`),
  );
  await new Promise<void>((resolve) => site.listen(0, "127.0.0.1", resolve));
  const page = await openPage(server);
  await page.goto(`http://127.0.0.1:${(site.address() as AddressInfo).port}/`);
  await page.waitForLoadState("networkidle");
  const frame = page.frames()[1];
  expect(await frame?.locator("#app").count()).toBe(0);
  site.close();
});

test("the page loads nothing from elsewhere and leaves no cookie", async () => {
  const page = await openPage(server, "#/explore?db=garden");
  await page.waitForLoadState("networkidle");
  expect(pageEvents(page)).toMatchObject({ errors: [], foreignRequests: [] });
  expect(await page.evaluate(() => document.cookie)).toBe("");
});
