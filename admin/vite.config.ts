import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { defineConfig } from "vite";
import solid from "vite-plugin-solid";

// The server that the pages talk to while they are worked on.
const server = process.env["SIGNET_URL"] ?? "http://localhost:8000";

export default defineConfig({
  base: "/admin/",
  plugins: [
    solid({ hot: false }),
    {
      // Nothing is painted before the theme is known.
      name: "blocking-render",
      transformIndexHtml: {
        order: "post",
        handler: (html) => html.replace('<script type="module"', '<script type="module" blocking="render"'),
      },
    },
    {
      // Each file in gzip alone: the server sends it as it is, and unpacks it for who takes nothing else.
      name: "compress",
      apply: "build",
      writeBundle: async ({ dir = "dist" }) => {
        for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
          if (!entry.isFile()) continue;
          const path = join(entry.parentPath, entry.name);
          await writeFile(`${path}.gz`, gzipSync(await readFile(path), { level: 9 }));
          await rm(path);
        }
      },
    },
  ],
  build: {
    target: "es2023",
    cssTarget: "esnext",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: { proxy: { "/v1": server } },
});
