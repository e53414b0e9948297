/**
 * `tenuto migrate --from … --to …`: moves a whole ledger with its artifacts and logs, from a file into PostgreSQL or back.
 *
 * Invariants: (1) nobody works on the source, and nobody can write to its file, while it is read; (2) the rows arrive in one
 * transaction, after they were read back and found the same; (3) what was sent before an interruption is not sent again.
 */
import { existsSync, statSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { openFileStore } from "../../artifacts/filesystem.ts";
import { TenutoError } from "../../core/errors.ts";
import { gatherFeed } from "../../ledger/postgres/feed.ts";
import { type Database, openDatabase } from "../../ledger/postgres/index.ts";
import { migrate as migrateSchema } from "../../ledger/postgres/migrate.ts";
import { openLogFiles } from "../../logs/files.ts";
import { systemClock } from "../../open.ts";
import { isPostgres, isUrl } from "../../open-ledger.ts";
import { openShared, type Shared } from "../../open-shared.ts";
import { EXIT, usage } from "../failure.ts";
import { bytes, count, counted } from "../figures.ts";
import type { Cli } from "../main.ts";
import type { End } from "../move/end.ts";
import { fetchLogs, moveObjects, type Objects, sendLogs } from "../move/files.ts";
import { PostgresEnd } from "../move/postgres-end.ts";
import { assertEmpty, type Moved, moveRows } from "../move/rows.ts";
import { SqliteSource, SqliteTarget } from "../move/sqlite-end.ts";
import { findPlace, shownDatabase } from "../project.ts";

export interface MoveOptions {
  from: string;
  to: string;
}

interface Summary {
  tables: Moved[];
  objects: Objects;
  lines: number;
}

export async function moveLedger(cli: Cli, { from, to }: MoveOptions): Promise<number> {
  const place = await findPlace(cli);
  const source = isUrl(from) ? from : resolve(cli.io.cwd, from);
  const target = isUrl(to) ? to : resolve(cli.io.cwd, to);
  if (isPostgres(source) === isPostgres(target))
    throw usage("a ledger moves from a file to PostgreSQL or back", "Give a file and a postgres: URL.");
  const file = isPostgres(source) ? target : source;
  // Artifacts and logs lie beside the file, unless another home is named.
  const home = cli.options.home === undefined ? dirname(file) : place.home;
  const url = isPostgres(source) ? source : target;
  const artifacts = place.config.artifacts;
  const shared = { clock: systemClock, onFault: told(cli), ...(artifacts === undefined ? {} : { artifacts }) };
  const db = openDatabase({ url, writers: 1, readers: 1, waitMs: 10_000 });
  try {
    const open = () => openShared(url, home, shared);
    const summary =
      source === file ? await toPostgres(cli, file, home, db, open) : await toFile(cli, file, home, db, open);
    tell(cli, source, target, summary);
    return EXIT.ok;
  } finally {
    await db.close();
  }
}

const told = (cli: Cli) => (error: unknown) => cli.out.tell(`tenuto: ${(error as Error).message}`);

async function assertIdle(end: End): Promise<void> {
  const working = await end.working();
  if (working.length === 0) return;
  throw new TenutoError("conflict", `${counted(working.length, "worker")} may be at work on ${end.shown}`, {
    hint: `Stop them first: ${working.slice(0, 5).join(", ")}. Nothing was changed.`,
    details: { working },
  });
}

async function* runIds(end: End): AsyncGenerator<string> {
  for await (const page of end.rows("run", ["id"])) for (const { id } of page) yield String(id);
}

async function toPostgres(
  cli: Cli,
  file: string,
  home: string,
  db: Database,
  open: () => Promise<Shared>,
): Promise<Summary> {
  if (!existsSync(file) || statSync(file).size === 0)
    throw new TenutoError("not_found", `there is no ledger at ${file}`);
  const source = new SqliteSource(file);
  try {
    await assertIdle(source);
    await migrateSchema(db);
    await db.transaction(async (session) => await assertEmpty(new PostgresEnd(db, session)));
    const shared = await open();
    try {
      const local = await openFileStore(join(home, "artifacts"));
      const objects = await moveObjects(local.list(), async (object) => {
        if (!(await shared.objects.touch(object.sha256)))
          await shared.objects.put(object, () => local.get(object.sha256));
      });
      cli.out.say(`${counted(objects.objects, "artifact")} sent, ${bytes(objects.bytes)}`);
      const files = openLogFiles(join(home, "logs"), { clock: systemClock });
      const lines = await sendLogs(files, shared.logs, runIds(source));
      const tables = await db.transaction(async (session) => {
        const end = new PostgresEnd(db, session);
        // Again, now that nobody else can come between.
        await session.query("LOCK TABLE run, boot, definition IN EXCLUSIVE MODE");
        await assertEmpty(end);
        return await moveRows(source, end, (moved) => progress(cli, moved));
      });
      return { tables, objects, lines };
    } finally {
      await shared.logs.close();
    }
  } finally {
    await source.close();
  }
}

async function toFile(
  cli: Cli,
  file: string,
  home: string,
  db: Database,
  open: () => Promise<Shared>,
): Promise<Summary> {
  if (existsSync(file))
    throw new TenutoError("conflict", `${file} exists already`, { hint: "Give a name that is not taken." });
  await mkdir(home, { recursive: true });
  const shared = await open();
  try {
    const local = await openFileStore(join(home, "artifacts"));
    const objects = await moveObjects(shared.objects.list(), async (object) => {
      // The copies of this machine are files of the same store.
      if (!(await local.has(object.sha256)) || !(await local.verify(object.sha256)).ok)
        await shared.store.localPath(object.sha256);
    });
    // What commits have left for the feed gets its numbers, and so its place in the file.
    await gatherFeed(db);
    return await db.snapshot(async (session) => {
      const source = new PostgresEnd(db, session);
      await assertIdle(source);
      const target = new SqliteTarget(file);
      try {
        const tables = await moveRows(source, target, (moved) => progress(cli, moved));
        const files = openLogFiles(join(home, "logs"), { clock: systemClock });
        const lines = await fetchLogs(shared.logs, files, runIds(target));
        await files.close();
        await target.finish();
        return { tables, objects, lines };
      } finally {
        await target.close();
      }
    });
  } finally {
    await shared.logs.close();
  }
}

function progress(cli: Cli, moved: Moved): void {
  if (moved.rows > 0) cli.out.say(`${moved.table}: ${counted(moved.rows, "row")}, the same on both sides`);
}

function tell(cli: Cli, from: string, to: string, { tables, objects, lines }: Summary): void {
  const { out } = cli;
  const rows = tables.reduce((sum, table) => sum + table.rows, 0);
  out.document("move", {
    from: shownDatabase(cli, from),
    to: shownDatabase(cli, to),
    tables,
    artifacts: objects,
    logLines: lines,
  });
  out.data(
    `moved ${count(rows)} rows of ${counted(tables.filter((table) => table.rows > 0).length, "table")}, ${counted(objects.objects, "artifact")} and ${counted(lines, "log line")} to ${shownDatabase(cli, to)}`,
  );
  for (const sha256 of objects.damaged) out.tell(`artifact ${sha256} is damaged and was left behind`);
  out.say(
    isPostgres(to)
      ? `The file is as it was: move it away, and give everybody the URL in TENUTO_DATABASE.`
      : "The database is as it was.",
  );
}
