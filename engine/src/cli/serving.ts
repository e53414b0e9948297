/**
 * What a server needs beside an open Tenuto: its key, the modes of its files, and what only the wiring can give it.
 *
 * Invariants: (1) a home that others may write to is refused; (2) the key is made once, is readable by its owner only, and is
 * in no ledger, backup or log.
 */

import { randomBytes } from "node:crypto";
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Pipeline } from "../authoring/define.ts";
import { parseParams } from "../authoring/params.ts";
import { assertRequirements } from "../authoring/requirements.ts";
import { TenutoError } from "../core/errors.ts";
import { type WebhookRow, webhookNotifier } from "../core/webhook.ts";
import { isPrivate } from "../executors/llm/tools/network.ts";
import type { Features } from "../http/index.ts";
import { Secrets } from "../http/webhooks/secrets.ts";
import { createNotifiers } from "../notify/create.ts";
import type { Tenuto } from "../open.ts";
import { lineageOf } from "../runtime/lineage.ts";
import { Notifiers } from "../runtime/notifier.ts";
import type { Params } from "../runtime/parts.ts";
import { checkpointOf } from "./checkpoint.ts";
import { factsOf } from "./report/facts.ts";
import { reportHtml } from "./report/html.ts";
import { reportMarkdown } from "./report/markdown.ts";

const KEY_BYTES = 32;
const OTHERS_WRITE = 0o022;

/** Makes the home private. @throws invalid_config where others may write */
export function secureHome(home: string): void {
  const { mode, uid } = statSync(home);
  const own = process.getuid?.();
  if (own === undefined) return;
  const shared = (mode & OTHERS_WRITE) !== 0;
  if (shared || uid !== own)
    throw new TenutoError(
      "invalid_config",
      shared ? `${home} may be written to by other users` : `${home} belongs to another user`,
      { hint: shared ? `Take that away: chmod go-w ${home}` : "Run the server as the user that owns the home." },
    );
  chmodSync(home, 0o700);
}

/** The key that webhooks are signed with; made when it is not there. */
export function serverKey(home: string): Uint8Array {
  const path = join(home, "server.key");
  if (!existsSync(path)) {
    try {
      const file = openSync(path, "wx", 0o600);
      writeSync(file, randomBytes(KEY_BYTES).toString("hex"));
      fsyncSync(file);
      closeSync(file);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
  }
  const key = Buffer.from(readFileSync(path, "utf8").trim(), "hex");
  if (key.length >= KEY_BYTES) return key;
  throw new TenutoError("invalid_config", `${path} does not hold a key`, {
    hint: "Remove it: another one is made. Receivers of webhooks then need their new secrets.",
  });
}

const ADDRESS_FILE = "server.json";

/** Where the server of a home listens, for commands that make links to it. */
export function rememberAddress(home: string, url: string): () => void {
  const path = join(home, ADDRESS_FILE);
  writeFileSync(path, JSON.stringify({ url, pid: process.pid }), { mode: 0o600 });
  return () => rmSync(path, { force: true });
}

export function recallAddress(home: string): string | null {
  try {
    return (JSON.parse(readFileSync(join(home, ADDRESS_FILE), "utf8")) as { url: string }).url;
  } catch {
    return null;
  }
}

/** The built dashboard of this package, if it has one. */
export function pagesFolder(): string | null {
  for (const place of ["../../../ui/dist", "../ui", "../../dist/ui"]) {
    const folder = fileURLToPath(new URL(place, import.meta.url));
    if (existsSync(join(folder, "index.html"))) return folder;
  }
  return null;
}

/** Sends to the webhooks that the ledger has; begun anew when they change. */
export class Webhooks {
  private readonly tenuto: Tenuto;
  private readonly secrets: Secrets;
  private readonly onFault: (error: unknown) => void;
  private readonly allowPrivate: boolean;
  private present: Notifiers | null = null;
  /** Those that were there before, with what is still on its way. */
  private readonly former = new Set<Promise<void>>();
  private last: Promise<void> = Promise.resolve();
  private stopped = false;

  constructor(
    tenuto: Tenuto,
    key: Uint8Array,
    onFault: (error: unknown) => void,
    options: { allowPrivate?: boolean } = {},
  ) {
    this.allowPrivate = options.allowPrivate === true;
    this.tenuto = tenuto;
    this.secrets = new Secrets(key);
    this.onFault = onFault;
  }

  /** Takes up the webhooks as they are now. */
  renew(): Promise<void> {
    this.last = this.last.then(() => this.begin()).catch(this.onFault);
    return this.last;
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await this.last;
    await Promise.allSettled([this.present?.stop(), ...this.former]);
  }

  /** What a former one has claimed it sends to its end; nobody waits for that. */
  private retire(): void {
    const stopped = (this.present?.stop() ?? Promise.resolve()).catch(this.onFault).finally(() => {
      this.former.delete(stopped);
    });
    this.former.add(stopped);
    this.present = null;
  }

  private async begin(): Promise<void> {
    this.retire();
    if (this.stopped) return;
    const { parts } = this.tenuto.engine;
    const rows = (await parts.ledger.webhooks()).filter((row) => row.enabled === 1);
    const notifiers = createNotifiers(
      rows.map((row) => this.specOf(row)),
      {
        env: {},
        isPrivate,
        seconds: () => Math.floor(parts.clock.now() / 1_000),
        say: () => {},
      },
    );
    if (notifiers.length === 0) return;
    this.present = new Notifiers(parts, notifiers);
    this.present.onFault = this.onFault;
    await this.present.start();
  }

  private specOf(row: WebhookRow) {
    const now = this.tenuto.engine.parts.clock.now();
    return {
      name: webhookNotifier(row.id),
      on: JSON.parse(row.occasions),
      ...(row.pipeline === null ? {} : { pipelines: [row.pipeline] }),
      everySeconds: row.intervalMs / 1_000,
      webhook: {
        url: row.url,
        secret: this.secrets.secrets("webhook", row, now),
        ...(this.allowPrivate ? { allowPrivate: true } : {}),
      },
    };
  }
}

/** What the server can do on this machine. */
export function featuresOf(tenuto: Tenuto, cwd: string, webhooks: Webhooks, allowCommands: boolean): Features {
  const { engine } = tenuto;
  return {
    start: async (known, params, options) => {
      if (known.document.requires !== undefined && known.document.requires.length > 0)
        assertRequirements(known.document, process.env, {
          cwd: known.folder ?? cwd,
          agents: new Set(engine.definitions.agentNames()),
          params: parseParams(known as unknown as Pipeline, params) as Params,
        });
      return await engine.client.startKnown(known, params, options);
    },
    report: async (run, format, mask) => {
      const facts = JSON.parse(mask(JSON.stringify(await factsOf(tenuto, run)))) as Awaited<ReturnType<typeof factsOf>>;
      if (format === "json") return JSON.stringify({ schema: "tenuto.report/1", ...facts });
      return format === "html" ? reportHtml(facts) : reportMarkdown(facts);
    },
    checkpoint: (run) => checkpointOf(tenuto, run),
    lineage: (artifact) => lineageOf(engine.parts.ledger, artifact),
    webhooksChanged: () => webhooks.renew(),
    isPrivate,
    allowCommands,
  };
}
