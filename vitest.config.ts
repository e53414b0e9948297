import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

// Many tests start programs of ours: without it each would compile them anew.
process.env["NODE_COMPILE_CACHE"] ??= fileURLToPath(new URL("node_modules/.cache/tenuto-tests", import.meta.url));

export default defineConfig({
  resolve: { conditions: ["source"] },
  ssr: { resolve: { conditions: ["source"] } },
  test: {
    include: [
      "engine/**/*.test.ts",
      "systems/**/*.test.ts",
      "examples/**/*.test.ts",
      "docs/**/*.test.ts",
      "ui/test/**/*.test.ts",
    ],
    exclude: ["**/node_modules/**", "**/dist/**"],
    globalSetup: ["engine/test/postgres/setup.ts"],
    execArgv: ["--conditions=source"],
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 30_000,
  },
});
