/**
 * Placeholders in what a webhook sends: `{{ run.id }}` and the like are looked up in the message, nothing is evaluated.
 *
 * Invariants: (1) only own properties are followed; (2) a path that is not in a message is an error when the configuration
 * is read, not when something is to be sent; (3) what was put in is never expanded again.
 */
import { TenutoError } from "../core/errors.ts";
import type { Json } from "../core/model.ts";
import type { Message } from "../ports/notifier.ts";

const PLACEHOLDER = /\{\{\s*([^{}]*?)\s*\}\}/g;
const PATH = /^[A-Za-z]\w*(\.[A-Za-z]\w*)*$/;

/** Every field that a message can have, to check templates against. */
const SAMPLE: Message = {
  id: "team/run-1/failed/1",
  notifier: "team",
  occasion: "failed",
  at: "2026-01-01T00:00:00.000Z",
  title: "title",
  text: "text",
  run: {
    id: "run-1",
    pipeline: "demo",
    state: "failed",
    startedAt: "2026-01-01T00:00:00.000Z",
    endedAt: "2026-01-01T00:00:00.000Z",
    seconds: 1,
    jobs: { total: 1, ended: 1, failed: 1 },
    stage: "main",
  },
  failure: { job: "a", code: "timeout", message: "message" },
  approval: { id: "run-1:a:b", title: "title", hash: "0", expiresAt: "2026-01-01T00:00:00.000Z" },
};

/** The template with its placeholders filled in. One that is a whole string keeps its type. */
export function fill(template: Json, message: Message): Json {
  if (typeof template === "string") return fillText(template, message);
  if (Array.isArray(template)) return template.map((part) => fill(part, message));
  if (typeof template !== "object" || template === null) return template;
  return Object.fromEntries(Object.entries(template).map(([key, part]) => [key, fill(part, message)]));
}

function fillText(template: string, message: Message): Json {
  const whole = /^\{\{\s*([^{}]*?)\s*\}\}$/.exec(template);
  if (whole !== null) return lookup(whole[1]!, message) ?? null;
  return template.replaceAll(PLACEHOLDER, (_, path: string) => {
    const value = lookup(path, message) ?? "";
    return typeof value === "string" ? value : JSON.stringify(value);
  });
}

/** Null where a part is null: a message about progress has no failure. */
function lookup(path: string, message: Message): Json | undefined {
  let value: Json | undefined = message as unknown as Json;
  for (const key of path.split(".")) {
    if (value === null) return null;
    if (typeof value !== "object" || Array.isArray(value) || !Object.hasOwn(value, key)) return undefined;
    value = value[key];
  }
  return value;
}

/** @throws invalid_config naming the placeholder */
export function checkTemplate(template: Json, where: string): void {
  if (typeof template === "string") {
    for (const [text, path] of template.matchAll(PLACEHOLDER))
      if (!PATH.test(path!) || lookup(path!, SAMPLE) === undefined)
        throw new TenutoError("invalid_config", `${where}: ${text} is not in a message`, {
          hint: "There are id, notifier, occasion, at, title, text, run.id, run.pipeline, run.state, run.seconds, run.stage, run.jobs.total, failure.message, approval.id and so on.",
        });
  } else if (typeof template === "object" && template !== null)
    for (const [key, part] of Object.entries(template)) checkTemplate(part as Json, `${where}.${key}`);
}
