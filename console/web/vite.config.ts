import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

/** The server that the development server passes requests to. */
const server = process.env.NEAP_URL ?? "http://127.0.0.1:8181";

/** Lists the files of the page in its head, so that it can read those of other views before they are opened. */
function fileList(): Plugin {
  return {
    name: "file-list",
    transformIndexHtml: {
      order: "post",
      handler: (_html, { bundle }) => {
        const files = Object.keys(bundle ?? {}).filter((name) => /\.(js|css)$/.test(name));
        return [{ tag: "meta", attrs: { name: "neap-files", content: files.map((name) => `/${name}`).join(" ") } }];
      },
    },
  };
}

export default defineConfig({
  plugins: [fileList()],
  build: {
    assetsDir: "console/assets",
    // The content security policy allows data only as images.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2023",
    reportCompressedSize: true,
  },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  server: {
    host: "127.0.0.1",
    proxy: Object.fromEntries(
      ["/api", "/health", "/ping", "/ready", "/metrics", "/prometheus", "/query", "/write"].map((path) => [
        path,
        server,
      ]),
    ),
  },
  test: {
    projects: [
      { extends: true, test: { name: "unit", include: ["src/**/*.test.{ts,tsx}"], environment: "node" } },
      {
        extends: true,
        test: {
          name: "browser",
          include: ["tests/**/*.test.ts"],
          environment: "node",
          testTimeout: 120_000,
          hookTimeout: 180_000,
          fileParallelism: false,
          // A busy machine may delay a page by more than its test waits. All tests together take ten minutes.
          retry: 1,
        },
      },
    ],
  },
});
