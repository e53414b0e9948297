/**
 * How a job asks a person: opens the approval, or finds the one that it had opened before a crash, and waits without slot.
 *
 * Invariant: a decision counts only for what was shown when it was made. Shown anew with another content, it is asked anew.
 */
import type { ApprovalOptions, ApprovalOutcome } from "../core/agent.ts";
import { TenutoError } from "../core/errors.ts";
import type { Json } from "../core/model.ts";
import { checkPayload } from "../core/payload.ts";
import { canonicalJson } from "../core/pipeline.ts";
import type { ApprovalRow } from "../core/records.ts";
import type { Execution } from "./execution.ts";

const TITLE_CHARS = 500;
const MAX_SECONDS = 10 * 366 * 86_400;

/** @throws approval_rejected, approval_expired, invalid_input */
export async function askApproval<T = Json>(
  execution: Execution,
  key: string,
  options: ApprovalOptions,
): Promise<ApprovalOutcome<T>> {
  checkOptions(options);
  const shown = checkPayload(options.show ?? null, `what approval ${key} shows`).json;
  const opened = await execution.working(() => open(execution, key, options, shown));
  const row = await execution.decision(opened.id);
  if (row.state === "approved")
    return {
      value: JSON.parse(row.edited ?? row.shown) as T,
      edited: row.edited !== null,
      by: row.decidedBy ?? "",
      reason: row.reason,
    };
  const details = { approval: row.id, by: row.decidedBy, reason: row.reason };
  if (row.state === "expired")
    throw new TenutoError("approval_expired", `nobody decided on ${JSON.stringify(row.title)} in time`, {
      hint: "`tenuto runs retry` asks again.",
      details,
    });
  throw new TenutoError(
    "approval_rejected",
    `${row.decidedBy ?? "somebody"} rejected ${JSON.stringify(row.title)}${row.reason === null ? "" : `: ${row.reason}`}`,
    { hint: "`tenuto runs retry` asks again.", details },
  );
}

function checkOptions(options: ApprovalOptions): void {
  const { title, expiresSeconds: seconds } = options;
  if (typeof title !== "string" || title.trim() === "" || title.length > TITLE_CHARS)
    throw new TenutoError("invalid_input", `an approval needs a title of 1 to ${TITLE_CHARS} characters`);
  if (seconds !== undefined && !(typeof seconds === "number" && seconds > 0 && seconds <= MAX_SECONDS))
    throw new TenutoError("invalid_input", `expiresSeconds must be above 0 and at most ${MAX_SECONDS}, not ${seconds}`);
}

async function open(execution: Execution, key: string, options: ApprovalOptions, shown: string): Promise<ApprovalRow> {
  const { parts, facts } = execution;
  const hash = parts.hash(canonicalJson(JSON.parse(shown) as Json));
  const earlier = (await parts.ledger.approvals({ job: facts.job.seq })).filter((row) => row.key === key);
  const valid = earlier.find((row) => row.voided === 0 && row.hash === hash && row.state !== "cancelled");
  if (valid !== undefined) return valid;
  const number = earlier.length + 1;
  const createdAt = parts.clock.now();
  return await execution.openApproval({
    id: `${facts.run.id}:${facts.job.id}:${key}${number === 1 ? "" : `#${number}`}`,
    run: facts.run.seq,
    job: facts.job.seq,
    key,
    title: options.title,
    shown,
    hash,
    editable: options.editable === true ? 1 : 0,
    createdAt,
    expiresAt: options.expiresSeconds === undefined ? null : Math.ceil(createdAt + options.expiresSeconds * 1_000),
  });
}
