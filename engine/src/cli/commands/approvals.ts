/** `tenuto approvals list|show`, `tenuto approve`, `tenuto reject`. */
import { readFileSync } from "node:fs";
import { userInfo } from "node:os";
import { resolve } from "node:path";
import type { Json } from "../../core/model.ts";
import type { ApprovalRow } from "../../core/records.ts";
import { EXIT, usage } from "../failure.ts";
import { shortStamp } from "../figures.ts";
import type { Cli } from "../main.ts";
import { withLedger } from "../project.ts";
import { table } from "../table.ts";
import { oneLine, plainText } from "../terminal.ts";

export interface DecideOptions {
  reason?: string;
  by?: string;
  hash?: string;
  edit?: string;
}

export async function decide(cli: Cli, id: string, approve: boolean, options: DecideOptions): Promise<number> {
  const edited = options.edit === undefined ? undefined : editOf(cli, options.edit);
  return await withLedger(cli, async ({ client }) => {
    const row = await client.decide(id, {
      approve,
      by: options.by ?? userName(cli),
      reason: options.reason ?? null,
      hash: options.hash ?? null,
      ...(edited === undefined ? {} : { edited }),
    });
    const run = row.id.slice(0, row.id.indexOf(":"));
    cli.out.document("approval", { approval: documentOf(row) });
    cli.out.data(`${row.id}  ${row.state}`);
    cli.out.say(`If no worker is at it: tenuto resume ${run}`);
    return EXIT.ok;
  });
}

function userName(cli: Cli): string {
  try {
    return userInfo().username;
  } catch {
    // A user without an entry in the system's list, in containers for example.
    return cli.io.env.USER ?? "unknown";
  }
}

function editOf(cli: Cli, text: string): Json {
  try {
    return JSON.parse(text.startsWith("@") ? readFileSync(resolve(cli.io.cwd, text.slice(1)), "utf8") : text) as Json;
  } catch (error) {
    throw usage(`--edit can't be read: ${(error as Error).message}`, "Give JSON, or @FILE with JSON in it.");
  }
}

export async function approvalsList(cli: Cli, options: { run?: string; all?: boolean }): Promise<number> {
  return await withLedger(cli, async ({ client }) => {
    const { out } = cli;
    const everything = options.all === true || options.run !== undefined;
    const rows = await client.approvals({
      ...(options.run === undefined ? {} : { run: options.run }),
      ...(everything ? {} : { state: "open" as const }),
    });
    out.document("approvals", { approvals: rows.map(documentOf) });
    if (rows.length === 0) out.say(everything ? "No approvals." : "Nothing waits for a decision.");
    else
      out.data(
        ...table(
          [
            { title: "APPROVAL", shrink: true },
            { title: "STATE" },
            { title: "SINCE (UTC)" },
            { title: "EXPIRES (UTC)" },
            { title: "WHAT", shrink: true },
          ],
          rows.map((row) => [
            row.id,
            stateOf(row),
            shortStamp(row.createdAt),
            row.expiresAt === null ? "never" : shortStamp(row.expiresAt),
            oneLine(row.title),
          ]),
          out.paint,
          out.width,
        ),
      );
    return EXIT.ok;
  });
}

export async function approvalsShow(cli: Cli, id: string): Promise<number> {
  return await withLedger(cli, async ({ client }) => {
    const { out } = cli;
    const row = await client.approval(id);
    out.document("approval", { approval: documentOf(row) });
    out.data(
      `${row.id}  ${stateOf(row)}`,
      oneLine(row.title),
      `since    ${shortStamp(row.createdAt)}`,
      `expires  ${row.expiresAt === null ? "never" : shortStamp(row.expiresAt)}`,
      `hash     ${row.hash}`,
    );
    if (row.decidedBy !== null)
      out.data(`decided  by ${row.decidedBy}${row.reason === null ? "" : `: ${oneLine(row.reason)}`}`);
    out.data("", plainText(JSON.stringify(JSON.parse(row.shown), null, 2)));
    if (row.edited !== null) out.data("", "edited to", plainText(JSON.stringify(JSON.parse(row.edited), null, 2)));
    if (row.state === "open")
      out.say(
        "",
        `tenuto approve ${row.id} --hash ${row.hash.slice(0, 12)}${row.editable === 1 ? "   (--edit JSON puts something else in its place)" : ""}`,
      );
    return EXIT.ok;
  });
}

const stateOf = (row: ApprovalRow): string => (row.voided === 1 ? `${row.state}, void` : row.state);

export function documentOf(row: ApprovalRow): { [key: string]: Json } {
  const { shown, edited, editable, voided, run: _run, job: _job, ...rest } = row;
  return {
    ...rest,
    shown: JSON.parse(shown) as Json,
    edited: edited === null ? null : (JSON.parse(edited) as Json),
    editable: editable === 1,
    voided: voided === 1,
  };
}
