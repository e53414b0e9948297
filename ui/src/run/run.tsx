/** One run: how it is, what may be done with it, and its jobs as table, graph or timeline with one selection. */
import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { lazy, Suspense, useEffect, useMemo } from "react";
import type { GraphNode, Run, RunGraph } from "../api/client.ts";
import { artifacts, graph, lastGood, run as runQuery } from "../api/queries.ts";
import { useFollowRun } from "../api/sync.ts";
import { type Helpers, StartOne, useHelpers } from "../parts/nobody.tsx";
import { Fault, Loading, Unread, useTitle } from "../parts/screen.tsx";
import { State } from "../parts/state.tsx";
import { Tabs } from "../parts/tabs.tsx";
import { Ago, Duration } from "../parts/time.tsx";
import { useKeys } from "../shell/keys.ts";
import { useNarrow } from "../shell/look.ts";
import { A, useSearch, useSetSearch } from "../url.tsx";
import { Actions } from "./actions.tsx";
import { ArtifactList } from "./artifact-list.tsx";
import { Logs } from "./logs.tsx";
import { Panel } from "./panel.tsx";
import { Params } from "./params.tsx";
import { filled } from "./summaries.ts";
import { Table } from "./table.tsx";
import { Timeline } from "./timeline.tsx";

const Graph = lazy(() => import("../graph/graph.tsx"));
const VIEWS = ["table", "graph", "timeline", "logs", "artifacts", "about"] as const;

export function RunScreen() {
  const { run: id } = useParams({ strict: false }) as { run: string };
  useTitle(id);
  const query = useQuery(runQuery(id));
  useFollowRun(id, query.data?.event);
  if (query.data === undefined)
    return query.error === null ? (
      <Loading lines={10} />
    ) : (
      <Unread
        error={query.error}
        what="run"
        name={id}
        back={<A to="/">All runs</A>}
        again={() => void query.refetch()}
      />
    );
  return <Shown run={query.data} />;
}

function Shown({ run }: { run: Run }) {
  const search = useSearch();
  const set = useSetSearch();
  const narrow = useNarrow();
  const nodes = useQuery(graph(run.id));
  const whole = useMemo(() => nodes.data && filled(nodes.data, run.params), [nodes.data, run.params]);
  const made = useQuery(artifacts(run.id));
  const view = search["view"] ?? "table";
  // A failed run opens on its first failure; `-` means that the panel was closed.
  const first = run.state === "failed" && !narrow && view !== "logs" && view !== "about" ? run.firstFailure : null;
  const chosen = search["job"] ?? first;
  const job = chosen === "-" || chosen === null ? null : chosen;
  const choose = (next: string | null) => set({ job: next ?? "-", tab: undefined }, { push: true });
  useKeys({
    Escape: () => job !== null && choose(null),
    ...Object.fromEntries(VIEWS.map((name, i) => [String(i + 1), () => set({ view: name })])),
  });
  useEffect(() => {
    if (job !== null) document.getElementById("panel")?.scrollTo(0, 0);
  }, [job]);
  return (
    <div className="screen fill run" data-panel={job !== null}>
      <RunHead run={run} nodes={whole?.nodes ?? []} />
      <Tabs
        label="Views of this run"
        name="view"
        chosen={view}
        tabs={[
          { id: "table", title: "Table", count: run.jobs.total },
          { id: "graph", title: "Graph" },
          { id: "timeline", title: "Timeline" },
          { id: "logs", title: "Logs" },
          { id: "artifacts", title: "Artifacts", count: made.data?.items.length },
          { id: "about", title: "Params and details" },
        ]}
      />
      <div className="split">
        <div className="split-main">
          {view === "logs" ? (
            <Logs run={run.id} ended={run.endedAt !== null} />
          ) : view === "artifacts" ? (
            <ArtifactList run={run.id} />
          ) : view === "about" ? (
            <Params run={run} />
          ) : whole === undefined ? (
            nodes.error === null ? (
              <Loading lines={12} />
            ) : (
              <Fault error={nodes.error} again={() => void nodes.refetch()} />
            )
          ) : (
            <Jobs view={view} graph={whole} chosen={job} choose={choose} />
          )}
        </div>
        {job !== null && <Panel run={run} id={job} close={() => choose(null)} choose={choose} />}
      </div>
    </div>
  );
}

export interface ViewProps {
  graph: RunGraph;
  chosen: string | null;
  choose: (job: string | null) => void;
}

function Jobs({ view, ...props }: ViewProps & { view: string }) {
  if (view === "graph")
    return (
      <Suspense fallback={<Loading />}>
        <Graph {...props} />
      </Suspense>
    );
  return view === "timeline" ? <Timeline {...props} /> : <Table {...props} />;
}

function RunHead({ run, nodes }: { run: Run; nodes: readonly GraphNode[] }) {
  const narrow = useNarrow();
  const set = useSetSearch();
  const failure = run.firstFailure;
  const { nobody, missing } = useHelpers(run.endedAt === null && run.state === "running");
  return (
    <header className="head run-head">
      <div className="head-line">
        <h1>
          <State state={run.state} />
          <span className="mono clip">{run.id}</span>
        </h1>
        <div className="head-actions">
          <Actions run={run} />
        </div>
      </div>
      <Helpless nobody={nobody} missing={missing} nodes={nodes} />
      <p className="why" data-state={run.state} hidden={nobody}>
        {run.why}
        {failure !== null && (narrow || run.state !== "failed") && (
          <button type="button" className="quiet" onClick={() => set({ job: failure }, { push: true })}>
            Open {failure}
          </button>
        )}
      </p>
      <Stages run={run} nodes={nodes} />
      <div className="meta">
        <A to="/" search={{ pipeline: run.pipeline }}>
          {run.pipeline}
        </A>
        <span>
          <Duration from={run.startedAt} to={run.endedAt} />
        </span>
        <span>
          created <Ago at={run.createdAt} />
        </span>
        {run.dryRun && <span className="tag">dry run</span>}
        {run.origin !== null && (
          <span>
            {run.relation} of <A to={`/runs/${run.origin}`}>{run.origin}</A> ·{" "}
            <A to="/compare" search={{ a: run.origin, b: run.id }}>
              compare
            </A>
          </span>
        )}
        {run.state === "failed" && <LastGood run={run} />}
        {Object.entries(run.labels).map(([name, value]) => (
          <A key={name} to="/" search={{ label: `${name}=${value}` }} className="tag">
            {value === "" ? name : `${name}=${value}`}
          </A>
        ))}
      </div>
    </header>
  );
}

/** The last run of this pipeline that went well: what differs from it is often the cause. */
function LastGood({ run }: { run: Run }) {
  const good = useQuery(lastGood(run.pipeline, run.seq)).data;
  if (good == null) return null;
  return (
    <A to="/compare" search={{ a: good.id, b: run.id }}>
      Compare with {good.id}, the last that completed
    </A>
  );
}

/** Said where a run can't go on for want of a worker, whatever its state is called. */
function Helpless({ nobody, missing, nodes }: Helpers & { nodes: readonly GraphNode[] }) {
  const asked = new Set(nodes.filter(({ state }) => state === "ready").map(({ agent }) => agent));
  const unknown = missing.filter((agent) => asked.has(agent));
  if (nobody)
    return (
      <p className="why warn">
        <strong>No worker is alive:</strong> nobody works on it. <StartOne />
      </p>
    );
  if (unknown.length === 0) return null;
  return (
    <p className="warn">
      <strong>No worker that is alive has {unknown.join(", ")}:</strong> the jobs that ask for it wait.
    </p>
  );
}

/** How far a stage is beside what has ended: jobs at work, those of them that are done in part, those that wait. */
function atWork(nodes: readonly GraphNode[]): Map<number, { done: number; running: number; waiting: number }> {
  const stages = new Map<number, { done: number; running: number; waiting: number }>();
  for (const { stage, state, items } of nodes) {
    if (state !== "running" && state !== "waiting") continue;
    const sums = stages.get(stage) ?? { done: 0, running: 0, waiting: 0 };
    stages.set(stage, sums);
    const part =
      items === null || items.total === 0 ? 0 : (items.completed + items.failed + items.skipped) / items.total;
    sums.done += part;
    if (state === "running" || items !== null) sums.running += 1 - part;
    else sums.waiting += 1 - part;
  }
  return stages;
}

/** All stages as one bar: each as wide as it has jobs, filled by how they ended and by what is at work. */
function Stages({ run, nodes }: { run: Run; nodes: readonly GraphNode[] }) {
  const open = useMemo(() => atWork(nodes), [nodes]);
  const all = run.stages.reduce((sum, { total }) => sum + total, 0);
  return (
    <ol className="stages" aria-label="Stages">
      {run.stages.map((stage, i) => {
        const { done = 0, running = 0, waiting = 0 } = open.get(i) ?? {};
        const width = (count: number) => ({ width: `${stage.total === 0 ? 0 : (100 * count) / stage.total}%` });
        return (
          <li
            key={stage.name}
            style={{ flexGrow: all === 0 ? 1 : Math.max(1, (stage.total * 12) / all) }}
            title={`${stage.name}: ${stage.state}, ${stage.settled} of ${stage.total} ended`}
          >
            <span className="stage-name clip">
              <span className={`s-${stage.state}`}>{stage.name}</span>
              <span className="num dim">
                {stage.settled.toLocaleString()}/{stage.total.toLocaleString()}
              </span>
            </span>
            <span className="bar" aria-hidden="true">
              <i className="b-completed" style={width(stage.completed + done)} />
              <i className="b-failed" style={width(stage.failed)} />
              <i className="b-skipped" style={width(stage.skipped + stage.allowedFailures)} />
              <i className="b-cancelled" style={width(stage.cancelled)} />
              <i className="b-running" style={width(running)} />
              <i className="b-waiting" style={width(waiting)} />
            </span>
          </li>
        );
      })}
    </ol>
  );
}
