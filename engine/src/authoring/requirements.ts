/**
 * Prerequisites of a pipeline, looked for before a run starts; all missing ones at once.
 *
 * Owner: authoring. Invariants:
 * 1. Nothing is started or written; a file or program that can't be read or executed counts as missing and says so.
 * 2. Relative files begin at `cwd`, the folder of the pipeline's file.
 * 3. An environment variable that is empty counts as missing; its value is never shown.
 */
import { accessSync, constants, statSync } from "node:fs";
import { delimiter, isAbsolute, join, resolve } from "node:path";
import type { PipelineDocument, Requirement } from "../core/document.ts";
import { TenutoError } from "../core/errors.ts";
import type { Json } from "../core/model.ts";
import { suggest } from "../core/names.ts";
import { expandText } from "../core/placeholders.ts";

export interface Missing {
  requirement: Requirement;
  message: string;
  hint: string;
}

export interface RequirementContext {
  /** Where relative files begin. */
  cwd: string;
  /** Names of the agents that are registered. */
  agents: ReadonlySet<string>;
  params: { [key: string]: Json };
}

type Environment = Readonly<Record<string, string | undefined>>;

/** What is missing of `requires`, in its order; empty if the run can start. */
export function checkRequirements(
  document: PipelineDocument,
  env: Environment,
  context: RequirementContext,
): Missing[] {
  const missing: Missing[] = [];
  for (const requirement of document.requires ?? []) {
    const found = missingOf(requirement, env, context);
    if (found === null) continue;
    missing.push({ requirement, message: found.message, hint: requirement.hint ?? found.hint });
  }
  return missing;
}

/** @throws missing_prerequisites listing all that is missing; returns if nothing is */
export function assertRequirements(document: PipelineDocument, env: Environment, context: RequirementContext): void {
  const missing = checkRequirements(document, env, context);
  if (missing.length === 0) return;
  const lines = missing.map(({ message, hint }) => `  ${message}. ${hint}`);
  const count = missing.length === 1 ? "1 prerequisite is" : `${missing.length} prerequisites are`;
  throw new TenutoError("missing_prerequisites", `${count} missing for "${document.name}":\n${lines.join("\n")}`, {
    hint: "Nothing was started.",
    details: { pipeline: document.name, missing },
  });
}

function missingOf(
  requirement: Requirement,
  env: Environment,
  context: RequirementContext,
): { message: string; hint: string } | null {
  if ("env" in requirement) {
    const value = env[requirement.env];
    if (value !== undefined && value !== "") return null;
    return {
      message: `environment variable ${requirement.env} is ${value === "" ? "empty" : "not set"}`,
      hint: `Set it: export ${requirement.env}=…`,
    };
  }
  if ("command" in requirement) {
    if (onPath(requirement.command, env, context.cwd)) return null;
    return {
      message: `command ${requirement.command} is not on the PATH`,
      hint: "Install it, or add its folder to PATH.",
    };
  }
  if ("agent" in requirement) {
    if (context.agents.has(requirement.agent)) return null;
    return {
      message: `agent ${requirement.agent} is not registered`,
      hint: suggest(requirement.agent, [...context.agents], "agent"),
    };
  }
  return missingFile(requirement.file, context);
}

function missingFile(template: string, context: RequirementContext): { message: string; hint: string } | null {
  let file: string;
  try {
    file = expandText(template, { params: context.params }, "requires");
  } catch (error) {
    if (!(error instanceof TenutoError)) throw error;
    return { message: `file ${template}: ${error.message}`, hint: error.hint ?? "Check the params." };
  }
  const path = resolve(context.cwd, file);
  try {
    accessSync(path, constants.R_OK);
    return null;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "EACCES" || code === "EPERM")
      return { message: `file ${path} can't be read`, hint: "Give this user the right to read it." };
    return {
      message: `file ${path} is not there`,
      hint: "Create it, or correct the path; relative paths begin beside the pipeline's file.",
    };
  }
}

function onPath(command: string, env: Environment, cwd: string): boolean {
  if (command.includes("/") || isAbsolute(command)) return isProgram(resolve(cwd, command));
  const extensions = process.platform === "win32" ? ["", ...(env.PATHEXT ?? ".EXE;.CMD;.BAT").split(";")] : [""];
  const folders = (env.PATH ?? env.Path ?? "").split(delimiter).filter((folder) => folder !== "");
  return folders.some((folder) => extensions.some((extension) => isProgram(join(folder, command + extension))));
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
