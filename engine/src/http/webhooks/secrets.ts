/**
 * Keys that sign messages in and out, in the form of Standard Webhooks.
 *
 * Owner: http. Invariants: (1) no secret is stored: each is derived from the key in the home, the id and a version; (2)
 * signatures are compared in constant time; (3) what is older or younger than five minutes is refused.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { secretVersions } from "../../core/webhook.ts";
import { HttpProblem } from "../problems.ts";

const WINDOW_SECONDS = 300;

type Kind = "webhook" | "hook";
interface Versioned {
  id: string;
  secretVersion: number;
  rotatedAt: number | null;
}

export class Secrets {
  private readonly key: Uint8Array;

  constructor(key: Uint8Array) {
    this.key = key;
  }

  /** `whsec_…`, as receivers configure it. */
  secret(kind: Kind, id: string, version: number): string {
    return `whsec_${createHmac("sha256", this.key).update(`${kind}\n${id}\n${version}`).digest("base64")}`;
  }

  /** Those that count at a time, the newest first. */
  secrets(kind: Kind, row: Versioned, at: number): string[] {
    return secretVersions(row, at).map((version) => this.secret(kind, row.id, version));
  }
}

export function signature(secret: string, id: string, seconds: string, body: Uint8Array): Buffer {
  const key = Buffer.from(secret.slice("whsec_".length), "base64");
  return createHmac("sha256", key).update(`${id}.${seconds}.`).update(body).digest();
}

export interface Signed {
  id: string | undefined;
  timestamp: string | undefined;
  signatures: string | undefined;
}

/** The id of a message that is signed with one of the secrets. @throws HttpProblem 401 */
export function verifySigned(given: Signed, body: Uint8Array, secrets: readonly string[], nowMs: number): string {
  const refuse = (why: string) =>
    new HttpProblem(401, "signature_refused", `the message is not signed as it must be: ${why}`, {
      hint: "Sign as Standard Webhooks do: webhook-id, webhook-timestamp, webhook-signature: v1,….",
    });
  const { id, timestamp, signatures } = given;
  if (id === undefined || !/^[\x21-\x7e]{1,200}$/.test(id)) throw refuse("webhook-id is missing or not valid");
  if (timestamp === undefined || !/^\d{1,12}$/.test(timestamp))
    throw refuse("webhook-timestamp is missing or not valid");
  if (Math.abs(nowMs / 1_000 - Number(timestamp)) > WINDOW_SECONDS)
    throw refuse(`it is from another time, more than ${WINDOW_SECONDS} s away`);
  const wanted = secrets.map((secret) => signature(secret, id, timestamp, body));
  const sent = (signatures ?? "")
    .slice(0, 2_000)
    .split(" ")
    .filter((text) => text.startsWith("v1,"))
    .map((text) => Buffer.from(text.slice(3), "base64"));
  const fits = sent.some((one) => wanted.some((other) => one.length === other.length && timingSafeEqual(one, other)));
  if (!fits) throw refuse("no signature fits");
  return id;
}
