/**
 * Files of the job's workspace, for a model: read, write, create, edit, list, find.
 *
 * Invariants: (1) nothing outside of the workspace, see paths.ts; (2) a file is replaced as a whole, by rename, after its
 * bytes are on disk; (3) creating and editing know from their plan whether a crash came after the change, so that doing it
 * again gives the same answer and the same file; (4) every figure is bounded.
 */
import { createHash, randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { open, readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { BuiltInTool } from "../../../core/llm.ts";
import type { Json } from "../../../core/model.ts";
import { type Args, checkFields, type Fields, offerOf, type Tool, ToolProblem } from "../tool.ts";
import { ensureFolder, followed, openFile, type Place, placeOf, problemOf } from "./paths.ts";

const MAX_READ = 60_000;
const MAX_FILE = 1_000_000;
const MAX_ENTRIES = 500;
const MAX_FOUND = 200;
const MAX_VISITED = 20_000;

const PATH = { type: "string", description: "path relative to the workspace", max: 4_096 } as const;

type Made = Partial<Record<BuiltInTool, Tool>>;
type Finder = (path: Json) => Promise<Place>;

export function fileTools(workspace: string): Made {
  const found: Finder = async (path) => await followed(workspace, await placeOf(workspace, String(path)), String(path));
  return { ...readingTools(workspace, found), ...writingTools(found) };
}

function tool(name: BuiltInTool, description: string, fields: Fields, rest: Pick<Tool, "work" | "plan">): Made {
  return {
    [name]: { offer: offerOf(name, description, fields), check: (input: Json) => checkFields(input, fields), ...rest },
  };
}

function readingTools(workspace: string, found: Finder): Made {
  return {
    ...tool(
      "read_file",
      `Reads a text file, at most ${MAX_READ} characters from a line on.`,
      {
        path: PATH,
        from_line: { type: "integer", description: "first line, from 1", optional: true, min: 1 },
        lines: { type: "integer", description: "how many lines", optional: true, min: 1 },
      },
      { work: async (args) => await readText(await found(args["path"]!), args) },
    ),
    ...tool(
      "list_directory",
      "Lists a folder.",
      { path: { ...PATH, optional: true } },
      { work: async (args) => await list(await found(args["path"] ?? "."), String(args["path"] ?? ".")) },
    ),
    ...tool(
      "find_files",
      "Finds files whose path matches a pattern with * and **.",
      { pattern: { type: "string", description: "for example src/**/*.ts", max: 500 } },
      { work: async (args) => await find(workspace, String(args["pattern"])) },
    ),
  };
}

function writingTools(found: Finder): Made {
  const content = { type: "string", description: "the whole file", max: MAX_FILE } as const;
  const write = async (args: Args, verb: string) => {
    const place = await found(args["path"]!);
    await replace(place, String(args["content"]), String(args["path"]));
    return `${verb} ${place.shown} (${Buffer.byteLength(String(args["content"]))} bytes)`;
  };
  return {
    ...tool(
      "write_file",
      "Writes a text file, in the place of what is there.",
      { path: PATH, content },
      { work: async (args) => await write(args, "wrote") },
    ),
    ...tool(
      "create_file",
      "Creates a text file; fails if there is one already.",
      { path: PATH, content },
      {
        plan: async (args) => await hashOf(await found(args["path"]!)),
        work: async (args, plan) => {
          if (plan === null) return await write(args, "created");
          throw new ToolProblem(`${args["path"]} exists already; use write_file or edit_file`);
        },
      },
    ),
    ...tool(
      "edit_file",
      "Replaces a text in a file by another one. The old text must occur exactly once, unless all is true.",
      {
        path: PATH,
        old: { type: "string", description: "text that is there, exactly", max: MAX_FILE },
        new: { type: "string", description: "text in its place", max: MAX_FILE },
        all: { type: "boolean", description: "replace every occurrence", optional: true },
      },
      {
        plan: async (args) => await planEdit(await found(args["path"]!), args),
        work: async (args, plan) => await applyEdit(await found(args["path"]!), args, plan as unknown as EditPlan),
      },
    ),
  };
}

async function readText(place: Place, args: Args): Promise<string> {
  const text = await textOf(place, String(args["path"]));
  const lines = text.split("\n");
  const from = Number(args["from_line"] ?? 1);
  const count = args["lines"] === undefined ? lines.length : Number(args["lines"]);
  const wanted = lines.slice(from - 1, from - 1 + count).join("\n");
  if (wanted.length <= MAX_READ) return wanted;
  return `${wanted.slice(0, MAX_READ)}\n[cut: the file has ${lines.length} lines; read on with from_line]`;
}

async function textOf(place: Place, path: string): Promise<string> {
  const handle = await openFile(place, path);
  try {
    const { size } = await handle.stat();
    if (size > MAX_FILE) throw new ToolProblem(`${path} has ${size} bytes; ${MAX_FILE} can be read`);
    const bytes = await handle.readFile();
    if (bytes.includes(0)) throw new ToolProblem(`${path} is not a text file`);
    return bytes.toString("utf8");
  } finally {
    await handle.close();
  }
}

/** SHA-256 of what is there; null if nothing is. */
async function hashOf(place: Place): Promise<string | null> {
  const handle = await openFile(place, place.shown).catch((error) => {
    if (error instanceof ToolProblem && error.message.startsWith("there is no")) return null;
    throw error;
  });
  if (handle === null) return null;
  try {
    return sha256(await handle.readFile());
  } finally {
    await handle.close();
  }
}

/** Writes beside the file, then renames: a crash leaves the old file or the new one. */
async function replace(place: Place, content: string, path: string): Promise<void> {
  if (place.shown === ".") throw new ToolProblem(`${path} is a folder`);
  await ensureFolder(place, path);
  const beside = join(dirname(place.real), `.tenuto-${randomUUID()}.part`);
  try {
    const handle = await open(
      beside,
      constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_NOFOLLOW,
      0o644,
    );
    try {
      await handle.writeFile(content);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(beside, place.real);
  } catch (error) {
    await rm(beside, { force: true });
    throw problemOf(error as NodeJS.ErrnoException, path);
  }
}

interface EditPlan {
  before: string;
  after: string;
  count: number;
}

async function planEdit(place: Place, args: Args): Promise<Json> {
  const { text, count } = edited(await textOf(place, String(args["path"])), args);
  return { before: (await hashOf(place)) ?? "", after: sha256(text), count };
}

async function applyEdit(place: Place, args: Args, plan: EditPlan): Promise<string> {
  const done = `edited ${place.shown} (${plan.count} place${plan.count === 1 ? "" : "s"})`;
  const path = String(args["path"]);
  const now = await textOf(place, path);
  if (sha256(now) === plan.after && plan.after !== plan.before) return done;
  await replace(place, edited(now, args).text, path);
  return done;
}

function edited(text: string, args: Args): { text: string; count: number } {
  const old = String(args["old"]);
  if (old === "") throw new ToolProblem('"old" is empty; use write_file');
  const count = text.split(old).length - 1;
  if (count === 0) throw new ToolProblem(`the old text does not occur in ${args["path"]}`);
  if (count > 1 && args["all"] !== true)
    throw new ToolProblem(`the old text occurs ${count} times in ${args["path"]}; give more of it, or all: true`);
  return { text: text.split(old).join(String(args["new"])), count };
}

async function list(place: Place, path: string): Promise<string> {
  const entries = await readdir(place.real, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    throw problemOf(error, path);
  });
  const lines = entries
    .map((entry) => `${entry.name}${entry.isDirectory() ? "/" : entry.isSymbolicLink() ? " (link)" : ""}`)
    .sort();
  if (lines.length === 0) return "(empty)";
  const more = lines.length > MAX_ENTRIES ? `\n[${lines.length - MAX_ENTRIES} more]` : "";
  return lines.slice(0, MAX_ENTRIES).join("\n") + more;
}

/** Links are listed, never followed. */
async function find(workspace: string, pattern: string): Promise<string> {
  const matches = matcher(pattern);
  const root = (await placeOf(workspace, ".")).real;
  const found: string[] = [];
  let visited = 0;
  const walk = async (folder: string, shown: string): Promise<void> => {
    const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      if (found.length > MAX_FOUND || ++visited > MAX_VISITED) return;
      const path = shown === "" ? entry.name : `${shown}/${entry.name}`;
      if (entry.name === ".git" || entry.name === ".tenuto" || entry.name === "node_modules") continue;
      if (entry.isDirectory()) await walk(join(folder, entry.name), path);
      else if (matches(path)) found.push(path);
    }
  };
  await walk(root, "");
  if (found.length === 0) return visited > MAX_VISITED ? "no match among the first 20,000 entries" : "no match";
  return found.slice(0, MAX_FOUND).join("\n") + (found.length > MAX_FOUND ? "\n[more; use a narrower pattern]" : "");
}

/** `*` within one part, `**` over any number of them. Matched part by part: no backtracking over the whole path. */
export function matcher(pattern: string): (path: string) => boolean {
  const parts = (pattern.includes("/") ? pattern : `**/${pattern}`)
    .split("/")
    .filter((part) => part !== "" && part !== ".");
  const tests = parts.map((part) => (part === "**" ? null : partTest(part)));
  return (path) => {
    const names = path.split("/");
    // reachable[i]: the first i tests have consumed the names so far.
    let reachable = closure(tests, new Set([0]));
    for (const name of names) {
      const next = new Set<number>();
      for (const at of reachable) {
        const test = tests[at];
        if (test === null) next.add(at);
        else if (test?.(name) === true) next.add(at + 1);
      }
      reachable = closure(tests, next);
    }
    return reachable.has(tests.length);
  };
}

function closure(tests: readonly unknown[], at: Set<number>): Set<number> {
  for (const index of at) if (tests[index] === null) at.add(index + 1);
  return at;
}

function partTest(part: string): (name: string) => boolean {
  const pieces = part.split("*");
  if (pieces.length === 1) return (name) => name === part;
  const [first = "", last = ""] = [pieces[0], pieces.at(-1)];
  return (name) => {
    if (!name.startsWith(first) || !name.endsWith(last) || name.length < first.length + last.length) return false;
    let from = first.length;
    for (const piece of pieces.slice(1, -1)) {
      const at = name.indexOf(piece, from);
      if (at < 0 || at + piece.length > name.length - last.length) return false;
      from = at + piece.length;
    }
    return true;
  };
}

function sha256(content: string | Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}
