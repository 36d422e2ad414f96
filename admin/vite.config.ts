import { defineConfig } from "vite";
import solid from "vite-plugin-solid";

// The server that the pages talk to while they are worked on; see README.md.
const server = process.env["SIGNET_URL"] ?? "http://localhost:8000";
const proxy = { "/v1": server };

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
  ],
  build: {
    target: "es2023",
    cssTarget: "esnext",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: { proxy },
  preview: { proxy },
});
