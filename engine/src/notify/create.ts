/**
 * From the entries of a configuration to notifiers that can send, checked completely.
 *
 * Invariant: what is wrong is said when the engine opens, never when there is something to tell.
 */
import { OCCASIONS, type Occasion } from "../core/delivery.ts";
import { TenutoError } from "../core/errors.ts";
import type { Json } from "../core/model.ts";
import { isName, NAME_RULE, suggest } from "../core/names.ts";
import type { Notifier, NotifierSpec } from "../ports/notifier.ts";
import { runProgram } from "./command.ts";
import { checkTemplate } from "./fill.ts";
import { postMessage, type WebhookParts, webhookFault } from "./webhook.ts";

const DEFAULT_ON: readonly Occasion[] = ["completed", "failed", "approval", "progress"];
const DEFAULT_EVERY_SECONDS = 900;
const LEAST_EVERY_SECONDS = 1;
const DEFAULT_TIMEOUT_SECONDS = 30;
const MAX_TIMEOUT_SECONDS = 60;
const KEYS = ["name", "on", "pipelines", "everySeconds", "timeoutSeconds", "command", "webhook", "log"];
const WEBHOOK_KEYS = ["url", "method", "headers", "body", "secret", "allowPrivate"];

export interface NotifyParts extends WebhookParts {
  env: Readonly<Record<string, string | undefined>>;
  /** Where programs are started. Default: the working directory. */
  cwd?: string;
  /** Where notifiers of kind `log` write. */
  say(text: string): void;
}

/** @throws invalid_config */
export function createNotifiers(specs: unknown, parts: NotifyParts): Notifier[] {
  if (specs === undefined) return [];
  if (!Array.isArray(specs)) throw wrong("notifiers must be a list", "Write notifiers: [{ name, … }].");
  const names = new Set<string>();
  return specs.map((spec: NotifierSpec, index) => {
    if (typeof spec !== "object" || spec === null || typeof spec.name !== "string" || !isName(spec.name))
      throw wrong(`notifiers[${index}] needs a name`, `Use ${NAME_RULE}.`);
    if (names.has(spec.name)) throw wrong(`there are two notifiers named ${spec.name}`, "Rename one of them.");
    names.add(spec.name);
    return createNotifier(spec, parts);
  });
}

function createNotifier(spec: NotifierSpec, parts: NotifyParts): Notifier {
  const where = `notifier ${spec.name}`;
  checkKeys(spec, KEYS, where);
  const { on = DEFAULT_ON, everySeconds = DEFAULT_EVERY_SECONDS, timeoutSeconds = DEFAULT_TIMEOUT_SECONDS } = spec;
  if (!Array.isArray(on) || on.length === 0 || !on.every((one) => OCCASIONS.includes(one)))
    throw wrong(`${where}: on must be a list of ${OCCASIONS.join(", ")}`, "Leave it out for the usual ones.");
  if (!(everySeconds >= LEAST_EVERY_SECONDS) || !Number.isFinite(everySeconds))
    throw wrong(`${where}: everySeconds must be at least ${LEAST_EVERY_SECONDS}`, "900 is a quarter of an hour.");
  if (!(timeoutSeconds > 0 && timeoutSeconds <= MAX_TIMEOUT_SECONDS))
    throw wrong(`${where}: timeoutSeconds must be above 0 and at most ${MAX_TIMEOUT_SECONDS}`, "Default is 30.");
  if (
    spec.pipelines !== undefined &&
    !(Array.isArray(spec.pipelines) && spec.pipelines.every((one) => typeof one === "string"))
  )
    throw wrong(`${where}: pipelines must be a list of names`, "Leave it out for all.");
  return {
    name: spec.name,
    on: new Set(on),
    pipelines: spec.pipelines === undefined ? null : new Set(spec.pipelines),
    everyMs: everySeconds * 1_000,
    timeoutMs: timeoutSeconds * 1_000,
    send: senderOf(spec, parts, where),
  };
}

function senderOf(spec: NotifierSpec, parts: NotifyParts, where: string): Notifier["send"] {
  const { command, webhook, log } = spec;
  const kinds = [command, webhook, log].filter((kind) => kind !== undefined && kind !== null);
  if (kinds.length !== 1)
    throw wrong(`${where} needs exactly one of command, webhook and log`, "Write one entry for each.");
  if (command !== undefined) {
    if (
      !Array.isArray(command) ||
      command.length === 0 ||
      !command.every((part) => typeof part === "string" && part !== "")
    )
      throw wrong(`${where}: command must be a list: the program and its arguments`, "No shell is involved.");
    return (message, signal) => runProgram(command, message, signal, parts);
  }
  if (webhook === undefined) return async (message) => parts.say(message.text);
  checkKeys(webhook, WEBHOOK_KEYS, `${where}: webhook`);
  const fault = webhookFault(webhook);
  if (fault !== null) throw wrong(`${where}: webhook.${fault}`, "For example https://chat.example/hooks/team.");
  if (webhook.body !== undefined) checkTemplate(webhook.body, `${where}: webhook.body`);
  checkTemplate((webhook.headers ?? {}) as Json, `${where}: webhook.headers`);
  return (message, signal) => postMessage(webhook, message, signal, parts);
}

function checkKeys(value: object, known: readonly string[], where: string): void {
  for (const key of Object.keys(value))
    if (!known.includes(key)) throw wrong(`${where} has an unknown key "${key}"`, suggest(key, known, "key"));
}

function wrong(message: string, hint: string): TenutoError {
  return new TenutoError("invalid_config", message, { hint });
}
