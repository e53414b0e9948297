/**
 * Runs in the process that runs the tests: starts one PostgreSQL server when a test file asks for the first time, and ends it
 * after the last file. A run without such files starts nothing.
 */
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { type Server, startServer } from "./server.ts";
import type { Answer } from "./shared.ts";

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = mkdtempSync(join(tmpdir(), "tenuto-ask-"));
  const path = process.platform === "win32" ? `\\\\.\\pipe\\tenuto-ask-${process.pid}` : join(folder, "socket");
  let started: Promise<Server> | null = null;
  const answer = async (): Promise<Answer> => {
    try {
      started ??= startServer();
      const { url, ca } = await started;
      return { url, ca };
    } catch (error) {
      return { reason: error instanceof Error ? error.message : String(error) };
    }
  };
  const asked = createServer((socket) => {
    socket.on("error", () => {});
    void answer().then((found) => socket.end(JSON.stringify(found)));
  });
  asked.listen(path);
  await once(asked, "listening");
  project.provide("postgres", path);
  return async () => {
    asked.close();
    await started?.then((server) => server.stop()).catch(() => {});
    rmSync(folder, { recursive: true, force: true });
  };
}
