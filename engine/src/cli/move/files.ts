/**
 * Moves what lies beside a ledger: objects of artifacts, lines and raw output of runs. What is there already is not sent
 * again, so that a move that was interrupted goes on.
 */
import { existsSync } from "node:fs";
import { TenutoError } from "../../core/errors.ts";
import type { DatabaseLogs } from "../../logs/database.ts";
import type { LogFiles } from "../../logs/files.ts";
import type { StoredObject } from "../../ports/artifact-store.ts";

const LINES_AT_ONCE = 1_000;

export interface Objects {
  objects: number;
  bytes: number;
  /** Objects whose bytes are not what their names say; they stay behind. */
  damaged: string[];
}

/** `send` checks each object as it goes, and leaves those alone that are there. */
export async function moveObjects(
  list: AsyncIterable<StoredObject>,
  send: (object: StoredObject) => Promise<void>,
): Promise<Objects> {
  const result: Objects = { objects: 0, bytes: 0, damaged: [] };
  for await (const { sha256, bytes } of list) {
    try {
      await send({ sha256, bytes });
      result.objects += 1;
      result.bytes += bytes;
    } catch (error) {
      if (!(error instanceof TenutoError) || error.code !== "artifact_corrupt") throw error;
      result.damaged.push(sha256);
    }
  }
  return result;
}

/** Lines and raw output of these runs, from files into the database. */
export async function sendLogs(from: LogFiles, to: DatabaseLogs, runs: AsyncIterable<string>): Promise<number> {
  let lines = 0;
  for await (const run of runs) {
    if (!existsSync(from.folder(run))) continue;
    // What an interrupted move has sent of it.
    await to.forgetShared([run]);
    for await (const { number: _, ...line } of from.read(run)) {
      to.line(line);
      lines += 1;
      if (lines % LINES_AT_ONCE === 0) await to.flush();
    }
    await to.flush();
    for (const name of await from.outputs(run, Number.MAX_SAFE_INTEGER))
      await to.sendOutput(run, name, `${from.folder(run)}/output/${name}`);
  }
  return lines;
}

/** Lines of these runs from the database into files; raw output that is there. */
export async function fetchLogs(from: DatabaseLogs, to: LogFiles, runs: AsyncIterable<string>): Promise<number> {
  let lines = 0;
  for await (const run of runs) {
    await to.forget([run]);
    for await (const { number: _, ...line } of from.read(run)) {
      to.line(line);
      lines += 1;
      if (lines % LINES_AT_ONCE === 0) await to.flush();
    }
    for (const name of await from.outputs(run, Number.MAX_SAFE_INTEGER))
      await from.fetchOutput(run, name, `${to.folder(run)}/output`);
  }
  await to.flush();
  return lines;
}
