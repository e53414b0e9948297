/**
 * JSON answers packed with gzip for clients on other machines.
 *
 * Owner: http. Invariants: (1) what holds secrets of the server (tokens, keys of webhooks) is never packed: how well a text
 * packs tells of what is in it; (2) only answers to GET are packed, whose source the gate has checked; (3) to this machine
 * nothing is packed: that would only cost.
 */
import { promisify } from "node:util";
import { constants, gzip } from "node:zlib";
import type { Operation } from "../contract/index.ts";
import type { Head } from "./gate.ts";

const pack = promisify(gzip);
/** What is shorter fits into two packets anyway. */
const LEAST_CHARS = 2_048;
const LEVEL = 3;
const LOOPBACK = /^(::1|(::ffff:)?127\.\d+\.\d+\.\d+)$/;
/** Who holds which rights, and what was asked: nothing here is packed. */
const NEVER = new Set(["access", "webhooks"]);

export type Compress = (
  text: string,
  operation: Operation,
  head: Head,
) => Promise<{ body: Uint8Array<ArrayBuffer>; headers: Record<string, string> } | null>;

export type WhenToCompress = "remote" | "always" | "never";

export function compressOf(when: WhenToCompress): Compress | null {
  if (when === "never") return null;
  return async (text, operation, head) => {
    if (text.length < LEAST_CHARS || operation.method !== "GET" || NEVER.has(operation.tag)) return null;
    if (when === "remote" && LOOPBACK.test(head.address)) return null;
    if (!acceptsGzip(head.header("accept-encoding"))) return null;
    const body = await pack(text, { level: LEVEL, strategy: constants.Z_DEFAULT_STRATEGY });
    return { body: new Uint8Array(body), headers: { "content-encoding": "gzip", vary: "Accept-Encoding" } };
  };
}

/** Whether `gzip` is named, and not with `q=0`. */
export function acceptsGzip(header: string | undefined): boolean {
  return (header ?? "").split(",").some((part) => {
    const [name, ...params] = part.trim().toLowerCase().split(";");
    return name === "gzip" && !params.some((param) => /^\s*q=0(\.0*)?\s*$/.test(param));
  });
}
