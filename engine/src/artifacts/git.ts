/**
 * The program git, run so that a repository that somebody else has written to can make it do nothing but read and compare.
 *
 * Owner: artifacts. Invariants:
 * 1. Configuration of user and system is not read. Of the repository's own, what starts programs is switched off: hooks,
 *    file-system monitors, external diffs, every filter that it names, and fetching of any kind.
 * 2. Objects are written into a folder of ours; the repository's own are only read.
 */
import { spawn } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { resolve } from "node:path";
import { TenutoError } from "../core/errors.ts";

const TIMEOUT_MS = 120_000;
const MAX_OUTPUT = 256 * 1024 * 1024;

export class Git {
  readonly folder: string;
  private readonly env: Record<string, string>;

  private constructor(folder: string, env: Record<string, string>) {
    this.folder = folder;
    this.env = env;
  }

  /** Git in a folder. With `objects`, new objects go there. */
  static async in(folder: string, objects: string | null, ignoreFile: string): Promise<Git> {
    const base = {
      PATH: process.env["PATH"] ?? "/usr/bin:/bin",
      HOME: "/nonexistent",
      XDG_CONFIG_HOME: "/nonexistent",
      LC_ALL: "C",
      GIT_CONFIG_NOSYSTEM: "1",
      GIT_CONFIG_GLOBAL: "/dev/null",
      GIT_ATTR_NOSYSTEM: "1",
      GIT_TERMINAL_PROMPT: "0",
      GIT_OPTIONAL_LOCKS: "0",
      // A repository may say that what it lacks is to be fetched, and by which program.
      GIT_NO_LAZY_FETCH: "1",
      GIT_ALLOW_PROTOCOL: "none",
      GIT_SSH_COMMAND: "false",
    };
    const settings: [string, string][] = [
      ["safe.directory", "*"],
      ["core.fsmonitor", "false"],
      ["core.hooksPath", "/dev/null"],
      ["core.attributesFile", "/dev/null"],
      ["core.excludesFile", ignoreFile],
      ["core.autocrlf", "false"],
      ["core.safecrlf", "false"],
      ["core.quotePath", "false"],
      ["core.pager", "cat"],
      ["advice.addEmbeddedRepo", "false"],
      ["gc.auto", "0"],
    ];
    const first = new Git(folder, { ...base, ...asEnvironment(settings) });
    // Exit code 1: there are none.
    const names = await first.text(["config", "--name-only", "-z", "--get-regexp", "^filter\\."], [0, 1]);
    const filters = new Set<string>();
    for (const name of names.split("\0")) {
      const at = name.lastIndexOf(".");
      if (name.startsWith("filter.") && at > 7) filters.add(name.slice(7, at));
    }
    for (const filter of filters)
      for (const part of ["clean", "smudge", "process"]) settings.push([`filter.${filter}.${part}`, ""]);
    for (const filter of filters) settings.push([`filter.${filter}.required`, "false"]);
    const env: Record<string, string> = { ...base, ...asEnvironment(settings) };
    if (objects !== null) {
      const theirs = resolve(folder, (await first.text(["rev-parse", "--git-path", "objects"])).trimEnd());
      await mkdir(objects, { recursive: true });
      env["GIT_OBJECT_DIRECTORY"] = objects;
      env["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = theirs;
    }
    return new Git(folder, env);
  }

  /** The same with an index of its own. */
  withIndex(file: string): Git {
    return new Git(this.folder, { ...this.env, GIT_INDEX_FILE: file });
  }

  /** What it wrote, as text. @throws command_failed, invalid_config where git is not there */
  async text(args: readonly string[], accept: readonly number[] = [0]): Promise<string> {
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of this.stream(args, accept)) {
      bytes += chunk.length;
      if (bytes > MAX_OUTPUT) throw new TenutoError("payload_too_large", `git ${args[0]} wrote more than 256 MiB`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString("utf8");
  }

  /** What it writes, as it comes; throws at the end if it failed. */
  async *stream(args: readonly string[], accept: readonly number[] = [0]): AsyncGenerator<Uint8Array> {
    const child = spawn("git", ["-C", this.folder, ...args], {
      env: this.env,
      stdio: ["ignore", "pipe", "pipe"],
      timeout: TIMEOUT_MS,
      killSignal: "SIGKILL",
    });
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => {
      if (said.length < 4_000) said += chunk.toString("utf8");
    });
    const ended = new Promise<number | string>((settle) => {
      child.once("error", (error: NodeJS.ErrnoException) => settle(error.code ?? error.message));
      child.once("close", (code, signal) => settle(code ?? signal ?? "unknown"));
    });
    try {
      for await (const chunk of child.stdout) yield chunk as Uint8Array;
    } finally {
      if (child.exitCode === null) child.stdout.destroy();
    }
    const end = await ended;
    if (typeof end === "number" && accept.includes(end)) return;
    throw gitFailure(this.folder, args, end, said.trim());
  }
}

function asEnvironment(settings: readonly [string, string][]): Record<string, string> {
  const env: Record<string, string> = { GIT_CONFIG_COUNT: String(settings.length) };
  for (const [at, [key, value]] of settings.entries()) {
    env[`GIT_CONFIG_KEY_${at}`] = key;
    env[`GIT_CONFIG_VALUE_${at}`] = value;
  }
  return env;
}

function gitFailure(folder: string, args: readonly string[], end: number | string, said: string): TenutoError {
  if (end === "ENOENT")
    return new TenutoError("invalid_config", "the artifact strategy git_diff needs git, which is not there", {
      hint: "Install git, or use the strategy files.",
    });
  return new TenutoError("command_failed", `git ${args[0]} failed in ${folder}: ${said === "" ? end : said}`, {
    hint: "Look at the folder with git status.",
    details: { folder, args: [...args], end },
  });
}
