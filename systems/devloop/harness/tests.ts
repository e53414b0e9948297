/**
 * Runs the repository's tests for real: `node --test`, vitest, pytest, or a command that was given.
 *
 * Invariants:
 * 1. The runner is found by what the repository holds, in this order: vitest, pytest, node's own; a given command wins.
 * 2. Tests are programs that an agent may have written: they get no login, no token, and end within their limit.
 * 3. The report is a file outside the worktree, removed beforehand, so that a report of old is never taken for a new one.
 */
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Runner, TestResults } from "../domain/results.ts";
import { resultsOf } from "../domain/results.ts";
import { runProgram } from "./program.ts";

const REPORT_MAX_BYTES = 20 * 1024 * 1024;

export interface TestRun {
  tree: string;
  /** The worktree, of which `tree` may be a part. */
  root: string;
  /** Empty: detected. */
  command: readonly string[];
  timeoutMs: number;
  signal: AbortSignal;
  onLine?: (line: string) => void;
}

export class NoTestsError extends Error {}

/** @throws NoTestsError where nothing says how to test */
export async function runTests(run: TestRun): Promise<TestResults> {
  const report = join(tmpdir(), `tenuto-tests-${randomUUID()}.xml`);
  const chosen = run.command.length > 0 ? given(run.command, report) : await detected(run.tree, report);
  try {
    const result = await runProgram({
      argv: chosen.argv,
      cwd: run.tree,
      // A test that looks for its repository must not find one above the worktree.
      env: { ...chosen.env, GIT_CEILING_DIRECTORIES: dirname(run.root) },
      timeoutMs: run.timeoutMs,
      signal: run.signal,
      tailChars: 16_000,
      onLine(_, line) {
        run.onLine?.(line);
        return undefined;
      },
    });
    if (result.startError !== null) throw new NoTestsError(result.startError);
    return resultsOf({
      runner: chosen.runner,
      command: chosen.shown,
      exitCode: result.ended === null ? result.exitCode : null,
      timedOut: result.ended === "timeout",
      report: await reportText(report),
      output: result.tail,
    });
  } finally {
    await rm(report, { force: true });
  }
}

interface Chosen {
  runner: Runner;
  argv: string[];
  /** Without the report's place, which differs each time. */
  shown: string[];
  env: Record<string, string>;
}

/** A given command of a known runner gets the report added; any other is judged by its exit code. */
function given(command: readonly string[], report: string): Chosen {
  const words = command.map((word) => word.split("/").at(-1) ?? word);
  if (words[0]?.startsWith("node") === true && words.includes("--test")) return nodeTests([...command], report);
  if (words.includes("vitest")) return vitest([...command], report);
  if (words.includes("pytest")) return pytest([...command], report);
  return { runner: "command", argv: [...command], shown: [...command], env: QUIET };
}

const QUIET = { NO_COLOR: "1", CI: "1" };

async function detected(tree: string, report: string): Promise<Chosen> {
  const packageJson = await readPackage(join(tree, "package.json"));
  const names = new Set(await readdir(tree));
  if (usesVitest(packageJson, names)) {
    const own = join(tree, "node_modules", ".bin", "vitest");
    return vitest([existsSync(own) ? own : "vitest", "run"], report);
  }
  if (await usesPytest(tree, names)) return pytest(["python3", "-m", "pytest"], report);
  const script = packageJson?.scripts?.["test"];
  if (packageJson === null || script === undefined || /\bnode\b.*--test\b/.test(script)) {
    if (await hasNodeTests(tree)) return nodeTests([process.execPath, "--test"], report);
  }
  if (script !== undefined)
    return { runner: "command", argv: ["npm", "test", "--silent"], shown: ["npm", "test"], env: QUIET };
  throw new NoTestsError("nothing here says how to test it: give testCommand, or add a test file or a test script");
}

function nodeTests(command: string[], report: string): Chosen {
  const at = command.indexOf("--test") + 1;
  const reporters = [
    "--test-reporter=spec",
    "--test-reporter-destination=stdout",
    "--test-reporter=junit",
    `--test-reporter-destination=${report}`,
  ];
  const argv = [...command.slice(0, at), ...reporters, ...command.slice(at)];
  return { runner: "node", argv, shown: shownCommand(command), env: QUIET };
}

function vitest(command: string[], report: string): Chosen {
  const argv = [...command, "--reporter=default", "--reporter=junit", `--outputFile.junit=${report}`];
  return { runner: "vitest", argv, shown: shownCommand(command), env: QUIET };
}

function pytest(command: string[], report: string): Chosen {
  // Caches of Python would count as changes of the agent.
  const argv = [...command, "-q", "-p", "no:cacheprovider", `--junit-xml=${report}`];
  return { runner: "pytest", argv, shown: shownCommand(command), env: { ...QUIET, PYTHONDONTWRITEBYTECODE: "1" } };
}

function shownCommand(command: readonly string[]): string[] {
  return command.map((word, at) => (at === 0 ? (word.split("/").at(-1) ?? word) : word));
}

interface PackageJson {
  scripts?: Record<string, string>;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
}

async function readPackage(path: string): Promise<PackageJson | null> {
  try {
    const value: unknown = JSON.parse(await readFile(path, "utf8"));
    return typeof value === "object" && value !== null ? (value as PackageJson) : null;
  } catch {
    return null;
  }
}

function usesVitest(json: PackageJson | null, names: ReadonlySet<string>): boolean {
  if ([...names].some((name) => /^vitest\.config\.[cm]?[jt]s$/.test(name))) return true;
  return json?.devDependencies?.["vitest"] !== undefined || json?.dependencies?.["vitest"] !== undefined;
}

const PYTEST_FILE = /^(?:test_.*|.*_test)\.py$/;

async function usesPytest(tree: string, names: ReadonlySet<string>): Promise<boolean> {
  if (names.has("pytest.ini") || names.has("conftest.py")) return true;
  if ([...names].some((name) => PYTEST_FILE.test(name))) return true;
  if (names.has("pyproject.toml") && (await readFile(join(tree, "pyproject.toml"), "utf8")).includes("[tool.pytest"))
    return true;
  for (const folder of ["tests", "test"]) {
    if (names.has(folder) && (await readdir(join(tree, folder))).some((name) => PYTEST_FILE.test(name))) return true;
  }
  return false;
}

const NODE_TEST_FILE = /(?:^|[.\-_])test\.[cm]?[jt]s$|^test-.*\.[cm]?[jt]s$/;

async function hasNodeTests(tree: string): Promise<boolean> {
  const entries = await readdir(tree, { recursive: true });
  return entries.some((path) => {
    const parts = path.split("/");
    if (parts.includes("node_modules") || parts.includes(".git")) return false;
    const inTestFolder = parts.slice(0, -1).includes("test") && /\.[cm]?[jt]s$/.test(path);
    return inTestFolder || NODE_TEST_FILE.test(parts.at(-1)!);
  });
}

async function reportText(path: string): Promise<string | null> {
  try {
    if ((await stat(path)).size > REPORT_MAX_BYTES) return null;
    return await readFile(path, "utf8");
  } catch {
    return null;
  }
}
