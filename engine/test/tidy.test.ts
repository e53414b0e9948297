/**
 * The import table of DESIGN.md and the rules of tidiness, as tests: who may import whom, no cycles, sizes, names, no clocks
 * or randomness in the core, no paths of somebody's machine. Lists of exceptions may only get shorter.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const MAX_LINES = 400;
const MAX_FUNCTION = 70;

interface Import {
  target: string;
  typeOnly: boolean;
}

interface Source {
  /** Path below the root. */
  path: string;
  text: string;
  lines: string[];
  imports: Import[];
}

function* walk(folder: string): Generator<string> {
  for (const name of readdirSync(folder).sort()) {
    if (/^(node_modules|dist|results|data|\.\w+)$/.test(name)) continue;
    const path = join(folder, name);
    if (statSync(path).isDirectory()) yield* walk(path);
    else yield path;
  }
}

const IMPORT = /^\s*(?:import|export)\s+(type\s+)?((?:[\w*\s{},$]|\btype\b)*?)\s*(?:from\s+)?"([^"]+)";?/gm;
const DYNAMIC = /\bimport\("([^"]+)"\)/g;

function importsOf(text: string): Import[] {
  const found: Import[] = [];
  for (const [, type, names, target] of text.matchAll(IMPORT)) {
    const inner = /\{([^}]*)\}/.exec(names ?? "")?.[1];
    const named = inner?.split(",").filter((name) => name.trim() !== "") ?? [];
    const onlyTypes = named.length > 0 && named.every((name) => /^\s*type\s/.test(name)) && /^\s*\{/.test(names ?? "");
    found.push({ target: target as string, typeOnly: type !== undefined || onlyTypes });
  }
  for (const [, target] of text.matchAll(DYNAMIC)) found.push({ target: target as string, typeOnly: false });
  return found;
}

function load(folder: string): Source[] {
  return [...walk(join(ROOT, folder))]
    .filter((path) => /\.(ts|tsx)$/.test(path))
    .map((path) => {
      const text = readFileSync(path, "utf8");
      return { path: relative(ROOT, path), text, lines: text.split("\n"), imports: importsOf(text) };
    });
}

const engine = load("engine/src");
const isTest = (path: string) => /\.(test|child)\.tsx?$|\/fixtures\/|\/test\//.test(path);
const product = engine.filter((source) => !isTest(source.path));
const everything = [...load("engine"), ...load("systems"), ...load("examples"), ...load("bench")];

/** `core`, `ledger/sqlite`, `runtime` …; `outermost` for files at the top. */
function areaOf(path: string): string {
  const [area, inner, rest] = relative("engine/src", path).split("/");
  if (inner === undefined) return "outermost";
  return area === "ledger" && rest !== undefined ? `ledger/${inner}` : (area as string);
}

/** What each area may import: areas, with `type:` for types only, and packages. */
const TABLE: Record<string, readonly string[]> = {
  core: [],
  ports: ["type:core"],
  contract: ["type:core", "zod"],
  ledger: ["core", "type:ports"],
  "ledger/sqlite": ["core", "ports", "ledger", "node:", "better-sqlite3"],
  "ledger/postgres": ["core", "ports", "ledger", "node:", "pg"],
  executors: [
    "core",
    "type:ports",
    "node:",
    "ai",
    "@ai-sdk/anthropic",
    "@ai-sdk/openai-compatible",
    "@modelcontextprotocol/client",
  ],
  artifacts: ["core", "type:ports", "node:", "aws4fetch"],
  logs: ["core", "type:ports", "node:"],
  authoring: ["core", "type:ports", "zod", "yaml", "node:"],
  runtime: ["core", "ports"],
  http: ["contract", "core", "type:runtime", "type:ports", "node:", "hono", "@hono/node-server", "ws"],
  testing: ["core", "ports", "runtime", "node:", "better-sqlite3"],
  calendar: ["type:ports", "croner"],
  notify: ["core", "type:ports", "node:"],
  mcp: [
    "core",
    "type:ports",
    "type:runtime",
    "zod",
    "@modelcontextprotocol/server",
    "@modelcontextprotocol/server/stdio",
  ],
  cli: ["*"],
  outermost: ["*"],
};

function allowed(area: string, target: string, typeOnly: boolean): boolean {
  const list = TABLE[area];
  if (list === undefined) return false;
  return list.some(
    (entry) =>
      entry === "*" ||
      entry === target ||
      (entry.endsWith(":") && target.startsWith(entry)) ||
      (typeOnly && entry === `type:${target}`),
  );
}

function targetOf(source: Source, target: string): string {
  return target.startsWith(".") ? relative(ROOT, resolve(ROOT, dirname(source.path), target)) : target;
}

it("finds the imports", () => {
  const relative_ = product.flatMap(({ imports }) => imports.filter(({ target }) => target.startsWith(".")));
  expect(relative_.length).toBeGreaterThan(product.length * 2);
  expect(relative_.some(({ typeOnly }) => typeOnly)).toBe(true);
  expect(new Set(product.map(({ path }) => areaOf(path))).size).toBeGreaterThan(8);
});

it("areas import what the table of DESIGN.md allows", () => {
  const wrong: string[] = [];
  for (const source of product) {
    const area = areaOf(source.path);
    for (const { target, typeOnly } of source.imports) {
      const path = targetOf(source, target);
      const to = target.startsWith(".") ? areaOf(path) : target;
      if (to === area) continue;
      if (!allowed(area, to, typeOnly)) wrong.push(`${source.path} imports ${path}${typeOnly ? " (types)" : ""}`);
    }
  }
  expect(wrong).toEqual([]);
});

it("systems and examples import what tenuto exports, never an inner file or another system", () => {
  const wrong: string[] = [];
  for (const source of everything.filter(({ path }) => /^(systems|examples)\//.test(path))) {
    const [kind, name] = source.path.split("/");
    const home = kind === "systems" ? `systems/${name}/` : "examples/";
    for (const { target } of source.imports) {
      const path = targetOf(source, target);
      if (target.startsWith(".") && !path.startsWith(home)) wrong.push(`${source.path} imports ${path}`);
      if (/^tenuto\/(src|dist)/.test(target)) wrong.push(`${source.path} imports ${target}`);
    }
  }
  expect(wrong).toEqual([]);
});

it("no cycles", () => {
  const graph = new Map(
    product.map((source) => [
      source.path,
      source.imports
        .filter(({ target, typeOnly }) => target.startsWith(".") && !typeOnly)
        .map(({ target }) => targetOf(source, target)),
    ]),
  );
  const cycles: string[] = [];
  const done = new Set<string>();
  const visit = (path: string, trail: string[]): void => {
    const at = trail.indexOf(path);
    if (at >= 0) cycles.push([...trail.slice(at), path].join(" → "));
    if (at >= 0 || done.has(path)) return;
    for (const next of graph.get(path) ?? []) visit(next, [...trail, path]);
    done.add(path);
  };
  for (const path of graph.keys()) visit(path, []);
  expect(cycles).toEqual([]);
});

it("nothing is called utils, common, helpers or types", () => {
  const bad = everything.filter(({ path }) =>
    /(^|\/)(utils?|common|helpers?|misc)(\/|\.tsx?$)|\/types\.tsx?$/.test(path),
  );
  expect(bad.map(({ path }) => path)).toEqual([]);
});

/** To be cut; the figures may only go down. */
const LONG_FILES: Record<string, number> = {
  "engine/src/runtime/worker.ts": 404,
};

it(`no file is longer than ${MAX_LINES} lines`, () => {
  const long = everything.filter(({ path, lines }) => lines.length - 1 > (LONG_FILES[path] ?? MAX_LINES));
  expect(long.map(({ path, lines }) => `${path}: ${lines.length - 1}`)).toEqual([]);
});

/** Named functions and methods by their length, as the formatter indents them. */
function functionsOf(source: Source): { name: string; length: number }[] {
  const found: { name: string; length: number }[] = [];
  const head = /^(\s*)(?:[a-z]+ )*(?:function\*? )?(\*?#?[\w$]+)(?:<.*>)?\(.*[{(]$/;
  const keyword = /^(if|for|while|switch|return|catch|it|test|describe|expect|await|throw|super|new)$/;
  for (const [at, line] of source.lines.entries()) {
    const [, indent = "", name = ""] = head.exec(line) ?? [];
    if (name === "" || keyword.test(name) || /=>|=\s/.test(line.split("(")[0] ?? "")) continue;
    const own = (text: string) => text.startsWith(indent) && /^[^\s]/.test(text.slice(indent.length));
    let body = at;
    if (line.endsWith("(")) {
      body = source.lines.findIndex((other, index) => index > at && own(other));
      if (!/^\s*\).*\{$/.test(source.lines[body] ?? "")) continue;
    }
    const end = source.lines.findIndex((other, index) => index > body && own(other));
    if (end > at && source.lines[end] === `${indent}}`) found.push({ name, length: end - at + 1 });
  }
  return found;
}

it(`no function of the engine is longer than ${MAX_FUNCTION} lines, but for a list that gets shorter`, () => {
  const KNOWN: readonly string[] = ["engine/src/core/run.ts startRun"];
  const long = product.flatMap((source) =>
    functionsOf(source)
      .filter(({ length }) => length > MAX_FUNCTION)
      .map(({ name, length }) => ({ key: `${source.path} ${name}`, length })),
  );
  expect(long.filter(({ key }) => !KNOWN.includes(key)).map(({ key, length }) => `${key}: ${length}`)).toEqual([]);
  expect(
    KNOWN.filter((key) => !long.some((one) => one.key === key)),
    "no longer needed in KNOWN",
  ).toEqual([]);
});

/** Source without comments and text of strings. */
const codeOf = (text: string) =>
  text.replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "").replaceAll(/"(?:[^"\\\n]|\\.)*"/g, '""');

it("the core has no clock, no randomness, no timers, no process", () => {
  const BANNED =
    /\b(Date\.now|new Date\(\)|Math\.random|setTimeout|setInterval|setImmediate|queueMicrotask|performance\.|process\.|console\.|await |async )/;
  const wrong = product
    .filter(({ path }) => areaOf(path) === "core")
    .flatMap(({ path, text }) =>
      codeOf(text)
        .split("\n")
        .filter((line) => BANNED.test(line))
        .map((line) => `${path}: ${line.trim()}`),
    );
  expect(wrong).toEqual([]);
});

it("time and randomness enter the runtime through its ports", () => {
  const BANNED = /\b(Date\.now|Math\.random|setTimeout|setInterval)\b/;
  const wrong = product
    .filter(({ path }) => areaOf(path) === "runtime" && BANNED.test(codeOf(readFileSync(join(ROOT, path), "utf8"))))
    .map(({ path }) => path);
  expect(wrong).toEqual([]);
});

/** Loops that look again after a short pause, and programs whose work is to take time. */
const SLEEPS: Record<string, number> = {
  "engine/src/executors/fixtures/attempts.ts": 1,
  "engine/src/ledger/sqlite/shared.test.ts": 2,
  "engine/test/crash/apps/clock.app.ts": 1,
  "engine/test/crash/apps/slow-start.app.ts": 1,
  "engine/test/crash/apps/stall.app.ts": 1,
  "engine/test/crash/process.ts": 1,
};

it("tests wait for what they wait for: sleeps are counted and get fewer", () => {
  const SLEEP = /await (?:new Promise(?:<\w+>)?\(\(\w+\) => setTimeout|sleep\(|delay\(|setTimeoutPromise\()/g;
  const found = Object.fromEntries(
    everything
      .filter(({ path }) => isTest(path))
      .map(({ path, text }) => [path, [...text.matchAll(SLEEP)].length] as const)
      .filter(([, count]) => count > 0),
  );
  const more = Object.entries(found).filter(([path, count]) => count > (SLEEPS[path] ?? 0));
  expect(more).toEqual([]);
});

it("no paths of a machine, no leftovers", () => {
  const PATHS = /(["'`( ])(\/home\/\w+\/|\/Users\/\w+\/|\/root\/|\/work\/(main|shared)|[A-Z]:\\\\\w)/;
  const LEFTOVERS = /\b(TODO|FIXME|XXX|HACK)\b|\b(it|test|describe)\.only\(|\bdebugger;/;
  const self = relative(ROOT, fileURLToPath(import.meta.url));
  const wrong = everything
    .filter(({ path }) => path !== self)
    .flatMap(({ path, lines }) =>
      lines.flatMap((line, at) =>
        PATHS.test(line) || LEFTOVERS.test(line) ? [`${path}:${at + 1} ${line.trim().slice(0, 100)}`] : [],
      ),
    );
  expect(wrong).toEqual([]);
});
