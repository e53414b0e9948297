/**
 * Artifacts: their types, how a job's spec says what becomes one, and which jobs' artifacts a job is offered.
 *
 * Owner: core. Invariants:
 * 1. What becomes an artifact is chosen by the job's spec (or by code that calls `ctx.artifact`), never by a model's words.
 * 2. A job is offered the artifacts of all jobs that it depends on, directly or not, and of the jobs that those spawned; of
 *    the jobs that it spawned itself; a spawned job those of the jobs above it and of what they depend on, not those of its
 *    siblings. Order in time alone makes no offer.
 * 3. Names become paths in a workspace only through `inputPath`, which can't lead outside.
 */
import type { Plan } from "./plan.ts";
import { list, object, type Shape, text, whole, word } from "./shape.ts";

export const ARTIFACT_TYPES = [
  "file",
  "model_output",
  "error_context",
  "test_results",
  "verification_report",
  "dataset",
] as const;
export type ArtifactType = (typeof ARTIFACT_TYPES)[number];

export function isArtifactType(value: unknown): value is ArtifactType {
  return (ARTIFACT_TYPES as readonly unknown[]).includes(value);
}

/**
 * `stdout_final`: what the job said at last, as `final_output.txt`. `files`: what is new, changed or gone in its workspace.
 * `git_diff`: the same for a git worktree, with a patch.
 */
export type ArtifactStrategy = "stdout_final" | "files" | "git_diff";

export interface ArtifactPart {
  strategy: ArtifactStrategy;
  /** Default: `model_output` for `stdout_final`, otherwise `file`. */
  type?: ArtifactType;
  /** For `files` and `git_diff`: the folder; a placeholder is allowed. Default: the job's workspace. `git_diff` needs the top of a worktree. */
  folder?: string;
  /** Patterns that are left out, beside `.git`, `node_modules` and the like: `*.log`, `build/`, `data/**`. */
  ignore?: string[];
  /** Files above this count are listed in `changes.json`, not stored. Default 1,000. */
  maxFiles?: number;
  /** The same for a file of more bytes; of `stdout_final`, that many last bytes are kept. Default 256 MiB, and 16 MiB. */
  maxBytes?: number;
}

/** What a job leaves behind beside its output. Registered once, in the commit with which its work ends. */
export type ArtifactsSpec = (ArtifactPart | { strategy: "composite"; parts: ArtifactPart[] }) & {
  /** `none`: jobs that depend on this one find its artifacts only when they ask. Default `workspace`. */
  offer?: "workspace" | "none";
};

const PART_KEYS: { readonly [key: string]: Shape } = {
  type: word(...ARTIFACT_TYPES),
  folder: text(),
  ignore: list(text()),
  maxFiles: whole(0, 100_000),
  maxBytes: whole(0, 64 * 1024 ** 3),
};

export const ARTIFACTS: Shape = object(
  {
    ...PART_KEYS,
    strategy: word("stdout_final", "files", "git_diff", "composite"),
    parts: list(object({ ...PART_KEYS, strategy: word("stdout_final", "files", "git_diff") }, ["strategy"]), 1),
    offer: word("workspace", "none"),
  },
  ["strategy"],
);

/** The single strategies of a spec. */
export function artifactParts(spec: ArtifactsSpec): ArtifactPart[] {
  return spec.strategy === "composite" ? (spec.parts ?? []) : [spec];
}

/** More offered artifacts than this are not linked, all of them: a job that needs so many should read a dataset. */
export const MAX_OFFERED = 1_000;

/** What all jobs that wait for a whole stage depend on, by the stage's ordinal; thousands of them share one set. */
const behindStage = new WeakMap<Plan, Map<number, ReadonlySet<number>>>();

/** Ordinals of all declared jobs that a declared job depends on, through needs and through stages. */
export function upstreamOf(plan: Plan, ordinal: number): ReadonlySet<number> {
  const { barrier, stage } = plan.jobs[ordinal]!;
  if (barrier === 0 || (plan.specs[ordinal]!.needs?.length ?? 0) > 0) return closure(plan, [ordinal]);
  let known = behindStage.get(plan);
  if (known === undefined) {
    known = new Map();
    behindStage.set(plan, known);
  }
  let found = known.get(stage - 1);
  if (found === undefined) {
    found = closure(plan, [ordinal]);
    known.set(stage - 1, found);
  }
  return found;
}

function closure(plan: Plan, todo: number[]): ReadonlySet<number> {
  const result = new Set<number>();
  const stages = new Set<number>();
  const add = (job: number) => {
    if (result.has(job)) return;
    result.add(job);
    todo.push(job);
  };
  for (let at = todo.pop(); at !== undefined; at = todo.pop()) {
    const { barrier, stage } = plan.jobs[at]!;
    if (barrier === 1 && !stages.has(stage - 1)) {
      stages.add(stage - 1);
      const { firstJob, declared } = plan.stages[stage - 1]!;
      for (let job = firstJob; job < firstJob + declared; job++) add(job);
    }
    for (const need of plan.specs[at]!.needs ?? []) {
      const job = plan.ordinals.get(need.job);
      if (job !== undefined) add(job);
    }
  }
  return result;
}

const UNSAFE = /[^A-Za-z0-9._ @+=,()[\]{}~#%&-]/g;

/**
 * Where an artifact lies below `inputs/`: the job's id and the artifact's name, each part made safe. `taken` holds the paths
 * given out before, in lower case; a path that is taken, or that another one needs as a folder, gets a suffix of the hash.
 */
export function inputPath(job: string, name: string, sha256: string, taken: Map<string, "file" | "folder">): string {
  const parts = [...safeParts(job), ...safeParts(name)];
  for (let attempt = 0; ; attempt++) {
    const last = parts.length - 1;
    const tried = parts.map((part, at) =>
      at === last && attempt > 0
        ? part.replace(/(\.[^.]*)?$/, (ending) => `~${sha256.slice(0, 8)}${attempt > 1 ? `-${attempt}` : ""}${ending}`)
        : part,
    );
    const path = tried.join("/");
    const folders = tried.slice(0, -1).map((_, at) =>
      tried
        .slice(0, at + 1)
        .join("/")
        .toLowerCase(),
    );
    if (taken.has(path.toLowerCase()) || folders.some((folder) => taken.get(folder) === "file")) {
      // A folder that is a file already: only another first part can help.
      const blocked = folders.findIndex((folder) => taken.get(folder) === "file");
      if (blocked >= 0) parts[blocked] = `${parts[blocked]}~`;
      continue;
    }
    taken.set(path.toLowerCase(), "file");
    for (const folder of folders) taken.set(folder, "folder");
    return path;
  }
}

function safeParts(text: string): string[] {
  const parts = text
    .split("/")
    .map(safePart)
    .filter((part) => part !== "");
  return parts.length === 0 ? ["_"] : parts;
}

function safePart(part: string): string {
  const safe = part.replace(UNSAFE, "_").slice(0, 120);
  return /^\.{1,2}$/.test(safe) ? "_" : safe;
}

/** What a strategy found. */
export interface FoundArtifact {
  name: string;
  type: ArtifactType;
  mediaType: string;
  sha256: string;
  bytes: number;
}

const MEDIA: { readonly [ending: string]: string } = {
  json: "application/json",
  jsonl: "application/jsonl",
  md: "text/markdown",
  txt: "text/plain",
  log: "text/plain",
  csv: "text/csv",
  html: "text/html",
  xml: "application/xml",
  yaml: "application/yaml",
  yml: "application/yaml",
  patch: "text/x-diff",
  diff: "text/x-diff",
  js: "text/javascript",
  mjs: "text/javascript",
  ts: "text/x-typescript",
  py: "text/x-python",
  css: "text/css",
  svg: "image/svg+xml",
  png: "image/png",
  jpg: "image/jpeg",
  pdf: "application/pdf",
};

/** By the ending of the name; bytes where it tells nothing. */
export function mediaTypeOf(name: string): string {
  return MEDIA[/\.([a-z0-9]+)$/i.exec(name)?.[1]?.toLowerCase() ?? ""] ?? "application/octet-stream";
}

/** What a pattern is made of; `dirs` and `inside` are any number of whole parts with their slashes. */
type Token = { char: string } | "one" | "star" | "any" | "dirs" | "inside";

function tokensOf(body: string, anchored: boolean): Token[] {
  const tokens: Token[] = anchored ? [] : ["dirs", "inside"];
  for (let at = 0; at < body.length; at++) {
    const char = body[at]!;
    if (body.startsWith("**/", at)) {
      tokens.push("dirs", "inside");
      at += 2;
    } else if (body.startsWith("**", at)) {
      tokens.push("any");
      at += 1;
    } else tokens.push(char === "*" ? "star" : char === "?" ? "one" : { char });
  }
  return tokens;
}

/** The places that can be reached without a further character. */
function reach(tokens: readonly Token[], from: number, places: Set<number>): void {
  for (let at = from; !places.has(at); ) {
    places.add(at);
    const token = tokens[at];
    if (token === "star" || token === "any") at += 1;
    else if (token === "dirs") at += 2;
  }
}

/** All ways are followed at once, so that no pattern takes longer than its length times that of the path. */
function matches(tokens: readonly Token[], path: string): boolean {
  let places = new Set<number>();
  reach(tokens, 0, places);
  for (const char of path) {
    const next = new Set<number>();
    const slash = char === "/";
    for (const at of places) {
      const token = tokens[at];
      if (token === undefined) continue;
      if (token === "any" || (token === "star" && !slash)) reach(tokens, at, next);
      else if (token === "dirs" && !slash) reach(tokens, at + 1, next);
      else if (token === "inside") reach(tokens, slash ? at - 1 : at, next);
      else if (token === "one" ? !slash : typeof token === "object" && token.char === char) reach(tokens, at + 1, next);
    }
    places = next;
  }
  return places.has(tokens.length);
}

/**
 * A pattern as people write them in ignore files, as a test of a path with `/`. `*` and `?` stay within a part, `**` goes
 * across parts; without `/` inside it matches at any depth; with `/` at the end only folders; what is in a matching folder
 * matches too.
 */
export function ignoreRule(pattern: string): (path: string, isFolder: boolean) => boolean {
  const onlyFolders = pattern.endsWith("/");
  const body = pattern.replace(/^\/+/, "").replace(/\/+$/, "");
  const tokens = tokensOf(body, body.includes("/") || pattern.startsWith("/"));
  return (path, isFolder) => (isFolder || !onlyFolders) && matches(tokens, path);
}
