/**
 * What an operation is about, as a hash: for the audit log, which holds it from before and after a change.
 *
 * Owner: http. Invariants: (1) only the hash leaves: nothing of the thing itself is in the log; (2) a read that fails never
 * stops the operation.
 */
import type { Operation } from "../contract/index.ts";
import type { Services } from "./call.ts";

type Params = Readonly<Record<string, unknown>>;

async function thingOf({ ledger, backend }: Services, { tag }: Operation, params: Params): Promise<unknown> {
  const id = (name: string) => params[name] as string;
  if ("run" in params) return await ledger.runById(id("run"));
  if ("approval" in params) return await ledger.approval(id("approval"));
  if ("token" in params) return await ledger.token(id("token"));
  if ("delivery" in params) return await ledger.delivery(id("delivery"));
  if ("webhook" in params) return await ledger.webhook(id("webhook"));
  if ("hook" in params) return await ledger.incomingHook(id("hook"));
  if ("name" in params)
    return tag === "templates" ? await ledger.template(id("name")) : await backend.schedules.show(id("name"));
  return null;
}

/** SHA-256 of the row as it is now; "-" where there is none. */
export async function stateHash(services: Services, operation: Operation, params: Params): Promise<string> {
  const thing = await thingOf(services, operation, params).catch(() => null);
  return thing === null || thing === undefined ? "-" : services.backend.engine.parts.hash(JSON.stringify(thing));
}

/** `before` and `after` as they stand at the end of what a row of the log is about. */
const STATES = /(?:^| )before=(-|[0-9a-f]{64}) after=(-|[0-9a-f]{64})$/;

export const withStates = (target: string, before: string, after: string): string =>
  `${target}${target === "" ? "" : " "}before=${before} after=${after}`;

export function statesIn(target: string): { target: string; before: string | null; after: string | null } {
  const found = STATES.exec(target);
  if (found === null) return { target, before: null, after: null };
  const shown = (hash: string) => (hash === "-" ? null : hash);
  return { target: target.slice(0, found.index), before: shown(found[1] as string), after: shown(found[2] as string) };
}
