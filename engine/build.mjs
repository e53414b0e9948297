/**
 * Builds what is published: JavaScript and declarations from the source, the SQL files beside them, and the dashboard.
 *
 *   node engine/build.mjs              into engine/dist
 *   node engine/build.mjs --out DIR    somewhere else; a test packs from there, so that the checkout stays without dist
 *
 * Invariants: (1) the output folder is replaced only by a complete build; (2) nothing but TypeScript and Vite is needed;
 * (3) the compiler's errors are errors of the build, and nothing is left of it then.
 */
import { spawnSync } from "node:child_process";
import { cpSync, globSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const PACKAGE = dirname(fileURLToPath(import.meta.url));
const { values } = parseArgs({ options: { out: { type: "string", default: join(PACKAGE, "dist") } } });
const target = resolve(values.out);
const half = `${target}.${process.pid}.tmp`;

try {
  compile();
  renameInDeclarations();
  copySql();
  buildDashboard();
  mkdirSync(dirname(target), { recursive: true });
  rmSync(target, { recursive: true, force: true });
  renameSync(half, target);
} catch (error) {
  console.error(`build: ${error.message}; ${target} is as it was`);
  process.exitCode = 1;
} finally {
  rmSync(half, { recursive: true, force: true });
}

function compile() {
  const require = createRequire(import.meta.url);
  const tsc = join(dirname(require.resolve("typescript/package.json")), "bin", "tsc");
  const args = ["-p", join(PACKAGE, "tsconfig.build.json"), "--outDir", half];
  const { status, error } = spawnSync(process.execPath, [tsc, ...args], { stdio: "inherit" });
  if (status !== 0) throw new Error(`the compiler failed${error === undefined ? "" : ` to start: ${error.message}`}`);
}

/** The compiler rewrites `./x.ts` to `./x.js` in code, but not in declarations, where not every tool resolves it. */
function renameInDeclarations() {
  for (const file of globSync("**/*.d.ts", { cwd: half })) {
    const path = join(half, file);
    const text = readFileSync(path, "utf8");
    const renamed = text.replaceAll(/(from |import\()"(\.{1,2}\/[^"]*)\.ts"/g, '$1"$2.js"');
    if (renamed !== text) writeFileSync(path, renamed);
  }
}

/** Migrations are read from beside the code that applies them. */
function copySql() {
  const source = join(PACKAGE, "src");
  const files = globSync("**/*.sql", { cwd: source });
  if (files.length === 0) throw new Error("there are no migrations to copy");
  for (const file of files) {
    mkdirSync(dirname(join(half, file)), { recursive: true });
    cpSync(join(source, file), join(half, file));
  }
}

/** Static files that `tenuto serve` serves: into `ui` beside the code. In a process of its own, which ends whatever it began. */
function buildDashboard() {
  const ui = resolve(PACKAGE, "../ui");
  const require = createRequire(join(ui, "package.json"));
  const vite = join(dirname(require.resolve("vite/package.json")), "bin", "vite.js");
  const args = ["build", ui, "--outDir", join(half, "ui"), "--emptyOutDir", "--logLevel", "error"];
  const { status, error } = spawnSync(process.execPath, [vite, ...args], { stdio: "inherit" });
  if (status !== 0) throw new Error(`the dashboard failed${error === undefined ? "" : ` to build: ${error.message}`}`);
}
