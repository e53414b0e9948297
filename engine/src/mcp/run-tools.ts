/**
 * Tools about runs and approvals: list, start, show, watch, decide, cancel, retry.
 *
 * Invariants: (1) a tool does what the command line's command of that name does, by the same calls; (2) a decision on an
 * approval names the hash of what was shown, so that nobody approves what they have not seen; (3) a watch never lasts longer
 * than it was asked to, and tells on the way where the client wants it.
 */
import * as z from "zod";
import { isRunEnd, type Json } from "../core/model.ts";
import type { RunRecord } from "../ports/ledger.ts";
import type { McpHost } from "./host.ts";
import { approvalFacts, runFacts, wholeRun } from "./run-facts.ts";
import { type Call, RUN, type Tool, tool } from "./tool.ts";

const MAX_WATCH_SECONDS = 600;
const NAMES = z.array(z.string().max(200)).max(200);

export function runTools(host: McpHost): Tool[] {
  return [
    listPipelines(host),
    listRuns(host),
    startRun(host),
    showRun(host),
    watchRun(host),
    ...ending(host),
    ...people(host),
  ];
}

const listPipelines = (host: McpHost) =>
  tool({
    name: "list_pipelines",
    title: "List pipelines",
    description: "Pipelines and stored templates that can be started, with the JSON Schema of their params.",
    input: z.strictObject({}),
    reads: true,
    run: async () => {
      const own = host.pipelines().map(({ document }) => document);
      const names = new Set(own.map((document) => document.name));
      const stored = (await host.templates()).filter((row) => !names.has(row.id));
      const documents = await Promise.all(stored.map(async (row) => (await host.template(row.id))?.document));
      const facts = [...own, ...documents.filter((document) => document !== undefined)].map((document) => ({
        name: document.name,
        template: !names.has(document.name),
        description: document.description ?? null,
        params: document.params ?? null,
        stages: document.stages.map((stage) => ({
          name: stage.name,
          jobs: stage.jobs.map((job) => job.id).slice(0, 100),
        })),
      }));
      return { pipelines: facts.sort((a, b) => (a.name < b.name ? -1 : 1)) };
    },
  });

const listRuns = ({ client }: McpHost) =>
  tool({
    name: "list_runs",
    title: "List runs",
    description: "Runs, the newest first.",
    input: z.strictObject({
      states: z.array(z.enum(["pending", "running", "waiting", "completed", "failed", "cancelled"])).optional(),
      pipeline: z.string().max(200).optional(),
      limit: z.int().min(1).max(200).default(20),
    }),
    reads: true,
    run: async ({ states, pipeline, limit }) => {
      const runs = await client.runs({
        limit,
        ...(states === undefined ? {} : { states }),
        ...(pipeline === undefined ? {} : { pipeline }),
      });
      return { runs: runs.map(runFacts) };
    },
  });

const startRun = (host: McpHost) =>
  tool({
    name: "start_run",
    title: "Start a run",
    description:
      "Starts a run of a pipeline or template and returns at once; watch_run waits for it. The same idempotencyKey never starts a second run.",
    input: z.strictObject({
      pipeline: z.string().min(1).max(200),
      params: z.record(z.string(), z.json()).default({}),
      idempotencyKey: z.string().min(1).max(255).optional(),
      priority: z.enum(["high", "normal", "low"]).optional(),
      excludeStages: NAMES.default([]).describe("Stages to leave out."),
      excludeJobs: NAMES.default([]).describe("Jobs to leave out; what needs them needs what they needed."),
    }),
    run: async ({ pipeline, params, idempotencyKey, priority, excludeStages, excludeJobs }) => {
      const handle = await host.start(pipeline, params, {
        exclude: { stages: excludeStages, jobs: excludeJobs },
        ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
        ...(priority === undefined ? {} : { priority }),
      });
      const note = (await host.works())
        ? null
        : "No worker is alive on this ledger: start `tenuto worker`, or this server with --work.";
      return {
        run: runFacts(await host.client.run(handle.id)),
        created: handle.created,
        queuedBehind: handle.queuedBehind,
        note,
      };
    },
  });

const showRun = (host: McpHost) =>
  tool({
    name: "show_run",
    title: "Show a run",
    description: "A run with its stages, jobs (failed ones first), outputs, errors and open approvals.",
    input: z.strictObject({ run: RUN }),
    reads: true,
    run: async ({ run }) => await wholeRun(host, run),
  });

const watchRun = (host: McpHost) =>
  tool({
    name: "watch_run",
    title: "Watch a run",
    description:
      "Waits until a run has ended, needs a person's decision, or the time is over; then shows it. `because` says which.",
    input: z.strictObject({ run: RUN, seconds: z.number().min(0).max(MAX_WATCH_SECONDS).default(30) }),
    reads: true,
    run: async ({ run, seconds }, call) => {
      const { id } = await host.client.run(run);
      const because = await watched(host, id, seconds * 1_000, call);
      return { because, ...(await wholeRun(host, id)) };
    },
  });

type Because = "ended" | "approval" | "time" | "cancelled";

function watched(host: McpHost, id: string, ms: number, call: Call): Promise<Because> {
  return new Promise((resolve, reject) => {
    let looking = false;
    let told = -1;
    const end = (because: Because | null, error?: unknown) => {
      for (const off of offs) off();
      if (because === null) reject(error);
      else resolve(because);
    };
    const look = async () => {
      if (looking) return;
      looking = true;
      try {
        const run = await host.client.run(id);
        if (isRunEnd(run.state)) return end("ended");
        const open =
          run.state === "waiting" && (await host.client.approvals({ run: id, state: "open", limit: 1 })).length > 0;
        if (open) return end("approval");
        const done = run.jobCount - run.openJobs;
        if (done > told) await call.progress(done, run.jobCount, `${run.state}: ${done} of ${run.jobCount} jobs`);
        told = done;
      } catch (error) {
        end(null, error);
      } finally {
        looking = false;
      }
    };
    const aborted = () => end("cancelled");
    call.signal.addEventListener("abort", aborted);
    const offs = [
      host.onChange(() => void look()),
      host.after(ms, () => end("time")),
      () => call.signal.removeEventListener("abort", aborted),
    ];
    void look();
  });
}

function ending({ client }: McpHost): Tool[] {
  const cancel = tool({
    name: "cancel_run",
    title: "Cancel a run",
    description: "Asks for the end of a run. It is `cancelled` once nothing of it is left running.",
    input: z.strictObject({ run: RUN, reason: z.string().max(1_000).optional() }),
    destructive: true,
    repeatable: true,
    run: async ({ run, reason }) => {
      const { id } = await client.run(run);
      const asked = await client.cancel(id, reason);
      return { asked, run: runFacts(await client.run(id)) };
    },
  });
  const retry = tool({
    name: "retry_run",
    title: "Retry a run",
    description: "Reopens a failed or cancelled run: only what did not complete runs again.",
    input: z.strictObject({ run: RUN }),
    run: async ({ run }) => {
      const { id } = await client.run(run);
      const { jobs } = await client.retry(id);
      return { jobs, run: runFacts(await client.run(id)) };
    },
  });
  return [cancel, retry];
}

function people({ client, ledger }: McpHost): Tool[] {
  const list = tool({
    name: "list_approvals",
    title: "List approvals",
    description: "What waits for a decision, with what is to be decided on, whole, and its hash.",
    input: z.strictObject({ run: RUN.optional() }),
    reads: true,
    run: async ({ run }) => {
      const open = await client.approvals({ state: "open", limit: 100, ...(run === undefined ? {} : { run }) });
      const runs = new Map<number, RunRecord | null>();
      for (const row of open) if (!runs.has(row.run)) runs.set(row.run, await ledger.run(row.run));
      return { approvals: open.map((row) => approvalFacts(row, runs.get(row.run)?.id ?? "")) };
    },
  });
  const decide = tool({
    name: "decide_approval",
    title: "Approve or reject",
    description:
      "Decides on an approval. `hash` is that of what was shown: a decision on something else is refused. Of several decisions one counts. Ask the person whom you work for before you decide in their name.",
    input: z.strictObject({
      approval: z.string().min(1).max(500),
      approve: z.boolean(),
      hash: z.string().min(8).max(64),
      reason: z.string().max(10_000).optional(),
      edited: z.json().optional().describe("Takes the place of what was shown, where that is editable."),
    }),
    destructive: true,
    run: async ({ approval, approve, hash, reason, edited }, call) => {
      const row = await client.decide(approval, {
        approve,
        hash,
        by: `mcp:${call.client}`.slice(0, 200),
        ...(reason === undefined ? {} : { reason }),
        ...(edited === undefined ? {} : { edited: edited as Json }),
      });
      return { approval: approvalFacts(row, (await ledger.run(row.run))?.id ?? "") };
    },
  });
  return [list, decide];
}
