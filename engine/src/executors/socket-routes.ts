/**
 * What a command may ask of its attempt over the socket: one route per operation of AttemptApi.
 *
 * Owner: executors. All are POST with a JSON object. Invariants:
 * 1. Every field is checked; a field that is not known is refused, so that a typing error is not silence.
 * 2. Operations without a result answer `{}`.
 *
 *   /log {level?, message, fields?}       /progress {done, total?, message?}
 *   /step {key, inputHash?}               → {found, output?}
 *   /step/save {key, inputHash?, output}  /sleep {key, ms}
 *   /artifact {name, path | text | base64, mediaType?, type?}  → {sha256, bytes}
 *   /limit {name, key?}                   /spend {name, amount}
 *   /spawn {key, agent | like, input?, stage?, reason?, allowFailure?}  → {result}
 */
import { resolve } from "node:path";
import { TenutoError } from "../core/errors.ts";
import type { Json } from "../core/model.ts";
import type { AttemptApi } from "../ports/executor.ts";
import type { LogLevel } from "../ports/log-sink.ts";

type Body = { [key: string]: Json };
export type Route = (api: AttemptApi, body: Body, cwd: string) => Promise<Json>;

/** Fields of one request; complains about what is wrong and, at the end, about what was not asked for. */
interface Fields {
  text(name: string): string;
  optionalText(name: string): string | undefined;
  number(name: string): number;
  optionalNumber(name: string): number | undefined;
  object(name: string): Record<string, Json> | undefined;
  /** Any JSON; undefined if absent. */
  any(name: string): Json | undefined;
  end(): void;
}

const LEVELS: readonly string[] = ["INFO", "WARNING", "ERROR"] satisfies LogLevel[];

export const ROUTES: ReadonlyMap<string, Route> = new Map<string, Route>([
  ["/log", log],
  ["/progress", progress],
  ["/step", step],
  ["/step/save", saveStep],
  ["/artifact", artifact],
  ["/limit", limit],
  ["/spend", spend],
  ["/spawn", spawn],
  ["/sleep", sleep],
]);

async function log(api: AttemptApi, body: Body): Promise<Json> {
  const fields = read(body);
  const level = fields.optionalText("level") ?? "INFO";
  if (!LEVELS.includes(level)) throw wrong("level", `one of ${LEVELS.join(", ")}`);
  const message = fields.text("message");
  const extra = fields.object("fields");
  fields.end();
  api.log(level as LogLevel, message, extra);
  return {};
}

async function progress(api: AttemptApi, body: Body): Promise<Json> {
  const fields = read(body);
  const done = fields.number("done");
  const total = fields.optionalNumber("total");
  const message = fields.optionalText("message");
  fields.end();
  api.progress(done, total, message);
  return {};
}

async function step(api: AttemptApi, body: Body): Promise<Json> {
  const fields = read(body);
  const key = fields.text("key");
  const inputHash = fields.optionalText("inputHash") ?? null;
  fields.end();
  return (await api.step(key, inputHash)) as Json;
}

async function saveStep(api: AttemptApi, body: Body): Promise<Json> {
  const fields = read(body);
  const key = fields.text("key");
  const inputHash = fields.optionalText("inputHash") ?? null;
  const output = fields.any("output");
  fields.end();
  if (output === undefined) throw wrong("output", "given; null is allowed");
  await api.saveStep(key, inputHash, output);
  return {};
}

async function artifact(api: AttemptApi, body: Body, cwd: string): Promise<Json> {
  const fields = read(body);
  const name = fields.text("name");
  const path = fields.optionalText("path");
  const text = fields.optionalText("text");
  const base64 = fields.optionalText("base64");
  const mediaType = fields.optionalText("mediaType");
  const type = fields.optionalText("type");
  fields.end();
  const given = [path, text, base64].filter((value) => value !== undefined).length;
  if (given !== 1) throw wrong("path", "given, or else text, or else base64: exactly one of them");
  if (path !== undefined) return { ...(await api.artifact(name, { path: resolve(cwd, path) }, mediaType, type)) };
  return { ...(await api.artifact(name, Buffer.from(text ?? decodeBase64(base64!)), mediaType, type)) };
}

function decodeBase64(text: string): Buffer {
  // Buffer.from skips what it does not know; content must not get lost that way.
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text) || text.length % 4 !== 0) throw wrong("base64", "padded base64");
  return Buffer.from(text, "base64");
}

async function limit(api: AttemptApi, body: Body): Promise<Json> {
  const fields = read(body);
  const name = fields.text("name");
  const key = fields.optionalText("key");
  fields.end();
  await api.limit(name, key);
  return {};
}

async function spend(api: AttemptApi, body: Body): Promise<Json> {
  const fields = read(body);
  const name = fields.text("name");
  const amount = fields.number("amount");
  fields.end();
  await api.spend(name, amount);
  return {};
}

async function spawn(api: AttemptApi, body: Body): Promise<Json> {
  const fields = read(body);
  const key = fields.text("key");
  const agent = fields.optionalText("agent");
  const like = fields.optionalText("like");
  const input = fields.any("input");
  const stage = fields.optionalText("stage");
  const reason = fields.optionalText("reason");
  const allowFailure = fields.any("allowFailure");
  fields.end();
  if ((agent === undefined) === (like === undefined)) throw wrong("agent", "given, or else like: one of them");
  if (allowFailure !== undefined && typeof allowFailure !== "boolean") throw wrong("allowFailure", "true or false");
  const given = { agent, like, input, stage, reason, allowFailure };
  const spec = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  return { result: await api.spawn(key, spec) };
}

async function sleep(api: AttemptApi, body: Body): Promise<Json> {
  const fields = read(body);
  const key = fields.text("key");
  const ms = fields.number("ms");
  fields.end();
  if (ms < 0) throw wrong("ms", "0 or more");
  await api.sleep(key, ms);
  return {};
}

function read(body: Body): Fields {
  const known = new Set<string>();
  const take = (name: string): Json | undefined => {
    known.add(name);
    return Object.hasOwn(body, name) ? body[name] : undefined;
  };
  const optional = <T>(name: string, type: string, what: string): T | undefined => {
    const value = take(name);
    if (value === undefined || value === null) return undefined;
    if (typeof value !== type || (type === "object" && Array.isArray(value))) throw wrong(name, what);
    return value as T;
  };
  const required = <T>(name: string, value: T | undefined, what: string): T => {
    if (value === undefined) throw wrong(name, what);
    return value;
  };
  const optionalText = (name: string): string | undefined => optional(name, "string", "a string");
  const optionalNumber = (name: string): number | undefined => optional(name, "number", "a number");
  return {
    text(name) {
      const value = required(name, optionalText(name), "a string");
      if (value === "" && name !== "message") throw wrong(name, "a string that is not empty");
      return value;
    },
    optionalText,
    number: (name) => required(name, optionalNumber(name), "a number"),
    optionalNumber,
    object: (name) => optional(name, "object", "an object"),
    any: take,
    end() {
      for (const name of Object.keys(body)) if (!known.has(name)) throw wrong(name, "left out: there is no such field");
    },
  };
}

function wrong(name: string, what: string): TenutoError {
  return new TenutoError("invalid_input", `${name} must be ${what}`, { details: { field: name } });
}
