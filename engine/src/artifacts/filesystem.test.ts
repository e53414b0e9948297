import { spawn, spawnSync } from "node:child_process";
import { hash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { ArtifactStore } from "../ports/artifact-store.ts";
import { openFileStore } from "./filesystem.ts";
import { temporaryName } from "./leftovers.ts";

// The disk is shared with other tests, so the usual limit says nothing.
vi.setConfig({ testTimeout: 30_000 });

const CHILD = join(import.meta.dirname, "filesystem.child.ts");
/** More with TENUTO_KILLS, for the long tests. */
const KILLS = Number(process.env.TENUTO_KILLS ?? 40);

let root: string;
let store: ArtifactStore;
beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), "tenuto-store-"));
  store = await openFileStore(root);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const sha = (content: Uint8Array) => hash("sha256", content, "hex");
const fileOf = (sha256: string, below = root) => join(below, "objects", sha256.slice(0, 2), sha256.slice(2));

async function bytesOf(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function* pieces(content: Uint8Array, size: number): AsyncIterable<Uint8Array> {
  // One buffer for all pieces, as a careless producer would.
  const buffer = new Uint8Array(size);
  for (let at = 0; at < content.length; at += size) {
    const piece = content.subarray(at, at + size);
    buffer.set(piece);
    yield buffer.subarray(0, piece.length);
  }
}

/** All objects below a root, each checked to be whole. */
function wholeObjects(below: string): string[] {
  const found: string[] = [];
  for (const shard of readdirSync(join(below, "objects"))) {
    for (const rest of readdirSync(join(below, "objects", shard))) {
      const content = readFileSync(join(below, "objects", shard, rest));
      expect(sha(content)).toBe(shard + rest);
      expect(content.length).toBeGreaterThan(0);
      found.push(shard + rest);
    }
  }
  return found;
}

function damage(sha256: string, change: (content: Buffer) => Buffer): void {
  chmodSync(fileOf(sha256), 0o644);
  writeFileSync(fileOf(sha256), change(readFileSync(fileOf(sha256))));
}

describe("put and get", () => {
  it("gives back any bytes, given whole or in pieces of any size, and keeps them once", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(fc.nat(3_000), fc.constantFrom(1 << 20, (1 << 20) + 1, 3_000_001)),
        fc.integer({ min: 700, max: 400_000 }),
        fc.nat(),
        async (length, size, seed) => {
          const content = Buffer.alloc(length, `${seed} `);
          const whole = await store.put(content);
          expect(whole).toEqual({ sha256: sha(content), bytes: length });
          await store.remove(whole.sha256);
          expect(await store.put(pieces(content, size))).toEqual(whole);
          expect((await bytesOf(store.get(whole.sha256))).equals(content)).toBe(true);
          expect(await store.put(pieces(content, size))).toEqual(whole);
        },
      ),
      { numRuns: 30 },
    );
    expect(readdirSync(join(root, "tmp"))).toEqual([]);
  });

  it.each([
    ["a named pipe", (at: string) => spawnSync("mkfifo", [at]), "is no plain file"],
    ["a device without end", (at: string) => symlinkSync("/dev/zero", at), "is no plain file"],
    ["a folder", (at: string) => mkdirSync(at), "is no plain file"],
    ["nothing", () => undefined, "is not there"],
  ])("does not store %s", async (_, make, message) => {
    const at = join(root, "odd");
    make(at);
    await expect(store.putFile(at)).rejects.toMatchObject({
      code: "invalid_input",
      message: expect.stringContaining(`${at} ${message}`),
    });
    expect(readdirSync(join(root, "tmp"))).toEqual([]);
  });

  it("reads ranges, stores files, lists, finds and removes", async () => {
    const content = Buffer.from("abcdefghij".repeat(100_000));
    writeFileSync(join(root, "in.bin"), content);
    const object = await store.putFile(join(root, "in.bin"));
    expect(Buffer.from(await store.read(object.sha256, { start: 3, end: 7 })).toString()).toBe("defg");
    const range = { start: 5, end: 700_001 };
    expect((await bytesOf(store.get(object.sha256, range))).equals(content.subarray(5, 700_001))).toBe(true);
    expect(await bytesOf(store.get(object.sha256, { start: 4, end: 4 }))).toHaveLength(0);
    expect(readFileSync(await store.localPath(object.sha256)).equals(content)).toBe(true);
    const small = await store.put(Buffer.from("x"));
    const listed = [];
    for await (const { sha256, bytes } of store.list()) listed.push({ sha256, bytes });
    expect(listed).toEqual([object, small].sort((a, b) => (a.sha256 < b.sha256 ? -1 : 1)));
    await store.remove(small.sha256);
    await store.remove(small.sha256);
    expect(await store.has(small.sha256)).toBe(false);
    await expect(store.read(small.sha256, { start: 0, end: 1 })).rejects.toMatchObject({ code: "not_found" });
    await expect(bytesOf(store.get(small.sha256))).rejects.toMatchObject({ code: "not_found" });
    await expect(store.localPath(small.sha256)).rejects.toMatchObject({ code: "not_found" });
    await expect(store.has("../../etc/passwd")).rejects.toMatchObject({ code: "invalid_input" });
    await expect(store.read(object.sha256, { start: 2, end: 1 })).rejects.toMatchObject({ code: "invalid_input" });
  });

  it("makes one object of the same bytes put by many at once, through two stores", async () => {
    const other = await openFileStore(root);
    const content = Buffer.alloc(2_000_000, "same");
    await Promise.all(
      Array.from({ length: 12 }, (_, at) =>
        (at % 2 === 0 ? store : other).put(at % 3 === 0 ? content : pieces(content, 90_000)),
      ),
    );
    expect(wholeObjects(root)).toEqual([sha(content)]);
    expect(readdirSync(join(root, "tmp"))).toEqual([]);
  });

  it("leaves nothing when the producer fails, and tells the producer when the store stops", async () => {
    let closed = false;
    async function* failing() {
      try {
        for (let at = 0; ; at++) {
          if (at === 30) throw new Error("producer broke");
          yield Buffer.alloc(100_000, at);
        }
      } finally {
        closed = true;
      }
    }
    await expect(store.put(failing())).rejects.toThrow("producer broke");
    expect(closed).toBe(true);
    expect(readdirSync(join(root, "tmp"))).toEqual([]);
    expect(wholeObjects(root)).toEqual([]);
  });
});

describe("damage", () => {
  const changes: [string, (content: Buffer) => Buffer][] = [
    ["one flipped bit", (content) => Buffer.from(content.map((byte, at) => (at === 77_777 ? byte ^ 1 : byte)))],
    ["a cut", (content) => content.subarray(0, content.length - 1)],
    ["an empty file", () => Buffer.alloc(0)],
    ["a byte more", (content) => Buffer.concat([content, Buffer.alloc(1)])],
  ];
  it.each(changes)("finds %s at every kind of read, and the next put of good bytes mends it", async (_, change) => {
    const content = Buffer.alloc(200_000, "good bytes ");
    const { sha256 } = await store.put(content);
    damage(sha256, change);
    const fresh = await openFileStore(root);
    const corrupt = { code: "artifact_corrupt", details: { sha256, path: fileOf(sha256) } };
    await expect(bytesOf(fresh.get(sha256))).rejects.toMatchObject(corrupt);
    await expect(fresh.read(sha256, { start: 0, end: 10 })).rejects.toMatchObject(corrupt);
    await expect(bytesOf(fresh.get(sha256, { start: 0, end: 10 }))).rejects.toMatchObject(corrupt);
    expect((await fresh.verify(sha256)).ok).toBe(false);
    const another = await openFileStore(root);
    await another.put(content);
    expect((await another.verify(sha256)).ok).toBe(true);
    expect((await bytesOf(fresh.get(sha256))).equals(content)).toBe(true);
  });

  it("mends a large object in the process that found it damaged", async () => {
    const content = Buffer.alloc(3_000_000, "large ");
    const { sha256 } = await store.put(content);
    damage(sha256, (bytes) => Buffer.from(bytes.map((byte, at) => (at === 2_500_000 ? byte ^ 8 : byte))));
    const fresh = await openFileStore(root);
    await expect(fresh.read(sha256, { start: 0, end: 1 })).rejects.toMatchObject({ code: "artifact_corrupt" });
    await fresh.put(pieces(content, 50_000));
    expect(Buffer.from(await fresh.read(sha256, { start: 0, end: 5 })).toString()).toBe("large");
  });
});

describe("temporary files", () => {
  it("of dead processes go at open; those of live ones, and young ones of other hosts, stay", async () => {
    const dead = spawnSync("true").pid;
    const live = temporaryName();
    const names = {
      live,
      dead: live.replace(`-${process.pid}-`, `-${dead}-`),
      reusedPid: live.replace(/^(\w+-\d+)-\d+/, "$1-1"),
      foreignYoung: live.replace(/^\w{12}/, "0123456789ab"),
      foreignOld: live.replace(/^\w{12}/, "ba9876543210"),
    };
    for (const name of Object.values(names)) writeFileSync(join(root, "tmp", name), "half");
    utimesSync(join(root, "tmp", names.foreignOld), 1_000, 1_000);
    utimesSync(join(root, "tmp", names.live), 1_000, 1_000);
    await openFileStore(root);
    const reused = process.platform === "linux" ? [] : [names.reusedPid];
    expect(readdirSync(join(root, "tmp")).sort()).toEqual([names.live, names.foreignYoung, ...reused].sort());
  });

  it("of a put under way survive another open", async () => {
    async function* slow() {
      for (let at = 0; at < 20; at++) {
        if (at === 15) await openFileStore(root);
        yield Buffer.alloc(200_000, at);
      }
    }
    const object = await store.put(slow());
    expect(wholeObjects(root)).toEqual([object.sha256]);
  });
});

describe("kill -9", () => {
  /** Starts the writer, kills it when `answers` puts have answered, gives the hashes of those that had. */
  function killedWriter(seed: number): Promise<string[]> {
    return new Promise((resolve, reject) => {
      const child = spawn(process.execPath, [CHILD, root, String(seed), "2500000"], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      const answers = 1 + ((seed * 7919) % 11);
      let text = "";
      child.stdout.on("data", (chunk) => {
        text += chunk;
        if (text.split("\n").length > answers) child.kill("SIGKILL");
      });
      child.on("error", reject);
      child.on("close", (_, signal) => {
        if (signal !== "SIGKILL") reject(new Error(`the writer ended by itself: ${text}`));
        else resolve(text.split("\n").slice(0, -1));
      });
    });
  }

  it(`leaves whole objects only, and all that were answered, in ${KILLS} kills`, { timeout: 60_000 }, async () => {
    let seed = 0;
    let leftovers = 0;
    const checked = new Set<string>();
    const chain = async () => {
      while (seed < KILLS) {
        const answered = await killedWriter(seed++);
        expect(answered.length).toBeGreaterThan(0);
        for (const sha256 of answered) expect(existsSync(fileOf(sha256))).toBe(true);
        leftovers += readdirSync(join(root, "tmp")).length;
      }
    };
    await Promise.all([chain(), chain()]);
    for (const sha256 of wholeObjects(root)) checked.add(sha256);
    expect(checked.size).toBeGreaterThan(KILLS);
    // Otherwise no kill came in the middle of a write, and the test shows nothing.
    expect(leftovers).toBeGreaterThan(KILLS / 10);
    await openFileStore(root);
    expect(readdirSync(join(root, "tmp"))).toEqual([]);
  });
});

describe("full disk", () => {
  const mount = ["-Urm", "sh", "-c", 'mount -t tmpfs -o size=3m tenuto "$1"', "sh", tmpdir()];
  const permitted = process.platform === "linux" && spawnSync("unshare", mount).status === 0;

  it.skipIf(!permitted)("is a critical disk_full, and leaves whole objects and no temporary file", () => {
    const script = 'mount -t tmpfs -o size=3m tenuto "$1" && "$2" "$3" "$1/store" 5 900000; cp -r "$1/store" "$4"';
    const full = mkdtempSync(join(root, "full-"));
    const copy = join(root, "copy");
    const child = spawnSync("unshare", ["-Urm", "sh", "-c", script, "sh", full, process.execPath, CHILD, copy], {
      encoding: "utf8",
    });
    const lines = child.stdout.trim().split("\n");
    const errors = lines.slice(-4).map((line) => JSON.parse(line));
    for (const error of errors) {
      const message = expect.stringContaining(`${full}/store`);
      expect(error).toMatchObject({ code: "disk_full", category: "critical", message });
    }
    const answered = lines.slice(0, -4);
    expect(answered.length).toBeGreaterThan(1);
    expect(wholeObjects(copy)).toEqual(expect.arrayContaining(answered));
    expect(readdirSync(join(copy, "tmp"))).toEqual([]);
  });
});
