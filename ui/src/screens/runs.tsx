/** All runs: live, filtered by the URL, with what can be done to several at once. */
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef, useState } from "react";
import type { RunCounts, RunListed, RunState, RunSummary } from "../api/client.ts";
import { asked, brief, counts, run as oneRun, type RunFilter, runs } from "../api/queries.ts";
import { StartOne, useHelpers } from "../parts/nobody.tsx";
import { Fault, Head, Loading, useTitle } from "../parts/screen.tsx";
import { Mark, State } from "../parts/state.tsx";
import { Ago, Duration, present } from "../parts/time.tsx";
import { Typed } from "../parts/typed.tsx";
import { useKeys } from "../shell/keys.ts";
import { useLook, useNarrow } from "../shell/look.ts";
import { useMay } from "../shell/role.ts";
import { A, type Search, useGo, useSearch, useSetSearch } from "../url.tsx";
import { Bulk } from "./bulk.tsx";
import { NoRuns } from "./no-runs.tsx";
import { Views } from "./views.tsx";

const STATES: RunState[] = ["running", "waiting", "pending", "failed", "completed", "cancelled"];
const SINCE: Record<string, [string, number]> = {
  "1h": ["Last hour", 3_600_000],
  "24h": ["Last day", 86_400_000],
  "7d": ["Last week", 7 * 86_400_000],
};

export function filterOf(search: Search): RunFilter {
  const since = SINCE[search["since"] ?? ""];
  // To the minute, so that the same list is not asked for under ever new names.
  const from = since === undefined ? undefined : new Date(Math.floor((present() - since[1]) / 60_000) * 60_000);
  return {
    state: search["state"],
    pipeline: search["pipeline"],
    q: search["q"],
    label: search["label"],
    from: from?.toISOString(),
  };
}

export function RunsScreen() {
  useTitle("Runs");
  const search = useSearch();
  const filter = useMemo(() => filterOf(search), [search]);
  const list = useInfiniteQuery(runs(filter));
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const rows = useMemo(() => list.data?.pages.flatMap((page) => page.items) ?? [], [list.data]);
  const may = useMay("operator");
  const count = useQuery(counts).data;
  const { nobody } = useHelpers((count?.running ?? 0) + (count?.pending ?? 0) > 0);
  const waiting = useQuery({ ...asked, enabled: (count?.openApprovals ?? 0) > 0 }).data;
  const approvals = useMemo(() => new Map(waiting), [waiting]);
  const isFiltered = Object.values(filter).some((value) => value !== undefined);
  return (
    <div className="screen fill">
      <Head title="Runs" under={<Filters />}>
        {may && (
          <A to="/templates" className="button primary">
            Start a run
          </A>
        )}
      </Head>
      {nobody && (
        <p className="warn">
          <strong>No worker is alive:</strong> what is running stands still. <StartOne />
        </p>
      )}
      {list.error !== null && list.data === undefined ? (
        <Fault error={list.error} again={() => void list.refetch()} />
      ) : list.data === undefined ? (
        <Loading lines={12} />
      ) : rows.length === 0 && !list.hasNextPage ? (
        <NoRuns filtered={isFiltered} />
      ) : (
        <RunRows
          rows={rows}
          nobody={nobody}
          approvals={approvals}
          selected={selected}
          select={setSelected}
          more={list.hasNextPage && !list.isFetchingNextPage ? () => void list.fetchNextPage() : null}
        />
      )}
      {may && selected.size > 0 && <Bulk rows={rows} selected={selected} clear={() => setSelected(new Set())} />}
    </div>
  );
}

function Filters() {
  const search = useSearch();
  const set = useSetSearch();
  const count = useQuery(counts).data;
  const known = useQuery(brief).data?.items ?? [];
  const chosen = new Set((search["state"] ?? "").split(",").filter((state) => state !== ""));
  const field = useRef<HTMLInputElement>(null);
  useKeys({ "/": () => field.current?.focus() });
  const toggle = (state: RunState) => {
    const next = new Set(chosen);
    if (!next.delete(state)) next.add(state);
    set({ state: [...next].join(",") || undefined });
  };
  return (
    <div className="filters">
      <fieldset className="chips">
        <legend className="hidden-text">States</legend>
        {STATES.map((state) => (
          <Chip key={state} state={state} count={count} pressed={chosen.has(state)} toggle={() => toggle(state)} />
        ))}
      </fieldset>
      <Typed name="q" label="Filter by run or pipeline" placeholder="Run or pipeline" field={field} />
      <select
        aria-label="Pipeline"
        value={search["pipeline"] ?? ""}
        onChange={(event) => set({ pipeline: event.target.value || undefined })}
      >
        <option value="">All pipelines</option>
        {known.map(({ name }) => (
          <option key={name}>{name}</option>
        ))}
        {search["pipeline"] !== undefined && !known.some(({ name }) => name === search["pipeline"]) && (
          <option>{search["pipeline"]}</option>
        )}
      </select>
      <select
        aria-label="Created"
        value={search["since"] ?? ""}
        onChange={(event) => set({ since: event.target.value || undefined })}
      >
        <option value="">Any time</option>
        {Object.entries(SINCE).map(([id, [title]]) => (
          <option key={id} value={id}>
            {title}
          </option>
        ))}
      </select>
      {search["label"] !== undefined && (
        <button type="button" className="quiet" onClick={() => set({ label: undefined })}>
          label {search["label"]} ✕
        </button>
      )}
      <Views />
    </div>
  );
}

interface ChipProps {
  state: RunState;
  count: RunCounts | undefined;
  pressed: boolean;
  toggle: () => void;
}

function Chip({ state, count, pressed, toggle }: ChipProps) {
  return (
    <button type="button" className="chip" aria-pressed={pressed} onClick={toggle}>
      <Mark state={state} />
      <span>{state}</span>
      <span className="num">{count === undefined ? "" : count[state].toLocaleString()}</span>
    </button>
  );
}

interface RowsProps {
  rows: readonly RunListed[];
  nobody: boolean;
  /** Runs that a person is to decide about, with the approval. */
  approvals: ReadonlyMap<string, string>;
  selected: ReadonlySet<string>;
  select: (ids: ReadonlySet<string>) => void;
  more: (() => void) | null;
}

function RunRows({ rows, nobody, approvals, selected, select, more }: RowsProps) {
  const box = useRef<HTMLDivElement>(null);
  const narrow = useNarrow();
  const { density } = useLook();
  const [at, setAt] = useState(-1);
  const go = useGo();
  const height = narrow ? 60 : density === "compact" ? 26 : 32;
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => box.current,
    estimateSize: () => height,
    overscan: 12,
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: measured anew when rows get another height
  useEffect(() => virtual.measure(), [height]);
  const shown = virtual.getVirtualItems();
  const last = shown.at(-1)?.index ?? 0;
  useEffect(() => {
    if (last >= rows.length - 30) more?.();
  }, [last, rows.length, more]);
  const toggle = (id: string) => {
    const next = new Set(selected);
    if (!next.delete(id)) next.add(id);
    select(next);
  };
  const move = (step: number) => {
    const next = Math.max(0, Math.min(rows.length - 1, at + step));
    setAt(next);
    virtual.scrollToIndex(next);
  };
  useKeys({
    j: () => move(1),
    k: () => move(-1),
    x: () => rows[at] !== undefined && toggle(rows[at].id),
    Enter: () => rows[at] !== undefined && go(`/runs/${rows[at].id}`),
    Escape: () => select(new Set()),
  });
  return (
    <div ref={box} className="rows runs" role="table" aria-label="Runs" aria-rowcount={rows.length + 1} tabIndex={0}>
      <div role="row" className="row row-head" aria-rowindex={1}>
        <span role="columnheader">
          <span className="hidden-text">Selected</span>
        </span>
        <span role="columnheader">State</span>
        <span role="columnheader">Run</span>
        <span role="columnheader">Pipeline</span>
        <span role="columnheader">Jobs</span>
        <span role="columnheader" className="right">
          Duration
        </span>
        <span role="columnheader" className="right">
          Created
        </span>
      </div>
      <div role="rowgroup" className="rows-inner" style={{ height: virtual.getTotalSize() }}>
        {shown.map(({ index, start, key }) => (
          <RunRow
            key={key}
            run={rows[index] as RunListed}
            index={index}
            top={start}
            height={height}
            nobody={nobody}
            approval={approvals.get((rows[index] as RunListed).id)}
            current={index === at}
            selected={selected.has((rows[index] as RunSummary).id)}
            toggle={toggle}
          />
        ))}
      </div>
    </div>
  );
}

interface RowProps {
  run: RunListed;
  index: number;
  top: number;
  height: number;
  nobody: boolean;
  approval: string | undefined;
  current: boolean;
  selected: boolean;
  toggle: (id: string) => void;
}

function RunRow({ run, index, top, height, nobody, approval, current, selected, toggle }: RowProps) {
  const labels = Object.entries(run.labels);
  return (
    <div
      role="row"
      className="row"
      aria-rowindex={index + 2}
      data-current={current}
      data-selected={selected}
      style={{ transform: `translateY(${top}px)`, height }}
    >
      <span role="cell" className="cell-check">
        <input type="checkbox" aria-label={`Select ${run.id}`} checked={selected} onChange={() => toggle(run.id)} />
      </span>
      <span role="cell" className="cell-state">
        <State state={run.state} />
      </span>
      <span role="cell" className="cell-run">
        <A to={`/runs/${run.id}`} className="mono clip" title={run.id}>
          {run.id}
        </A>
        {nobody && run.state === "running" && <span className="tag warn-tag">no worker</span>}
        {approval !== undefined && run.endedAt === null && (
          <A to="/approvals" search={{ id: approval }} className="tag warn-tag">
            waits for you
          </A>
        )}
        {run.dryRun && <span className="tag">dry run</span>}
        {run.relation !== null && <span className="tag">{run.relation}</span>}
        {labels.slice(0, 3).map(([name, value]) => (
          <A key={name} to="/" search={{ label: `${name}=${value}` }} className="tag" title={`${name}=${value}`}>
            {value === "" ? name : `${name}=${value}`}
          </A>
        ))}
        {run.state === "failed" && <Failure run={run} />}
      </span>
      <span role="cell" className="cell-pipeline">
        <A to="/" search={{ pipeline: run.pipeline }} className="clip plain" title={run.pipeline}>
          {run.pipeline}
        </A>
      </span>
      <span role="cell" className="cell-jobs">
        <Progress run={run} />
      </span>
      <span role="cell" className="right cell-duration">
        <Duration from={run.startedAt} to={run.endedAt} />
      </span>
      <span role="cell" className="right cell-created dim">
        <Ago at={run.createdAt} />
      </span>
    </div>
  );
}

const REST_MS = 700;

/**
 * Why it failed, in the row. Of one that has failed while the list is on the screen it is asked for alone, once the row has
 * come to rest: where many fail at once, rows pass by.
 */
function Failure({ run }: { run: RunListed }) {
  const known = run.failure !== undefined;
  const [rested, rest] = useState("");
  useEffect(() => {
    const timer = setTimeout(() => rest(run.id), REST_MS);
    return () => clearTimeout(timer);
  }, [run.id]);
  const { data } = useQuery({
    ...oneRun(run.id),
    enabled: !known && rested === run.id,
    staleTime: Number.POSITIVE_INFINITY,
  });
  const error = data === undefined || data.state !== "failed" ? null : data.error;
  const failure = known ? run.failure : error && { job: data?.firstFailure ?? "", message: error.message };
  if (failure == null) return null;
  return (
    <span className="clip dim cell-failure" title={failure.message}>
      {failure.job}: {failure.message}
    </span>
  );
}

/** Of runs that failed or were cancelled the list does not know which of the ended jobs completed. */
const ENDED_WELL: ReadonlySet<RunState> = new Set(["completed", "running", "waiting", "pending"]);

/** Jobs that have ended, those at work, and those that failed, as one bar. */
function Progress({ run }: { run: RunSummary }) {
  const { total, open, live, waiting, failed } = run.jobs;
  const done = total - open;
  const part = (count: number) => ({ width: `${total === 0 ? 0 : (100 * count) / total}%` });
  return (
    <span
      className="progress"
      title={`${done} of ${total} ended, ${live} at work, ${waiting} waiting, ${failed} failed`}
    >
      <span className="bar" aria-hidden="true">
        <i className={ENDED_WELL.has(run.state) ? "b-completed" : "b-skipped"} style={part(done - failed)} />
        <i className="b-failed" style={part(failed)} />
        <i className="b-running" style={part(live)} />
        <i className="b-waiting" style={part(waiting)} />
      </span>
      <span className="num dim">
        {done.toLocaleString()}/{total.toLocaleString()}
      </span>
    </span>
  );
}
