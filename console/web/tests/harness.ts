/**
 * What browser tests use: servers under test, pages of the console in a browser, and checks of pages.
 *
 * ```ts
 * const server = await startServer({ tokens: true, store: "s3" });
 * await server.write("home", "home,room=Kitchen temp=22.4");
 * const page = await openPage(server, "#/explore?db=home", { token: server.token, theme: "dark", width: 360 });
 * await expectAccessible(page);
 * await server.close();
 * ```
 */
export { expectAccessible } from "./support/accessibility";
export { type OpenOptions, openPage, pageEvents, screenshot, signIn, waitUntilReady } from "./support/browser";
export { type Server, type ServerOptions, type StoreKind, startServer } from "./support/server";
