/**
 * Builds the dashboard into `ui/dist` where that is missing or older than its source: before `npm start` in a clone.
 *
 * Invariant: a server without a dashboard is better than no server: a build that fails is said, and is no failure.
 */
import { globSync, statSync } from "node:fs";
import { join } from "node:path";

const UI = import.meta.dirname;
const newest = (names) => Math.max(0, ...names.map((name) => statSync(join(UI, name)).mtimeMs));

const built = newest(globSync("dist/index.html", { cwd: UI }));
const source = newest(globSync(["src/**/*.{ts,tsx,css}", "public/*", "index.html", "vite.config.ts"], { cwd: UI }));
if (source > built) {
  try {
    const { build } = await import("vite");
    await build({ root: UI, configFile: join(UI, "vite.config.ts"), logLevel: "error" });
    console.error("The dashboard was built into ui/dist.");
  } catch (error) {
    console.error(`The dashboard could not be built, the server starts without it: ${error.message}`);
  }
}
