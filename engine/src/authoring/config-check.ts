/**
 * Checks a project's configuration before anything is made of it: a key that is misspelt must not be a setting that is not
 * there.
 *
 * Owner: authoring. Invariants: (1) all faults are told at once, each with its key; (2) entries of lists are checked by whoever
 * loads them, since only that tells what they are.
 */
import { TenutoError } from "../core/errors.ts";
import { didYouMean } from "../core/names.ts";

/** What is wrong with a value; null if nothing is. */
type Check = (value: unknown) => string | null;

const list: Check = (value) => (Array.isArray(value) ? null : "must be a list");

const text =
  (what: string): Check =>
  (value) =>
    typeof value === "string" && value.trim() !== "" ? null : `must be ${what} in quotes, not ${shown(value)}`;

const count: Check = (value) =>
  Number.isSafeInteger(value) && (value as number) >= 1
    ? null
    : `must be a whole number from 1 on, not ${shown(value)}`;

const days: Check = (value) =>
  typeof value === "number" && Number.isFinite(value) && value > 0
    ? null
    : `must be a number of days above 0, not ${shown(value)}`;

const KEYS: Record<string, Check> = {
  pipelines: list,
  agents: list,
  home: text("a folder"),
  database: text("a file or a postgres: URL"),
  artifacts: text("an s3: URL"),
  concurrency: count,
  retentionDays: days,
  notifiers: list,
};

/** @throws invalid_config with every fault of the configuration */
export function checkConfig(config: Record<string, unknown>, file: string): void {
  const problems: string[] = [];
  for (const [key, value] of Object.entries(config)) {
    const check = Object.hasOwn(KEYS, key) ? KEYS[key]! : null;
    const fault = check === null ? unknownKey(key) : value === undefined ? null : check(value);
    if (fault !== null) problems.push(`${key} ${fault}`);
  }
  if (problems.length === 0) return;
  const [only] = problems;
  const hint = problems.some((problem) => problem.includes(NO_SETTING))
    ? `There are: ${Object.keys(KEYS).join(", ")}.`
    : only!.endsWith("a list")
      ? `Write ${only!.split(" ")[0]}: [ … ].`
      : "Correct it in that file.";
  throw new TenutoError(
    "invalid_config",
    problems.length === 1 ? `${file}: ${only}` : `${file} has ${problems.length} faults: ${problems.join("; ")}`,
    { hint, details: { file, problems } },
  );
}

const NO_SETTING = "is no setting";

function unknownKey(key: string): string {
  const near = didYouMean(key, Object.keys(KEYS));
  return near === null ? NO_SETTING : `${NO_SETTING}: did you mean ${near}?`;
}

function shown(value: unknown): string {
  if (typeof value === "number") return String(value);
  if (typeof value === "function" || typeof value === "symbol" || typeof value === "bigint") return `a ${typeof value}`;
  const json = JSON.stringify(value);
  return json.length > 60 ? `${json.slice(0, 57)}…` : json;
}
