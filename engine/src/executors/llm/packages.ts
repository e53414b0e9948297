/**
 * Optional packages, loaded when they are first needed: who has no LLM agents neither installs nor loads them.
 *
 * Invariant: a package that is not installed is an error that names it and says how to install it.
 */
import * as module from "node:module";
import { TenutoError } from "../../core/errors.ts";

let prepared = false;

/**
 * In development this process runs with the condition `source`, for the workspaces' own sources. Packages that publish
 * their sources under the same condition would be loaded as TypeScript, which Node refuses below node_modules.
 */
function prepare(): void {
  if (prepared) return;
  prepared = true;
  const conditions = [...process.execArgv, process.env["NODE_OPTIONS"] ?? ""].join(" ");
  if (!/(--conditions|-C)[= ]source\b/.test(conditions)) return;
  module.registerHooks?.({
    resolve: (specifier, context, next) =>
      context.parentURL?.includes("/node_modules/") === true
        ? next(specifier, { ...context, conditions: context.conditions.filter((name) => name !== "source") })
        : next(specifier, context),
  });
}

/** What `load` imports. @throws missing_prerequisites if the package is not there */
export async function optional<T>(name: string, load: () => Promise<T>): Promise<T> {
  prepare();
  try {
    return await load();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== "ERR_MODULE_NOT_FOUND" && code !== "MODULE_NOT_FOUND") throw error;
    throw new TenutoError("missing_prerequisites", `the package ${name} is not installed`, {
      hint: `Install it beside tenuto: npm install ${name}`,
      category: "critical",
      details: { package: name, reason: message.split("\n")[0] },
      cause: error,
    });
  }
}
