/** `tenuto artifacts list|get|verify`: what runs have stored, by name or by hash. */
import { open, rm } from "node:fs/promises";
import { resolve } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { TenutoError } from "../../core/errors.ts";
import { suggest } from "../../core/names.ts";
import type { Tenuto } from "../../open.ts";
import type { ArtifactRecord } from "../../ports/artifacts.ts";
import type { RunRecord } from "../../ports/ledger.ts";
import { time } from "../documents.ts";
import { EXIT } from "../failure.ts";
import { bytes, counted, shortStamp } from "../figures.ts";
import type { Cli } from "../main.ts";
import { withLedger } from "../project.ts";
import { table } from "../table.ts";
import { oneLine } from "../terminal.ts";

const RUNS_AT_ONCE = 200;

export async function artifactsList(cli: Cli, id: string): Promise<number> {
  return await withLedger(cli, async (tenuto) => {
    const { out } = cli;
    const { ledger } = tenuto.engine.parts;
    const run = await tenuto.client.run(id);
    const records = await ledger.artifactsOfRun(run.seq);
    const users = await ledger.consumersOf(records.map((record) => record.id));
    const found = records.map(({ name, jobId, attempt, type, mediaType, sha256, bytes, at, item, id: number }) => ({
      name,
      job: jobId,
      attempt,
      item: item === -1 ? null : item,
      type,
      mediaType,
      sha256,
      bytes,
      at,
      usedBy: users.filter((use) => use.artifact === number).map((use) => `${use.runId}/${use.jobId}`),
    }));
    out.document("artifacts", { run: run.id, artifacts: found.map(({ at, ...rest }) => ({ ...rest, at: time(at) })) });
    if (found.length === 0) out.say(`Run ${run.id} has stored no artifacts.`);
    else {
      const rows = found.map((entry) => [
        oneLine(entry.name),
        entry.job,
        entry.type,
        bytes(entry.bytes),
        String(entry.usedBy.length),
        shortStamp(entry.at),
        entry.sha256.slice(0, 16),
      ]);
      out.data(
        ...table(
          [
            { title: "NAME", shrink: true },
            { title: "JOB", shrink: true },
            { title: "TYPE" },
            { title: "SIZE", align: "right" },
            { title: "USED BY", align: "right" },
            { title: "STORED (UTC)" },
            { title: "SHA-256" },
          ],
          rows,
          out.paint,
          out.width,
        ),
      );
    }
    return EXIT.ok;
  });
}

export async function artifactsGet(
  cli: Cli,
  id: string,
  name: string | undefined,
  options: { output?: string },
): Promise<number> {
  return await withLedger(cli, async (tenuto) => {
    const sha256 = name === undefined ? await byHash(tenuto, id) : (await byName(tenuto, id, name)).sha256;
    if (options.output !== undefined) {
      const path = resolve(cli.io.cwd, options.output);
      const file = await open(path, "wx").catch((error: NodeJS.ErrnoException) => {
        if (error.code !== "EEXIST") throw error;
        throw new TenutoError("conflict", `${path} exists already`, {
          hint: "Give a file name that is not taken yet.",
        });
      });
      try {
        await pipeline(Readable.from(tenuto.store.get(sha256)), file.createWriteStream());
      } catch (error) {
        // It is ours, and not whole.
        await rm(path, { force: true });
        throw error;
      }
      cli.out.document("artifact", { sha256, file: path });
      cli.out.say(`Wrote ${path}`);
      return EXIT.ok;
    }
    for await (const chunk of tenuto.store.get(sha256)) {
      cli.out.raw(chunk);
      if (cli.out.gone) break;
    }
    return EXIT.ok;
  });
}

async function byHash(tenuto: Tenuto, given: string): Promise<string> {
  const hash = given.replace(/^sha256:/, "").toLowerCase();
  if (/^[0-9a-f]{64}$/.test(hash) && (await tenuto.store.has(hash))) return hash;
  const found: string[] = [];
  if (/^[0-9a-f]{6,63}$/.test(hash))
    for await (const object of tenuto.store.list()) if (object.sha256.startsWith(hash)) found.push(object.sha256);
  if (found.length === 1) return found[0]!;
  throw new TenutoError("not_found", `there is no artifact ${JSON.stringify(given)}`, {
    hint:
      found.length > 1
        ? `${found.length} begin so; give more of the hash.`
        : "Give a hash, or a run and a name: tenuto artifacts get RUN NAME.",
  });
}

/** By `NAME`, or `JOB/NAME` where several jobs have one of that name; of those the last counts. */
async function byName(tenuto: Tenuto, id: string, name: string): Promise<ArtifactRecord> {
  const run = await tenuto.client.run(id);
  const records = await tenuto.engine.parts.ledger.artifactsOfRun(run.seq);
  const found =
    records.findLast((each) => each.name === name) ?? records.findLast((each) => `${each.jobId}/${each.name}` === name);
  if (found !== undefined) return found;
  throw new TenutoError("not_found", `run ${run.id} has no artifact ${JSON.stringify(name)}`, {
    hint: suggest(name, [...new Set(records.map((each) => each.name))], "artifact"),
  });
}

/** An artifact as it was registered: by run and name, or by hash, of those with these bytes the newest. */
export async function findArtifact(tenuto: Tenuto, id: string, name: string | undefined): Promise<ArtifactRecord> {
  if (name !== undefined) return await byName(tenuto, id, name);
  const sha256 = await byHash(tenuto, id);
  const [record] = await tenuto.engine.parts.ledger.artifactsByHash(sha256, 1);
  if (record !== undefined) return record;
  throw new TenutoError("not_found", `no job has registered object ${sha256}`, {
    hint: "It was stored by a run that has been pruned, or by one that did not get so far.",
  });
}

/** Hashes of what a run has registered; without one, of what all runs in the ledger have. */
async function registered(tenuto: Tenuto, id: string | undefined): Promise<Set<string>> {
  const { ledger } = tenuto.engine.parts;
  const found = new Set<string>();
  const add = async (run: RunRecord) => {
    for (const { sha256 } of await ledger.artifacts(run.seq)) found.add(sha256);
  };
  if (id !== undefined) {
    await add(await tenuto.client.run(id));
    return found;
  }
  for (let before: RunRecord["seq"] | undefined; ; ) {
    const runs = await ledger.runs({ limit: RUNS_AT_ONCE, ...(before === undefined ? {} : { before }) });
    for (const run of runs) await add(run);
    if (runs.length < RUNS_AT_ONCE) return found;
    before = runs.at(-1)!.seq;
  }
}

/** What was pruned, or stored, since the list was made is not missing. */
async function isMissing(tenuto: Tenuto, sha256: string): Promise<boolean> {
  return !(await tenuto.store.has(sha256)) && (await tenuto.engine.parts.ledger.referenced(sha256));
}

export async function artifactsVerify(cli: Cli, id: string | undefined): Promise<number> {
  return await withLedger(cli, async (tenuto) => {
    const only = id !== undefined;
    const wanted = await registered(tenuto, id);
    const bad: { sha256: string; problem: string }[] = [];
    const seen = new Set<string>();
    let total = 0;
    for await (const object of tenuto.store.list()) {
      if (only && !wanted.has(object.sha256)) continue;
      seen.add(object.sha256);
      const { ok, bytes: size } = await tenuto.store.verify(object.sha256);
      total += size;
      if (!ok) bad.push({ sha256: object.sha256, problem: "its bytes have another hash" });
    }
    // What was pruned, or put in place, since the list was made is not missing.
    for (const sha256 of wanted)
      if (!seen.has(sha256) && (await isMissing(tenuto, sha256)))
        bad.push({ sha256, problem: "it is missing from the store" });
    cli.out.document("verification", { objects: seen.size, bytes: total, bad });
    cli.out.data(`${counted(seen.size, "object")} with ${bytes(total)} read, ${bad.length} bad`);
    for (const { sha256, problem } of bad) cli.out.data(`${sha256}  ${problem}`);
    if (bad.length > 0) {
      throw new TenutoError(
        "artifact_corrupt",
        `${counted(bad.length, "object")} of the artifact store can't be used`,
        {
          hint: "Restore them from a backup of the home, or retry the runs that made them.",
          details: { bad },
        },
      );
    }
    return EXIT.ok;
  });
}
