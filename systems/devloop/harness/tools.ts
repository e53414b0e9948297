/**
 * The tools of the strict action format, carried out one after the other inside a sandbox.
 *
 * Invariants:
 * 1. An action never throws: its result is success, error, security_error or validation_error.
 * 2. After a failed action the others of the same answer are still tried; only those that refer to it fail with it.
 * 3. `finish` and `spawn_job` end the answer: what follows is not carried out.
 */
import { readdir } from "node:fs/promises";
import { join, relative } from "node:path";
import type { Json } from "tenuto";
import type { Action, Response } from "../domain/actions.ts";
import type { Earlier } from "../domain/chaining.ts";
import { ChainError, chained } from "../domain/chaining.ts";
import type { ActionResult } from "../domain/context.ts";
import type { SpawnRequest } from "../domain/ends.ts";
import type { Sandbox } from "./sandbox.ts";
import { placeOf, readInside, SecurityError, writeInside } from "./sandbox.ts";

const FIND_DEPTH = 3;
const FIND_CAP = 5;
const LIST_CAP = 500;
const LEFT_OUT = new Set([".git", "node_modules"]);

export interface Carried {
  results: ActionResult[];
  finish: { summary: string; output: unknown } | null;
  spawns: SpawnRequest[];
}

/** Carries out one answer. `mayAskFor`: kinds of agents for which a job may be asked. */
export async function carryOut(
  sandbox: Sandbox,
  response: Response,
  mayAskFor: readonly string[] = [],
): Promise<Carried> {
  const results: ActionResult[] = [];
  const earlier: Earlier[] = [];
  const spawns: SpawnRequest[] = [];
  let finish: Carried["finish"] = null;
  for (const written of response.actions) {
    const result = await attempt(sandbox, written, earlier, mayAskFor);
    results.push(result.shown);
    earlier.push({ ok: result.shown.status === "success", value: result.shown.value ?? null });
    if (result.shown.status !== "success") continue;
    if (result.action.tool === "spawn_job") spawns.push(result.action.args);
    if (result.action.tool !== "finish") continue;
    finish = { summary: result.action.args.summary, output: result.action.args.output };
    break;
  }
  return { results, finish, spawns };
}

async function attempt(
  sandbox: Sandbox,
  written: Action,
  earlier: readonly Earlier[],
  mayAskFor: readonly string[],
): Promise<{ action: Action; shown: ActionResult }> {
  const { tool } = written;
  try {
    const action = { ...written, args: chained(written.args, earlier) } as Action;
    if (action.tool === "spawn_job" && !mayAskFor.includes(action.args.agent_type))
      throw new SecurityError(`a job of ${action.args.agent_type} may not be asked for here`);
    return { action, shown: { tool, status: "success", value: await run(sandbox, action) } };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const status =
      error instanceof SecurityError ? "security_error" : error instanceof ChainError ? "validation_error" : "error";
    return { action: written, shown: { tool, status, error: withoutPlace(message, sandbox) } };
  }
}

/** Messages of the system name full paths, which are nobody's business in the conversation. */
function withoutPlace(message: string, sandbox: Sandbox): string {
  return message.replaceAll(`${sandbox.root}/`, "").replaceAll(sandbox.root, ".");
}

async function run(sandbox: Sandbox, action: Action): Promise<Json> {
  switch (action.tool) {
    case "read_file":
      return await readInside(sandbox, action.args.path);
    case "write_file":
    case "create_file":
      await writeInside(sandbox, action.args.path, action.args.content, action.tool === "create_file");
      return `${action.args.path}: ${Buffer.byteLength(action.args.content)} bytes written`;
    case "list_directory":
      return await list(sandbox, action.args.path);
    case "find_files":
      return await find(sandbox, action.args.path, action.args.pattern);
    case "transform_text":
      return transformed(action.args.text, action.args.operation);
    case "spawn_job":
      return `job of ${action.args.agent_type} asked for`;
    case "finish":
      return "finished";
  }
}

/** Names in a folder; folders end with a slash. */
export async function list(sandbox: Sandbox, path: string): Promise<string[]> {
  const entries = await readdir(await placeOf(sandbox, path), { withFileTypes: true });
  return entries
    .filter((entry) => entry.name !== ".git")
    .map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name))
    .sort()
    .slice(0, LIST_CAP);
}

async function find(sandbox: Sandbox, path: string, pattern: string): Promise<string[]> {
  const start = await placeOf(sandbox, path);
  const matches = nameMatcher(pattern);
  const found: string[] = [];
  const walk = async (folder: string, depth: number): Promise<void> => {
    const entries = await readdir(folder, { withFileTypes: true });
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      if (found.length >= FIND_CAP) return;
      const place = join(folder, entry.name);
      if (entry.isFile() && (matches(entry.name) || matches(relative(start, place))))
        found.push(relative(sandbox.root, place));
      // Links to folders are not followed: entry.isDirectory() is false for them.
      if (entry.isDirectory() && depth < FIND_DEPTH && !LEFT_OUT.has(entry.name)) await walk(place, depth + 1);
    }
  };
  await walk(start, 1);
  return found;
}

/** `*` and `?`, matched without a regular expression that a pattern could make slow. */
function nameMatcher(pattern: string): (name: string) => boolean {
  return (name) => {
    let [p, n, star, mark] = [0, 0, -1, 0];
    while (n < name.length) {
      if (p < pattern.length && (pattern[p] === "?" || pattern[p] === name[n]) && pattern[p] !== "*") {
        p += 1;
        n += 1;
      } else if (pattern[p] === "*") {
        star = p;
        mark = n;
        p += 1;
      } else if (star >= 0) {
        p = star + 1;
        mark += 1;
        n = mark;
      } else return false;
    }
    while (pattern[p] === "*") p += 1;
    return p === pattern.length;
  };
}

function transformed(text: string, operation: "uppercase" | "lowercase" | "title" | "strip"): string {
  switch (operation) {
    case "uppercase":
      return text.toUpperCase();
    case "lowercase":
      return text.toLowerCase();
    case "title":
      return text.toLowerCase().replaceAll(/(?<![\p{L}\p{N}'])\p{L}/gu, (letter) => letter.toUpperCase());
    case "strip":
      return text.trim();
  }
}
