/**
 * The journal of side effects: one O_APPEND line per begin and effect of a body. Its nonce is the body's result, so that the
 * ledger's result names the very execution that was committed.
 *
 * Proof: the last effect of a key must be the committed one. An execution after a commit would leave a later line, a lost
 * result would leave none.
 */
import { appendFileSync } from "node:fs";
import { readLines } from "./process.ts";

export interface Entry {
  kind: "begin" | "effect";
  key: string;
  attempt: number;
  nonce: string;
  pid: number;
}

let counter = 0;

/** Used by bodies. Returns the nonce. */
export function begin(key: string, attempt: number): string {
  const nonce = `${process.pid}-${++counter}`;
  write("begin", key, attempt, nonce);
  return nonce;
}

export function effect(key: string, attempt: number, nonce: string): string {
  write("effect", key, attempt, nonce);
  return nonce;
}

function write(kind: string, key: string, attempt: number, nonce: string): void {
  appendFileSync(process.env["CRASH_JOURNAL"]!, `${kind}\t${key}\t${attempt}\t${nonce}\t${process.pid}\n`);
}

export function readJournal(path: string): Entry[] {
  return readLines(path).map((line) => {
    const [kind, key, attempt, nonce, pid] = line.split("\t");
    return { kind: kind as Entry["kind"], key: key!, attempt: Number(attempt), nonce: nonce!, pid: Number(pid) };
  });
}

/** Executions of each key, and the nonce of the last effect. */
export function byKey(entries: readonly Entry[]): Map<string, { begins: Entry[]; last: string | null }> {
  const keys = new Map<string, { begins: Entry[]; last: string | null }>();
  for (const entry of entries) {
    const known = keys.get(entry.key) ?? { begins: [], last: null };
    if (entry.kind === "begin") known.begins.push(entry);
    else known.last = entry.nonce;
    keys.set(entry.key, known);
  }
  return keys;
}
