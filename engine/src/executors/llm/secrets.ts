/**
 * Secrets that must not be seen: keys of models, values of variables handed to MCP servers. They are replaced in
 * everything that is recorded, shown to a model, logged or stored.
 */
import type { LlmSpec } from "../../core/llm.ts";

export type Environment = Readonly<Record<string, string | undefined>>;
export type Mask = <T>(value: T) => T;

/** Shorter values would be found in ordinary text. */
const MIN_LENGTH = 8;

/** A function that replaces the secrets of this agent in texts, and in all texts of a JSON value. */
export function maskFor(spec: LlmSpec, environment: Environment): Mask {
  const names = new Set<string>(spec.model.keyEnv === null ? [] : [spec.model.keyEnv]);
  for (const server of Object.values(spec.mcp)) {
    for (const name of server.passEnv ?? []) names.add(name);
    for (const name of Object.values(server.headersEnv ?? {})) names.add(name);
  }
  const secrets = [...names]
    .map((name) => ({ name, value: environment[name] ?? "" }))
    .filter(({ value }) => value.length >= MIN_LENGTH)
    .sort((a, b) => b.value.length - a.value.length);
  if (secrets.length === 0) return (value) => value;
  const maskText = (text: string): string => {
    let masked = text;
    for (const { name, value } of secrets) if (masked.includes(value)) masked = masked.replaceAll(value, `[${name}]`);
    return masked;
  };
  const mask = (value: unknown): unknown => {
    if (typeof value === "string") return maskText(value);
    if (Array.isArray(value)) return value.map(mask);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, part]) => [maskText(key), mask(part)]));
  };
  return mask as Mask;
}
