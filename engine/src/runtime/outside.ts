/** Work that does not run in this thread: functions with `isolation: "thread"` and programs. */
import type { Agent, OfferedArtifact } from "../core/agent.ts";
import type { CommandSpec } from "../core/document.ts";
import { TenutoError } from "../core/errors.ts";
import { isDryRun, type Json } from "../core/model.ts";
import { expandText, type Scope } from "../core/placeholders.ts";
import type { ExecutionOutcome } from "../ports/executor.ts";
import { Execution } from "./execution.ts";
import { callModelAgent } from "./llm.ts";
import { type Offer, offerTo, recordUse, referencedHashes } from "./offer.ts";
import type { Parts } from "./parts.ts";
import type { AttemptScope } from "./scope.ts";
import type { AttemptHost } from "./work.ts";

export async function callOutside(
  host: AttemptHost,
  scope: AttemptScope,
  agent: Agent | null,
  input: Json,
  data: Scope,
): Promise<ExecutionOutcome> {
  const { run, job, item, attempt, resolved, workspace } = scope.facts;
  const { policy, spec } = resolved;
  if (agent?.kind === "function") {
    host.parts.files.ensure(workspace);
    const context = {
      runId: run.id,
      jobId: job.id,
      params: resolved.params,
      attempt,
      epoch: scope.lease.epoch,
      item,
      idempotencyKey: scope.idempotencyKey,
      workspace,
      dryRun: isDryRun(run),
    };
    scope.time.hold();
    return await host.parts.threads.run({
      agent: agent.name,
      module: agent.module ?? "",
      input,
      context,
      rules: policy.errors,
      timeoutMs: policy.timeoutMs,
      api: host.apiOf(scope),
      signal: scope.signal,
      started: () => scope.time.start(),
    });
  }
  if (agent?.kind === "llm") return { kind: "completed", output: await callModelAgent(host, scope, agent, input) };
  const command = agent?.kind === "command" ? agent.command : spec.command;
  if (command === undefined)
    throw new TenutoError("unknown_agent", `job ${job.id} needs agent ${spec.agent}, which this worker does not have`);
  return await runCommand(
    host,
    scope,
    expandCommand(command, { ...data, input } as Scope, job.id, resolved.definition.folder, host.parts),
    input,
  );
}

function expandCommand(command: CommandSpec, data: Scope, job: string, folder: string, parts: Parts): CommandSpec {
  const place = `command of job ${job}`;
  const expanded: CommandSpec = {
    ...command,
    argv: command.argv.map((part, index) => expandText(part, data, `${place}.argv[${index}]`)),
  };
  if (command.env !== undefined)
    expanded.env = Object.fromEntries(
      Object.entries(command.env).map(([name, value]) => [name, expandText(value, data, `${place}.env.${name}`)]),
    );
  if (command.cwd !== undefined)
    expanded.cwd = parts.files.resolve(folder, expandText(command.cwd, data, `${place}.cwd`));
  if (command.stdin !== undefined) expanded.stdin = expandText(command.stdin, data, `${place}.stdin`);
  return expanded;
}

async function runCommand(
  host: AttemptHost,
  scope: AttemptScope,
  command: CommandSpec,
  input: Json,
): Promise<ExecutionOutcome> {
  const { parts } = host;
  const { run, job, item, attempt, resolved, workspace } = scope.facts;
  // Not at once: each folder on disk may wait for a sync of the ledger, and all other jobs with it.
  await parts.files.make(workspace);
  const name = `${run.id}.${job.seq}.${attempt}${item === null ? "" : `.${item}`}`;
  // Links to artifacts must be on the store's disk.
  const memory = referencedHashes(input).next().done === true ? parts.commands.scratch(name) : null;
  const scratch = memory ?? (await parts.files.folder("scratch", name));
  const artifacts = await linkArtifacts(scope, input, scratch);
  const offer = await offerTo(scope, true);
  scope.stdout?.begin();
  const log = parts.logs.output(run.id, job.id, attempt, item, command.logBytes ?? 64 * 1024 * 1024);
  try {
    return await parts.commands.run({
      runId: run.id,
      jobId: job.id,
      owner: { job: job.seq, boot: scope.lease.boot },
      item,
      attempt,
      epoch: scope.lease.epoch,
      command,
      input,
      context: await contextOf(scope, offer),
      workspace,
      scratch,
      artifacts,
      output: (stream, chunk) => {
        log.write(stream, chunk);
        if (stream === "stdout") scope.stdout?.write(chunk);
      },
      timeoutMs: resolved.policy.timeoutMs,
      api: host.apiOf(scope),
      signal: scope.signal,
    });
  } finally {
    await log.close();
    await (memory === null ? parts.files.remove(scratch) : parts.commands.dropScratch(memory));
  }
}

/** What a program may want to know beside its input: who asked for it, what went before, what its children made of it. */
async function contextOf(scope: AttemptScope, offer: Offer): Promise<Json> {
  const { job, run, resolved, item } = scope.facts;
  const artifacts = offer.artifacts.map(inContext);
  const always = {
    artifacts: artifacts as unknown as Json,
    ...(offer.omitted > 0 ? { artifactsOmitted: true } : {}),
    ...(isDryRun(run) ? { dryRun: true } : {}),
  };
  const bare = artifacts.length === 0 && Object.keys(always).length === 1;
  if (!(scope instanceof Execution)) return bare ? null : always;
  const { round } = scope;
  const regression = resolved.spec.bindings?.context ?? null;
  const again = item === null && (job.attempt > 1 || job.failures > 0);
  const before = again ? await scope.parts.ledger.outcome(job.seq) : null;
  const previousError = before?.error == null ? null : (JSON.parse(before.error) as Json);
  if (bare && previousError === null && regression === null && round.number === 0) return null;
  const children = round.children.map((child) => ({
    ...child,
    artifacts: artifacts.filter((entry) => entry.job === child.id || entry.job.startsWith(`${child.id}/`)),
  }));
  return {
    ...always,
    attempt: job.attempt,
    failures: job.failures,
    round: round.number,
    previousError,
    regression: regression as unknown as Json,
    children: children as unknown as Json,
  };
}

function inContext({ $artifact, mediaType, ...rest }: OfferedArtifact) {
  return { ...rest, sha256: $artifact.replace(/^sha256:/, "") };
}

/** Objects that the input refers to, under their hashes, so that a program finds them as files. */
async function linkArtifacts(scope: AttemptScope, input: Json, scratch: string): Promise<string> {
  const { parts } = scope;
  const hashes = new Set(referencedHashes(input));
  if (hashes.size === 0) return scratch;
  const folder = `${scratch}/artifacts`;
  for (const hash of hashes) {
    await recordUse(scope, hash, "input");
    await parts.files.link(await parts.store.localPath(hash), folder, hash);
  }
  return folder;
}
