/** the gates at open: SQLite's version, pragmas, file systems, files that are not ledgers, read-only opening. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { checkVersion, connect, loadMigrations, openDatabase } from "./open.ts";

const fake = vi.hoisted(() => ({ type: null as number | null }));
vi.mock("node:fs", async (original) => {
  const real = await original<typeof import("node:fs")>();
  return {
    ...real,
    statfsSync: (path: string) => (fake.type === null ? real.statfsSync(path) : { type: fake.type }),
  };
});

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tenuto-open-"));
  path = join(folder, "ledger.db");
});
afterEach(() => {
  fake.type = null;
  rmSync(folder, { recursive: true, force: true });
});

const codeOf = (work: () => unknown): string | null => {
  try {
    work();
    return null;
  } catch (error) {
    return (error as { code: string }).code;
  }
};

describe("R-40: the version gate", () => {
  const refused = ["3.40.1", "3.46.0", "3.50.6", "3.51.0", "3.51.2", "3.7.0", "2.8.17"];
  const accepted = ["3.50.7", "3.50.99", "3.51.3", "3.52.0", "3.100.0", "4.0.0"];
  it.each(refused)("refuses %s", (version) => expect(codeOf(() => checkVersion(version))).toBe("sqlite_too_old"));
  it.each(accepted)("accepts %s", (version) => expect(codeOf(() => checkVersion(version))).toBeNull());
  it("accepts the SQLite that is installed", () => {
    const db = new Database(":memory:");
    const version = db.prepare("SELECT sqlite_version()").pluck().get();
    db.close();
    expect(codeOf(() => checkVersion(String(version)))).toBeNull();
  });
});

it("R-40: the pragmas of every connection", () => {
  openDatabase({ path }).close();
  const db = connect(path);
  const is = Object.fromEntries(
    ["journal_mode", "synchronous", "foreign_keys", "mmap_size", "busy_timeout", "auto_vacuum"].map((name) => [
      name,
      db.pragma(name, { simple: true }),
    ]),
  );
  db.close();
  expect(is).toEqual({
    journal_mode: "wal",
    synchronous: 2,
    foreign_keys: 1,
    mmap_size: 0,
    busy_timeout: 50,
    auto_vacuum: 2,
  });
});

describe("R-40: file systems on which SQLite's locks do not hold", () => {
  it.each([
    ["NFS", 0x6969],
    ["SMB", 0x517b],
    ["CIFS", 0xff534d42],
    ["SMB2", 0xfe534d42],
    ["9p", 0x01021997],
    ["drvfs", 0x53464846],
    // statfs gives signed numbers on some systems.
    ["CIFS, signed", 0xff534d42 | 0],
  ])("refuses %s and writes nothing", (_, type) => {
    fake.type = type;
    expect(codeOf(() => openDatabase({ path }))).toBe("unsupported_filesystem");
    expect(readdirSync(folder)).toEqual([]);
  });
  it("accepts ext4, xfs, btrfs, tmpfs, overlayfs", () => {
    for (const type of [0xef53, 0x58465342, 0x9123683e, 0x01021994, 0x794c7630]) {
      fake.type = type;
      openDatabase({ path }).close();
    }
  });
});

describe("files that are no ledger", () => {
  it("text is refused and left as it is", () => {
    const text = "not a database, but a letter to a friend ".repeat(200);
    writeFileSync(path, text);
    expect(codeOf(() => openDatabase({ path }))).toBe("ledger_corrupt");
    expect(readFileSync(path, "utf8")).toBe(text);
    expect(readdirSync(folder)).toEqual(["ledger.db"]);
  });
  it("a truncated ledger is refused", () => {
    openDatabase({ path }).close();
    writeFileSync(path, readFileSync(path).subarray(0, 9_000));
    expect(codeOf(() => openDatabase({ path }).prepare("SELECT count(*) FROM job").get())).not.toBeNull();
  });
  it("another program's database is refused, not one byte of it changed (R-52)", () => {
    for (const mode of ["delete", "wal"]) {
      const db = new Database(path);
      db.pragma(`journal_mode = ${mode}`);
      db.exec("CREATE TABLE IF NOT EXISTS photo (id INTEGER PRIMARY KEY); INSERT INTO photo DEFAULT VALUES");
      db.close();
      const before = readFileSync(path);
      expect(codeOf(() => openDatabase({ path }))).toBe("schema_unstamped");
      expect(readFileSync(path).equals(before)).toBe(true);
      expect(readdirSync(folder).filter((name) => name.includes("backup"))).toEqual([]);
    }
  });
  it("a newer ledger is refused, not one byte of it changed (R-52)", () => {
    const known = loadMigrations();
    const next = {
      number: known.length + 1,
      name: "next.sql",
      sql: "CREATE TABLE later (a INTEGER) STRICT",
      checksum: "c",
    };
    openDatabase({ path, migrations: [...known, next] }).close();
    const before = readFileSync(path);
    expect(codeOf(() => openDatabase({ path }))).toBe("schema_newer");
    expect(codeOf(() => openDatabase({ path, readOnly: true }))).toBe("schema_newer");
    expect(readFileSync(path).equals(before)).toBe(true);
  });
  it("a ledger whose migrations were edited is refused", () => {
    openDatabase({ path }).close();
    const edited = loadMigrations().map((migration) => ({ ...migration, checksum: "other" }));
    expect(codeOf(() => openDatabase({ path, migrations: edited }))).toBe("migration_failed");
  });
  it("read-only: a ledger that is not there is not made", () => {
    expect(codeOf(() => openDatabase({ path, readOnly: true }))).toBe("not_found");
    expect(readdirSync(folder)).toEqual([]);
  });
});
