/** a rollback is killed at every step, and goes on from there; it is never called done while something is left. */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it, onTestFinished } from "vitest";
import { openTenuto } from "../../src/index.ts";
import { auditFile } from "../../src/testing/auditor.ts";

const CHILD = fileURLToPath(new URL("./rollback.child.ts", import.meta.url));

function child(home: string, step: string, phase: string): Promise<{ signal: string | null; said: string }> {
  return new Promise((resolve) => {
    const running = spawn(process.execPath, ["--conditions=source", CHILD, home, step, phase]);
    let said = "";
    running.stderr.on("data", (chunk) => {
      said += chunk;
    });
    running.on("close", (_code, signal) => resolve({ signal, said }));
  });
}

async function statusOf(home: string) {
  const tenuto = await openTenuto({ home, work: false });
  try {
    const [origin] = (await tenuto.client.runs()).filter((run) => run.origin === null);
    return await tenuto.client.rollbackOf(origin?.id as string);
  } finally {
    await tenuto.close();
  }
}

const ALL = ["d", "c", "b", "a"].flatMap((step) => ["before", "after", "between"].map((phase) => ({ step, phase })));
/** In the short suite each phase and each step once at least; the long one takes all. */
const POINTS = process.env["LONG"] === "1" ? ALL : ALL.filter((_, at) => [0, 4, 8, 11].includes(at));

it.each(POINTS)(
  "R-54: killed $phase the compensation of $step",
  async ({ step, phase }) => {
    const home = mkdtempSync(join(tmpdir(), "tenuto-rollback-"));
    onTestFinished(() => rmSync(home, { recursive: true, force: true }));
    const killed = await child(home, step, phase);
    expect(killed).toEqual({ signal: "SIGKILL", said: "" });
    const position = ["d", "c", "b", "a"].indexOf(step);
    const all = phase === "between" && step === "a";
    const middle = await statusOf(home);
    expect(middle).toMatchObject({
      state: all ? "rolled back" : "rolling back",
      done: phase === "between" ? position + 1 : position,
      of: 4,
    });
    expect(await child(home, step, phase)).toEqual({ signal: null, said: "" });
    expect(await statusOf(home)).toMatchObject({ state: "rolled back", done: 4, of: 4 });
    const lines = readFileSync(join(home, "journal"), "utf8").trimEnd().split("\n");
    // At least once each, in reverse order, and always under the same key.
    const expected = ["d", "c", "b", "a"].flatMap((name, at) => {
      const line = `${name} work-1-rollback/undo-0${at + 1}-${name}`;
      return name === step && phase === "after" ? [line, line] : [line];
    });
    expect(lines).toEqual(expected);
    expect((await auditFile({ database: join(home, "ledger.db") })).problems).toEqual([]);
  },
  120_000,
);
