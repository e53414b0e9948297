/**
 * `tenuto doctor`: looks for what would make trouble, and says how to mend it. Exit code 4 if something is broken.
 *
 * Each check is one line; a check that can't be made is a warning, never a crash.
 */
import { accessSync, constants, existsSync, mkdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Tenuto } from "../../open.ts";
import { isPostgres, ledgerExists } from "../../open-ledger.ts";
import { EXIT } from "../failure.ts";
import { bytes, counted, duration } from "../figures.ts";
import { standingStill } from "../known-agents.ts";
import type { Cli } from "../main.ts";
import { checkModels } from "../model-check.ts";
import { findPlace, loadProject, openPlace, type Place, shown, shownDatabase } from "../project.ts";
import type { Style } from "../terminal.ts";

export interface Check {
  name: string;
  verdict: "ok" | "warning" | "broken";
  text: string;
  hint?: string;
}

const LEAST_FREE = 1_000_000_000;
const SAMPLE_OBJECTS = 50;
const SAMPLE_RUNS = 50;
const SAMPLE_BYTES = 64_000_000;
const STYLES: Record<Check["verdict"], Style> = { ok: "green", warning: "yellow", broken: "red" };

export async function doctor(cli: Cli, options: { security?: boolean } = {}): Promise<number> {
  const checks: Check[] = [];
  const attempt = async (name: string, make: () => Promise<Check | Check[]> | Check | Check[]): Promise<void> => {
    try {
      checks.push(...[await make()].flat());
    } catch (error) {
      const { message, hint } = error as { message: string; hint?: string };
      checks.push({ name, verdict: "broken", text: message, ...(hint === undefined ? {} : { hint }) });
    }
  };
  await attempt("node", nodeCheck);
  await attempt("configuration", () => configCheck(cli));
  const place = await findPlace(cli).catch(() => null);
  if (place !== null) {
    await attempt("home", () => homeCheck(cli, place));
    await attempt("disk", () => diskCheck(place));
    await attempt("ledger", async () =>
      (await ledgerExists(place.database))
        ? await insideChecks(cli, place)
        : {
            name: "ledger",
            verdict: "ok",
            text: `none yet; the first run makes ${shownDatabase(cli, place.database)}`,
          },
    );
  }
  if (options.security === true && place !== null)
    await attempt("security", async () => (await import("./doctor-security.ts")).securityChecks(cli, place));
  cli.out.document("diagnosis", { ok: checks.every((check) => check.verdict !== "broken"), checks });
  const width = Math.max(...checks.map((check) => check.name.length));
  for (const check of checks) {
    cli.out.data(
      `${cli.out.paint(STYLES[check.verdict], check.verdict.padEnd(7))}  ${check.name.padEnd(width)}  ${check.text}`,
    );
    if (check.hint !== undefined)
      cli.out.data(`${" ".repeat(width + 11)}${cli.out.paint("cyan", "hint:")} ${check.hint}`);
  }
  return checks.some((check) => check.verdict === "broken") ? EXIT.ledger : EXIT.ok;
}

function nodeCheck(): Check {
  const { node } = process.versions;
  const text = `Node ${node} (${process.execPath})`;
  return Number(node.split(".")[0]) >= 24
    ? { name: "node", verdict: "ok", text }
    : { name: "node", verdict: "warning", text, hint: "Tenuto is developed and tested on Node 24." };
}

async function configCheck(cli: Cli): Promise<Check | Check[]> {
  const project = await loadProject(cli);
  if (project.configFile === null)
    return { name: "configuration", verdict: "ok", text: "none here; pipelines are given as files" };
  const found: Check = {
    name: "configuration",
    verdict: "ok",
    text: `${shown(cli, project.configFile)}: ${counted(project.pipelines.length, "pipeline")}, ${counted(project.agents.length, "agent")}`,
  };
  const [bad] = project.broken;
  if (bad !== undefined) {
    found.verdict = "warning";
    found.text += `; can't be loaded: ${project.broken.map(({ file }) => shown(cli, file)).join(", ")}`;
    found.hint = `See why: tenuto templates validate ${shown(cli, bad.file)}`;
  }
  const { agents, missing } = checkModels(project.agents, process.env);
  if (agents === 0) return found;
  const models = { name: "models", text: counted(agents, "LLM agent") };
  return missing.length === 0
    ? [found, { ...models, verdict: "ok" }]
    : [
        found,
        {
          ...models,
          verdict: "warning",
          text: `missing: ${missing.join(", ")}`,
          hint: "Install packages beside tenuto; set variables where the engine runs.",
        },
      ];
}

function homeCheck(cli: Cli, place: Place): Check {
  const folder = existsSync(place.home) ? place.home : dirname(place.home);
  const name = "home";
  try {
    accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK);
    if (existsSync(place.home)) {
      mkdirSync(join(place.home, "scratch"), { recursive: true });
      const probe = join(place.home, "scratch", `doctor-${process.pid}`);
      writeFileSync(probe, "");
      rmSync(probe);
    }
    return { name, verdict: "ok", text: `${shown(cli, place.home)} can be written` };
  } catch (error) {
    return {
      name,
      verdict: "broken",
      text: `${shown(cli, place.home)}: ${(error as Error).message}`,
      hint: "Give this user the right to write there, or another folder with --home.",
    };
  }
}

function diskCheck(place: Place): Check {
  const facts = statfsSync(existsSync(place.home) ? place.home : dirname(place.home));
  const free = facts.bavail * facts.bsize;
  const text = `${bytes(free)} free`;
  return free >= LEAST_FREE
    ? { name: "disk", verdict: "ok", text }
    : { name: "disk", verdict: "warning", text, hint: "Free some space: tenuto prune --older-than 30d" };
}

async function insideChecks(cli: Cli, place: Place): Promise<Check[]> {
  const tenuto = await openPlace(place, cli, { soon: true });
  try {
    const { ledger } = tenuto.engine.parts;
    const info = await ledger.info();
    const { ok, problems } = await ledger.check();
    const checks: Check[] = [{ name: "engine", verdict: "ok", text: info.engine }];
    const where = `${isPostgres(place.database) ? info.path : shown(cli, info.path)}, schema ${info.schema}, ${bytes(info.bytes)}`;
    checks.push(
      ok
        ? { name: "ledger", verdict: "ok", text: where }
        : {
            name: "ledger",
            verdict: "broken",
            text: `${where}: ${problems.slice(0, 3).join("; ")}`,
            hint: "Stop all engines and restore a backup.",
          },
    );
    checks.push(await workersCheck(tenuto), await runsCheck(cli, tenuto), await artifactsCheck(tenuto));
    return checks;
  } finally {
    await tenuto.close();
  }
}

/** Workers that died without a farewell still hold leases and may have left processes; the next start takes over. */
async function workersCheck(tenuto: Tenuto): Promise<Check> {
  const { ledger, probe } = tenuto.engine.parts;
  const boots = await ledger.boots("alive");
  const dead = boots.filter((boot) => probe.alive(boot) === false);
  const alive = boots.length - dead.length;
  let left = 0;
  for (const boot of dead)
    left += (await ledger.leasesOf(boot.seq, 1_000)).jobs.length + (await ledger.processesOf(boot.seq)).length;
  if (dead.length === 0)
    return { name: "workers", verdict: "ok", text: alive === 0 ? "none at work" : `${alive} at work` };
  const text = `${counted(dead.length, "worker")} died without a farewell${left > 0 ? ` and left ${counted(left, "lease or process").replace("processs", "processes")}` : ""}`;
  return {
    name: "workers",
    verdict: left > 0 ? "warning" : "ok",
    text,
    ...(left > 0 ? { hint: "The next start takes over: tenuto resume" } : {}),
  };
}

async function runsCheck(cli: Cli, tenuto: Tenuto): Promise<Check> {
  const states = await tenuto.engine.parts.ledger.runStates();
  const open = states.pending + states.running + states.waiting;
  const openRuns = await tenuto.client.runs({ states: ["pending", "running", "waiting"], limit: 10_000 });
  const [oldest] = openRuns.slice(-1);
  const age = oldest === undefined ? "" : `, the oldest for ${duration(Date.now() - oldest.createdAt)}`;
  const text = `${open} open${age}; ${states.completed} completed, ${states.failed} failed, ${states.cancelled} cancelled`;
  for (const run of openRuns.slice(0, SAMPLE_RUNS)) {
    const ready = await tenuto.engine.parts.ledger.jobs(run.seq, { states: ["ready"], limit: 100 });
    const [job, agent] = [...(await standingStill(cli, tenuto, [run], ready))][0] ?? [];
    if (agent === undefined) continue;
    return {
      name: "runs",
      verdict: "warning",
      text: `${text}; job ${job} of run ${run.id} waits: no worker offers ${agent}`,
      hint: `Give the file with its code: tenuto resume ${run.id} --pipeline FILE; or end it: tenuto runs cancel ${run.id}`,
    };
  }
  return { name: "runs", verdict: "ok", text };
}

/** Of the newest runs; `artifacts verify` looks at all. */
async function missingObjects(tenuto: Tenuto): Promise<string[]> {
  const { ledger } = tenuto.engine.parts;
  const missing = new Set<string>();
  let looked = 0;
  for (const run of await tenuto.client.runs({ limit: SAMPLE_RUNS }))
    for (const { sha256 } of await ledger.artifacts(run.seq)) {
      if (looked >= SAMPLE_OBJECTS) return [...missing];
      looked += 1;
      if (!(await tenuto.store.has(sha256))) missing.add(sha256);
    }
  return [...missing];
}

async function artifactsCheck(tenuto: Tenuto): Promise<Check> {
  let objects = 0;
  let size = 0;
  const bad: string[] = [];
  for await (const object of tenuto.store.list()) {
    if (objects >= SAMPLE_OBJECTS || size >= SAMPLE_BYTES) break;
    objects += 1;
    size += object.bytes;
    if (!(await tenuto.store.verify(object.sha256)).ok) bad.push(object.sha256);
  }
  const missing = await missingObjects(tenuto);
  if (bad.length + missing.length === 0)
    return {
      name: "artifacts",
      verdict: "ok",
      text: `${counted(objects, "object")} (${bytes(size)}) compared with their hashes`,
    };
  return {
    name: "artifacts",
    verdict: "broken",
    text: [
      bad.length === 0 ? "" : `${bad.length} of ${objects} are damaged: ${bad[0]!.slice(0, 16)}`,
      missing.length === 0 ? "" : `${counted(missing.length, "object")} of runs are gone: ${missing[0]!.slice(0, 16)}`,
    ]
      .filter((part) => part !== "")
      .join("; "),
    hint: "See all: tenuto artifacts verify",
  };
}
