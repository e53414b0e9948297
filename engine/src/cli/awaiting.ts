/** Notices when nothing but people's decisions is missing: the command line then ends instead of waiting for days. */
import type { RunSeq } from "../core/model.ts";
import type { ApprovalRow } from "../core/records.ts";
import type { Tenuto } from "../open.ts";
import type { RunRecord } from "../ports/ledger.ts";
import { EXIT } from "./failure.ts";
import type { Cli } from "./main.ts";
import { oneLine } from "./terminal.ts";

const WAITS_FOR_PEOPLE: ReadonlySet<string> = new Set(["approval", "children"]);

/** Resolves with the open approvals once every one of the runs has ended or waits for nothing but a decision. */
export function watchApprovals(
  tenuto: Tenuto,
  runs: readonly RunRecord[],
): { found: Promise<ApprovalRow[]>; stop: () => void } {
  const { ledger } = tenuto.engine.parts;
  const mine = new Set<RunSeq>(runs.map((run) => run.seq));
  let stop = () => {};
  let looking = false;
  const found = new Promise<ApprovalRow[]>((resolve) => {
    const look = async () => {
      if (looking || mine.size === 0) return;
      looking = true;
      const open = await openOnly(tenuto, mine).catch(() => null);
      looking = false;
      if (open !== null) resolve(open);
    };
    const off = [ledger.onCommit(() => void look()), ledger.onForeignWrite(() => void look())];
    stop = () => {
      for (const end of off) end();
    };
    void look();
  });
  return { found, stop };
}

/** The open approvals, if there are some and nothing else is to come; null otherwise. */
async function openOnly(tenuto: Tenuto, runs: ReadonlySet<RunSeq>): Promise<ApprovalRow[] | null> {
  const { ledger } = tenuto.engine.parts;
  const open: ApprovalRow[] = [];
  for (const seq of runs) {
    const run = await ledger.run(seq);
    if (run === null || run.endedAt !== null) continue;
    if (run.state !== "waiting") return null;
    const waiting = await ledger.jobs(seq, { states: ["waiting"] });
    if (waiting.some((job) => !WAITS_FOR_PEOPLE.has(job.reason ?? ""))) return null;
    open.push(...(await ledger.approvals({ run: seq, state: "open" })));
  }
  return open.length === 0 ? null : open;
}

/** Says what is to be decided and how; gives the exit code. */
export function tellAwaiting(cli: Cli, approvals: readonly ApprovalRow[], run: string | null): number {
  const { out } = cli;
  for (const approval of approvals)
    out.tell(
      `${out.paintTalk("yellow", "waiting for a decision:")} ${oneLine(approval.title)}`,
      `  look    tenuto approvals show ${approval.id}`,
      `  decide  tenuto approve ${approval.id}   (or: tenuto reject ${approval.id} --reason "…")`,
    );
  out.tell(`Then go on with: tenuto resume${run === null ? "" : ` ${run}`}`);
  out.document("awaiting", { awaiting: approvals.map((row) => ({ id: row.id, title: row.title, hash: row.hash })) });
  return EXIT.awaitingApproval;
}
