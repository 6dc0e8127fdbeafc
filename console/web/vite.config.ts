import { defineConfig } from "vitest/config";

/** The server that the development server passes requests to. */
const server = process.env.NEAP_URL ?? "http://127.0.0.1:8181";

export default defineConfig({
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
      ["/api", "/health", "/ping", "/metrics", "/query", "/write"].map((path) => [path, server]),
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
