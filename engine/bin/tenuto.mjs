#!/usr/bin/env node
/**
 * Starts the command line with a Node that is new enough, in a checkout from the source, elsewhere from what was built.
 *
 * Plain JavaScript that old versions of Node can read: it is what tells them that they are too old. A launcher that has to
 * start another Node replaces itself where the system can do that, and otherwise passes signals on and the exit code back; what it started ends
 * with it, also when it is killed.
 */
import { spawn } from "node:child_process";
import { existsSync, realpathSync } from "node:fs";
import module from "node:module";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8";

const PACKAGE = join(dirname(fileURLToPath(import.meta.url)), "..");
const built = join(PACKAGE, "dist", "cli", "main.js");
const source = join(PACKAGE, "src", "cli", "main.ts");
// A build that lies about in a checkout may be older than its source; what is published has no source.
const fromSource = !existsSync(built) || (existsSync(source) && process.env.TENUTO_SOURCE !== "0");
// Node strips types itself since 22.18; what is built needs less.
const needed = fromSource ? [22, 18] : [22, 12];
const [major, minor] = process.versions.node.split(".").map(Number);
const newEnough = major > needed[0] || (major === needed[0] && minor >= needed[1]);
const args = process.argv.slice(2);
const LAUNCHER_LOOK_MS = 250;
const YOUNG_LOOK_MS = 100;
const YOUNG_BYTES = 8 * 1024 * 1024;

if (!newEnough) startOther(pinnedNode());
else if (fromSource && !process.execArgv.includes("--conditions=source") && loadsCode()) startOther(process.execPath);
else await start();

async function start() {
  delete process.env.TENUTO_RELAUNCHED;
  endWithLauncher();
  keepYoungGenerationSmall();
  module.enableCompileCache?.();
  quietLoader();
  const entry = fromSource ? "../src/cli/main.ts" : "../dist/cli/main.js";
  const io = fromSource ? "../src/cli/io.ts" : "../dist/cli/io.js";
  const [{ run }, { processIo }] = await Promise.all([import(entry), import(io)]);
  process.exit(await run(args, processIo()));
}

/** Whoever kills the launcher with SIGKILL means the engine; the ledger is made for that. */
function endWithLauncher() {
  const launcher = Number(process.env.TENUTO_LAUNCHER);
  delete process.env.TENUTO_LAUNCHER;
  if (!launcher) return;
  setInterval(() => {
    if (process.ppid !== launcher) process.kill(process.pid, "SIGKILL");
  }, LAUNCHER_LOOK_MS).unref();
}

/**
 * V8 lets its young generation grow up to 128 MB in a process that lives long, however little survives; a small one is
 * collected as fast. Only its growth can be ended once Node runs, so it is ended when it is large enough.
 */
function keepYoungGenerationSmall() {
  const timer = setInterval(() => {
    const young = getHeapSpaceStatistics().find((space) => space.space_name === "new_space");
    if (young !== undefined && young.space_size < YOUNG_BYTES) return;
    clearInterval(timer);
    setFlagsFromString("--semi-space-growth-factor=1");
  }, YOUNG_LOOK_MS);
  timer.unref();
}

/** Help and version load no pipelines, so they need no condition for the imports of these. */
function loadsCode() {
  return args.length > 0 && !args.some((arg) => ["-h", "--help", "-V", "--version"].includes(arg));
}

/** Notes of Node on files of the user's project that say nothing to whoever runs a pipeline. */
function quietLoader() {
  const emit = process.emitWarning;
  process.emitWarning = (warning, ...rest) => {
    const kind = typeof rest[0] === "object" ? rest[0] : { type: rest[0], code: rest[1] };
    if (kind?.code === "MODULE_TYPELESS_PACKAGE_JSON" || kind?.type === "ExperimentalWarning") return;
    emit.call(process, warning, ...rest);
  };
  // Node tells this one past emitWarning; the loader's own error says it with a hint.
  const printers = process.listeners("warning");
  process.removeAllListeners("warning");
  process.on("warning", (warning) => {
    if (!warning.message.startsWith("Failed to load the ES module")) for (const print of printers) print(warning);
  });
}

/** The Node that the workspace pins, or null. */
function pinnedNode() {
  const name = process.platform === "win32" ? "node.exe" : "node";
  for (let folder = PACKAGE; ; folder = dirname(folder)) {
    const candidate = join(folder, "node_modules", ".bin", name);
    if (existsSync(candidate) && realpathSync(candidate) !== realpathSync(process.execPath)) return candidate;
    if (folder === dirname(folder)) return null;
  }
}

function startOther(node) {
  if (node === null || process.env.TENUTO_RELAUNCHED !== undefined) {
    process.stderr.write(
      `error: tenuto needs Node ${needed.join(".")} or newer; this is ${process.versions.node} (${process.execPath})\n` +
        `hint:  Install Node 24 from https://nodejs.org${fromSource ? ", or run `npm ci` in the workspace, which brings it" : ""}.\n`,
    );
    process.exit(4);
  }
  const argv = [...(fromSource ? ["--conditions=source"] : []), fileURLToPath(import.meta.url), ...args];
  const env = { ...process.env };
  if (newEnough && typeof process.execve === "function" && process.platform !== "win32") {
    quietLoader();
    process.execve(node, [node, ...argv], env);
  }
  if (!newEnough) env.TENUTO_RELAUNCHED = "1";
  env.TENUTO_LAUNCHER = String(process.pid);
  const child = spawn(node, argv, { stdio: "inherit", env });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  child.on("error", (error) => {
    process.stderr.write(`error: ${node} can't be started: ${error.message}\n`);
    process.exit(4);
  });
  child.on("exit", (code, signal) => {
    if (signal === "SIGKILL")
      process.stderr.write("tenuto: the engine was killed. What is open is kept; go on with: tenuto resume\n");
    process.exit(code ?? 128 + (constants.signals[signal] ?? 1));
  });
}
