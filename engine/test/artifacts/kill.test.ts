/** R-43 for what a job leaves behind: killed at any point, each artifact is registered once, whole, with every use of it. */
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it, onTestFinished } from "vitest";
import { openTenuto } from "../../src/index.ts";
import { auditFile } from "../../src/testing/auditor.ts";
import { seededEntropy } from "../../src/testing/entropy.ts";

const CHILD = fileURLToPath(new URL("./kill.child.ts", import.meta.url));
const KILLS = Number(process.env["TENUTO_ARTIFACT_KILLS"] ?? 2);

function child(home: string, crashAt: number): Promise<{ signal: string | null; out: string; said: string }> {
  return new Promise((resolve) => {
    const running = spawn(process.execPath, ["--conditions=source", CHILD, home, String(crashAt)]);
    let [out, said] = ["", ""];
    running.stdout.on("data", (chunk) => {
      out += chunk;
    });
    running.stderr.on("data", (chunk) => {
      said += chunk;
    });
    running.on("close", (_code, signal) => resolve({ signal, out, said }));
  });
}

function folder(): string {
  const home = mkdtempSync(join(tmpdir(), "tenuto-leaves-"));
  onTestFinished(() => rmSync(home, { recursive: true, force: true }));
  return home;
}

const EXPECTED = {
  artifacts: [
    "note/changes.json",
    "note/made.txt",
    "note/note",
    "note/seen",
    "plan/a.txt",
    "plan/b.txt",
    "plan/changes.json",
    "plan/final_output.txt",
    "use/all.txt",
    "use/changes.json",
  ],
  note: ["plan/a.txt", "plan/b.txt", "plan/changes.json", "plan/final_output.txt"],
};

async function proof(home: string): Promise<void> {
  const tenuto = await openTenuto({ home, work: false });
  try {
    const { ledger } = tenuto.engine.parts;
    const [run] = await tenuto.client.runs();
    const seq = run?.seq as number;
    const all = await ledger.artifactsOfRun(seq, true);
    expect(all.map((record) => `${record.jobId}/${record.name}`).sort()).toEqual(EXPECTED.artifacts);
    for (const record of all) expect(await tenuto.store.verify(record.sha256)).toMatchObject({ ok: true });
    const jobs = new Map((await ledger.jobs(seq)).map((job) => [job.id, job.seq]));
    const uses = async (id: string) =>
      (await ledger.consumedBy(jobs.get(id) as number)).map(({ record }) => `${record?.jobId}/${record?.name}`).sort();
    expect(await uses("note")).toEqual(EXPECTED.note);
    expect(await uses("use")).toEqual(EXPECTED.artifacts.filter((name) => !name.startsWith("use/")));
  } finally {
    await tenuto.close();
  }
  expect(readdirSync(join(home, "artifacts/tmp"))).toEqual([]);
  expect((await auditFile({ database: join(home, "ledger.db") })).problems).toEqual([]);
}

it(
  `R-43: ${KILLS} kills at points of work, collection and registration`,
  async () => {
    const whole = await child(folder(), 0);
    expect(whole).toMatchObject({ signal: null, said: "" });
    const { points, state } = JSON.parse(whole.out) as { points: number; state: string };
    expect([state, points > 200]).toEqual(["completed", true]);
    const { below } = seededEntropy(43);
    let died = 0;
    for (let kill = 0; kill < KILLS; kill++) {
      const home = folder();
      const crashAt = 1 + below(points);
      const first = await child(home, crashAt);
      if (first.signal === "SIGKILL") died += 1;
      const second = await child(home, 0);
      expect({ ...second, out: JSON.parse(second.out || "{}").state }, `after point ${crashAt}`).toEqual({
        signal: null,
        said: "",
        out: "completed",
      });
      await proof(home);
      rmSync(home, { recursive: true, force: true });
    }
    expect(died).toBeGreaterThan(KILLS / 2);
  },
  60_000 + KILLS * 20_000,
);
