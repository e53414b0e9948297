/** What an operation is, what the params of its path must look like, and the address that they make. */
import { z } from "zod";
import { JobId, Name, Sha256, text } from "./words.ts";

export interface Operation {
  id: string;
  method: "GET" | "POST" | "PUT" | "DELETE";
  /** With `{name}` for each param. */
  path: string;
  tag: string;
  summary: string;
  /** `open`: without a token. */
  role: "open" | "viewer" | "operator" | "admin";
  query?: z.ZodObject;
  body?: z.ZodType;
  /** Takes the header Idempotency-Key. */
  idempotent?: boolean;
  /** Makes another run than that of its path: not for tokens that are good for one run. */
  makesRun?: boolean;
  status: number;
  /** Further statuses with the same answer. */
  also?: number[];
  /** JSON of the answer; without it `media`. */
  answer?: z.ZodType;
  media?: string;
}

/** What each param of a path must look like, by its name. */
export const PARAMS = {
  run: Name,
  job: JobId,
  sha256: Sha256,
  name: Name,
  token: Name,
  webhook: Name,
  hook: Name,
  pipeline: Name,
  approval: text(5_000).min(1),
  delivery: text(500).min(1),
  ordinal: z.coerce.number().int().min(0),
} as const satisfies Record<string, z.ZodType>;

/** Names of the params in a path. */
export function paramsOf(path: string): (keyof typeof PARAMS)[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1] as keyof typeof PARAMS);
}

/** The address of an operation, each param escaped. */
export function addressOf(path: string, params: Record<string, string | number> = {}): string {
  return path.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(params[name])));
}
