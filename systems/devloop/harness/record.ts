/**
 * What the harness writes down while it works: `actions.jsonl`, append only, in the job's workspace.
 *
 * Invariants:
 * 1. A line is on disk before the next action begins; a line cut short by a crash is ended before the next one is written.
 * 2. Nothing is ever rewritten: attempts and rounds follow each other.
 */
import { closeSync, fstatSync, fsyncSync, mkdirSync, openSync, readSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Json } from "tenuto";

export interface ActionsRecord {
  path: string;
  add(entry: { [key: string]: Json }): void;
  close(): void;
}

export function openRecord(folder: string, now: () => number = Date.now): ActionsRecord {
  const path = join(folder, "actions.jsonl");
  mkdirSync(dirname(path), { recursive: true });
  const file = openSync(path, "a+", 0o600);
  if (endsAmidLine(file)) writeSync(file, "\n");
  return {
    path,
    add(entry) {
      writeSync(file, `${JSON.stringify({ at: new Date(now()).toISOString(), ...entry })}\n`);
      fsyncSync(file);
    },
    close: () => closeSync(file),
  };
}

function endsAmidLine(file: number): boolean {
  const { size } = fstatSync(file);
  if (size === 0) return false;
  const last = Buffer.alloc(1);
  readSync(file, last, 0, 1, size - 1);
  return last[0] !== 0x0a;
}
