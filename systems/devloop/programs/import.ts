/**
 * `npm run import -w devloop -- FILE`: takes an older database into the ledger, as runs that ended.
 *
 *   --home DIR    where the ledger is; default: .tenuto in the working directory
 *   --files DIR   folder of the artifacts' files; without it only artifacts with their content in the database are taken
 *   --dry-run     says what would be taken
 *   --json        the report as one JSON document
 *
 * Invariants:
 * 1. The old file is only read. A second import of it changes nothing.
 * 2. Files are read below --files only, links resolved.
 * 3. The report names everything that was not taken. Exit code 1 if a run could not be taken.
 */
import { readFileSync, realpathSync } from "node:fs";
import { isAbsolute, resolve, sep } from "node:path";
import { parseArgs } from "node:util";
import { openTenuto } from "tenuto";
import { LegacyError, readLegacy } from "../adapters/legacy-database.ts";
import type { Note, Translated } from "../domain/legacy.ts";
import { translate } from "../domain/legacy.ts";

export interface ImportOptions {
  file: string;
  home: string;
  files?: string | undefined;
  dryRun?: boolean;
}

export interface ImportReport {
  taken: { what: string; id: string | null; jobs: number; artifacts: number; state: string; before: boolean }[];
  notTaken: Note[];
  failed: number;
}

/** Imports a database and says what became of everything in it. @throws LegacyError */
export async function importDatabase({ file, home, files, dryRun = false }: ImportOptions): Promise<ImportReport> {
  const { runs, notes } = translate(readLegacy(file), files === undefined ? undefined : fileReader(files));
  const report: ImportReport = { taken: [], notTaken: [...notes], failed: 0 };
  if (dryRun) {
    for (const entry of runs) report.taken.push(taken(entry, null, false));
    return report;
  }
  await using tenuto = await openTenuto({ home, work: false });
  for (const entry of runs) {
    try {
      const { id, created } = await tenuto.client.importRun(entry.run);
      report.taken.push(taken(entry, id, !created));
    } catch (error) {
      report.failed += 1;
      report.notTaken.push({ what: entry.what, why: error instanceof Error ? error.message : String(error) });
    }
  }
  return report;
}

function taken(
  { what, run }: Translated["runs"][number],
  id: string | null,
  before: boolean,
): ImportReport["taken"][number] {
  const artifacts = run.jobs.reduce((sum, job) => sum + (job.artifacts?.length ?? 0), 0);
  return { what, id, jobs: run.jobs.length, artifacts, state: run.state, before };
}

function fileReader(folder: string): (path: string) => Uint8Array | string {
  const root = realpathSync(folder);
  return (path) => {
    try {
      const place = realpathSync(isAbsolute(path) ? path : resolve(root, path));
      if (!place.startsWith(root + sep)) return `its file ${path} is not below --files`;
      return readFileSync(place);
    } catch (error) {
      return `its file ${path} can't be read (${(error as NodeJS.ErrnoException).code ?? "unknown"})`;
    }
  };
}

/** The report as people read it. */
export function reportText({ taken: all, notTaken, failed }: ImportReport): string {
  const sum = (key: "jobs" | "artifacts") => all.reduce((total, entry) => total + entry[key], 0);
  const lines = all.map(({ what, id, jobs, state, before }) => {
    const where = id === null ? "would be taken" : before ? `was there already as ${id}` : `is run ${id}`;
    return `${what}: ${where} (${state}, ${jobs} jobs)`;
  });
  lines.push("", `Taken: ${all.length} runs, ${sum("jobs")} jobs, ${sum("artifacts")} artifacts.`);
  if (failed > 0) lines.push(`${failed} runs could not be taken.`);
  if (notTaken.length > 0)
    lines.push("", "Not taken, or changed:", ...notTaken.map(({ what, why }) => `  ${what}: ${why}`));
  return lines.join("\n");
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      home: { type: "string", default: ".tenuto" },
      files: { type: "string" },
      "dry-run": { type: "boolean", default: false },
      json: { type: "boolean", default: false },
    },
  });
  const [file] = positionals;
  if (file === undefined || positionals.length > 1) {
    process.stderr.write(
      "Say which file: npm run import -w devloop -- FILE [--home DIR] [--files DIR] [--dry-run] [--json]\n",
    );
    return 2;
  }
  // npm changes into the workspace's folder; paths are meant from where it was called.
  const from = process.env["INIT_CWD"] ?? process.cwd();
  const report = await importDatabase({
    file: resolve(from, file),
    home: resolve(from, values.home),
    files: values.files === undefined ? undefined : resolve(from, values.files),
    dryRun: values["dry-run"],
  });
  process.stdout.write(`${values.json ? JSON.stringify(report, null, 2) : reportText(report)}\n`);
  return report.failed > 0 ? 1 : 0;
}

if (import.meta.main) {
  try {
    process.exitCode = await main();
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = error instanceof LegacyError ? 3 : 1;
  }
}
