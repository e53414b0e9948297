/**
 * From live frames to what is kept: rows of lists are patched at once, whole answers are read again a little later.
 *
 * Invariants: (1) a burst of events costs one reading; the larger a run, the rarer; (2) after a gap everything that is on the
 * screen is read again.
 */
import type { InfiniteData } from "@tanstack/react-query";
import { useEffect } from "react";
import type { Event, JobState, Page, Run, RunGraph, RunListed, RunSummary } from "./client.ts";
import { live } from "./live.ts";
import { client, type RunFilter } from "./queries.ts";

/** At most one reading of a key in a while; the last call counts. */
const planned = new Map<string, ReturnType<typeof setTimeout>>();
export function readSoon(queryKey: readonly unknown[], afterMs = 400): void {
  const name = JSON.stringify(queryKey);
  if (planned.has(name)) return;
  planned.set(
    name,
    setTimeout(() => {
      planned.delete(name);
      void client.invalidateQueries({ queryKey });
    }, afterMs),
  );
}

function fits(run: RunSummary, filter: RunFilter): boolean {
  if (filter.from !== undefined && Date.parse(run.createdAt) < Date.parse(filter.from)) return false;
  if (filter.label !== undefined && !isLabelled(run, filter.label)) return false;
  if (filter.state !== undefined && !filter.state.split(",").includes(run.state)) return false;
  if (filter.pipeline !== undefined && run.pipeline !== filter.pipeline) return false;
  const text = filter.q?.toLowerCase();
  return text === undefined || run.id.toLowerCase().includes(text) || run.pipeline.toLowerCase().includes(text);
}

/** `name`, or `name=value`. */
function isLabelled({ labels }: RunSummary, wanted: string): boolean {
  const at = wanted.indexOf("=");
  const name = at < 0 ? wanted : wanted.slice(0, at);
  return Object.hasOwn(labels, name) && (at < 0 || labels[name] === wanted.slice(at + 1));
}

/**
 * Puts runs into all lists that are kept: each stands where the list of the server has it, the newest first. What no longer
 * fits a list leaves it; what has begun to fit comes in, if the list is read as far.
 */
export function patchRuns(changed: readonly RunSummary[]): void {
  if (changed.length === 0) return;
  const byId = new Map(changed.map((run) => [run.id, run]));
  for (const [key, data] of client.getQueriesData<InfiniteData<Page<RunListed>>>({ queryKey: ["runs"] })) {
    if (data === undefined) continue;
    const filter = key[1] as RunFilter;
    const seen = new Set<string>();
    const pages = data.pages.map((page) => ({
      ...page,
      items: page.items.flatMap((run) => {
        seen.add(run.id);
        const now = byId.get(run.id);
        if (now === undefined || now.event < run.event) return run;
        if (!fits(now, filter)) return [];
        return "failure" in run && now.state === "failed" && run.state === "failed"
          ? { ...now, failure: run.failure }
          : now;
      }),
    }));
    for (const run of changed) if (!seen.has(run.id) && fits(run, filter)) insert(pages, run);
    client.setQueryData(key, { ...data, pages });
  }
  for (const run of changed)
    client.setQueryData<Run>(["run", run.id], (old) =>
      old === undefined || old.event > run.event ? old : { ...old, ...run },
    );
}

/** Where its number belongs; below what is read it comes with the next page. */
function insert(pages: Page<RunListed>[], run: RunSummary): void {
  for (const page of pages) {
    const at = page.items.findIndex(({ seq }) => seq < run.seq);
    if (at < 0 && page.next !== null) continue;
    page.items.splice(at < 0 ? page.items.length : at, 0, run);
    return;
  }
}

const STATE_OF: Record<string, JobState> = {
  "job.ready": "ready",
  "job.started": "running",
  "job.waiting": "waiting",
  "job.retrying": "ready",
  "job.stopped": "ready",
  "job.lost": "ready",
  "job.completed": "completed",
  "job.failed": "failed",
  "job.skipped": "skipped",
  "job.cancelled": "cancelled",
};
const ENDS = new Set(["completed", "failed", "skipped", "cancelled"]);

/** States of nodes as the events say; whatever else has changed comes with the next reading. */
export function patchGraph(runId: string, run: RunSummary | undefined, events: readonly Event[]): number {
  const graph = client.getQueryData<RunGraph>(["graph", runId]);
  if (graph === undefined) return 0;
  const last = new Map<string, Event>();
  for (const event of events) if (event.job !== null && STATE_OF[event.name] !== undefined) last.set(event.job, event);
  client.setQueryData<RunGraph>(["graph", runId], {
    ...graph,
    run: run ?? graph.run,
    nodes: graph.nodes.map((node) => {
      const event = last.get(node.id);
      if (event === undefined || event.seq <= graph.run.event) return node;
      const state = STATE_OF[event.name] as JobState;
      return {
        ...node,
        state,
        readyAt: state === "ready" ? event.at : node.readyAt,
        startedAt: state === "running" ? (node.startedAt ?? event.at) : node.startedAt,
        endedAt: ENDS.has(state) ? event.at : null,
      };
    }),
  });
  return graph.nodes.length;
}

/** All runs, counts and the number of approvals follow the server. */
export function useFollowRuns(cursor: string | undefined): void {
  useEffect(() => {
    if (cursor === undefined) return;
    return live.follow(
      { topic: "runs", after: cursor },
      {
        onFrame: (frame) => {
          if (frame.type !== "events") return;
          patchRuns(frame.runs);
          const named = frame.events.map(({ name }) => name);
          if (named.some((name) => name.startsWith("run."))) readSoon(["counts"], 500);
          if (named.some((name) => name.startsWith("approval."))) {
            readSoon(["approvals"], 100);
            readSoon(["counts"], 100);
          }
        },
        onGap: () => void client.invalidateQueries(),
      },
    );
  }, [cursor]);
}

/** One run with its graph and open job. */
export function useFollowRun(id: string, from: number | undefined): void {
  const ready = from !== undefined;
  // biome-ignore lint/correctness/useExhaustiveDependencies: where it began does not matter once it follows
  useEffect(() => {
    if (!ready) return;
    return live.follow(
      { topic: "run", run: id, after: String(from) },
      {
        onFrame: (frame) => {
          if (frame.type !== "events") return;
          const size = patchGraph(id, frame.runs[0], frame.events);
          const wait = size > 3_000 ? 5_000 : size > 500 ? 1_500 : 300;
          patchRuns(frame.runs);
          for (const key of ["run", "job", "items", "artifacts"]) readSoon([key, id], 300);
          readSoon(["graph", id], wait);
          readSoon(["events", id], wait * 2);
        },
        onGap: () => {
          for (const key of ["run", "job", "items", "artifacts", "graph", "events"]) readSoon([key, id], 0);
        },
      },
    );
  }, [id, ready]);
}
