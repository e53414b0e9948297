/**
 * Builds the dashboard into `ui/dist`, which `tenuto serve` serves and the package carries as `engine/dist/ui`.
 *
 * Invariants: nothing is inlined (the page's policy allows files of its own origin only), nothing comes from elsewhere.
 */
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

export default defineConfig({
  root: import.meta.dirname,
  plugins: [react()],
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    sourcemap: false,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 700,
  },
  worker: { format: "es" },
  server: { proxy: { "/api": { target: "http://127.0.0.1:4600", ws: true } } },
});
