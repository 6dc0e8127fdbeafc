import type { Plugin, Rolldown } from "vite";
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

/** The modules of the view that is shown without a hash. */
const FIRST_VIEW = ["explore/query-editor.tsx", "explore/explore-view.tsx"];

/**
 * Adds a script that asks for the modules of the first view while those of the page arrive. The page itself would ask
 * a round trip later, once it runs. A link to another view asks for none of them.
 */
function firstViewPreload(): Plugin {
  let script: string | undefined;
  return {
    name: "first-view-preload",
    generateBundle(_options, bundle) {
      const chunks = Object.values(bundle).filter((file) => file.type === "chunk");
      const page = new Set(chunks.filter(({ isEntry }) => isEntry).flatMap((chunk) => withImports(chunk, bundle)));
      const view = FIRST_VIEW.flatMap((module) => {
        const chunk = chunks.find(({ facadeModuleId }) => facadeModuleId?.endsWith(`/src/${module}`));
        return chunk ? withImports(chunk, bundle) : this.error(`The page has no module ${module}.`);
      });
      const files = [...new Set(view)].filter((name) => !page.has(name)).map((name) => `/${name}`);
      const source = `if (/^(#\\/?)?(explore.*)?$/.test(location.hash)) for (const href of ${JSON.stringify(files)})
  document.head.append(Object.assign(document.createElement("link"), { rel: "modulepreload", href, crossOrigin: "", fetchPriority: "low" }));
`;
      script = this.getFileName(this.emitFile({ type: "asset", name: "first-view.js", source }));
    },
    transformIndexHtml: {
      order: "post",
      handler: () =>
        script === undefined
          ? []
          : [{ tag: "script", attrs: { src: `/${script}`, async: true }, injectTo: "head-prepend" }],
    },
  };
}

/** Returns the names of a chunk and of all chunks that it imports at once. */
function withImports(chunk: Rolldown.OutputChunk, bundle: Rolldown.OutputBundle): string[] {
  const names = new Set([chunk.fileName]);
  for (const name of names) {
    const file = bundle[name];
    for (const imported of file?.type === "chunk" ? file.imports : []) {
      names.add(imported);
    }
  }
  return [...names];
}

export default defineConfig({
  plugins: [fileList(), firstViewPreload()],
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
