/** Jobs of a run as rows: sorted and filtered by the URL, children below their parents, CSV and JSON. */
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef } from "react";
import type { GraphNode, RunGraph } from "../api/client.ts";
import { Empty } from "../parts/screen.tsx";
import { State } from "../parts/state.tsx";
import { Duration, present } from "../parts/time.tsx";
import { Typed } from "../parts/typed.tsx";
import { useKeys } from "../shell/keys.ts";
import { useLook, useNarrow } from "../shell/look.ts";
import { type Search, useSearch, useSetSearch } from "../url.tsx";
import type { ViewProps } from "./run.tsx";

const SORTS: Record<string, (a: GraphNode, b: GraphNode) => number> = {
  order: (a, b) => a.stage - b.stage || a.seq - b.seq,
  job: (a, b) => a.id.localeCompare(b.id),
  state: (a, b) => a.state.localeCompare(b.state) || a.seq - b.seq,
  attempt: (a, b) => b.attempt - a.attempt,
  duration: (a, b) => lasted(b) - lasted(a),
};

function lasted(node: GraphNode): number {
  if (node.startedAt === null) return -1;
  return (node.endedAt === null ? present() : Date.parse(node.endedAt)) - Date.parse(node.startedAt);
}

export function rowsOf(graph: RunGraph, search: Search): GraphNode[] {
  const text = search["find"]?.toLowerCase();
  const state = search["jobs"];
  const sort = SORTS[search["sort"] ?? "order"] ?? SORTS["order"];
  return graph.nodes
    .filter((node) => state === undefined || node.state === state)
    .filter((node) => text === undefined || `${node.id} ${node.agent}`.toLowerCase().includes(text))
    .sort(sort);
}

export function Table({ graph, chosen, choose }: ViewProps) {
  const search = useSearch();
  const narrow = useNarrow();
  const { density } = useLook();
  const box = useRef<HTMLDivElement>(null);
  const rows = useMemo(() => rowsOf(graph, search), [graph, search]);
  const height = narrow ? 52 : density === "compact" ? 26 : 32;
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => box.current,
    estimateSize: () => height,
    overscan: 16,
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: measured anew when rows get another height
  useEffect(() => virtual.measure(), [height]);
  const at = rows.findIndex((node) => node.id === chosen);
  const move = (step: number) => {
    const next = rows[Math.max(0, Math.min(rows.length - 1, at + step))];
    if (next === undefined) return;
    choose(next.id);
    virtual.scrollToIndex(rows.indexOf(next));
  };
  useKeys({ j: () => move(1), k: () => move(-1) });
  return (
    <>
      <JobFilters graph={graph} rows={rows} sortable />
      {rows.length === 0 ? (
        <Empty title={graph.nodes.length === 0 ? "This run has no jobs yet." : "No job is like this."} />
      ) : (
        <div
          ref={box}
          className="rows jobs"
          role="table"
          aria-label="Jobs"
          aria-rowcount={rows.length + 1}
          tabIndex={0}
        >
          <div role="row" className="row row-head" aria-rowindex={1}>
            {["State", "Job", "Stage", "Agent", "Progress"].map((title) => (
              <span key={title} role="columnheader">
                {title}
              </span>
            ))}
            <span role="columnheader" className="right">
              Duration
            </span>
          </div>
          <div role="rowgroup" className="rows-inner" style={{ height: virtual.getTotalSize() }}>
            {virtual.getVirtualItems().map(({ index, start, key }) => (
              <JobRow
                key={key}
                node={rows[index] as GraphNode}
                stage={graph.stages[(rows[index] as GraphNode).stage]?.name ?? ""}
                index={index}
                top={start}
                height={height}
                chosen={(rows[index] as GraphNode).id === chosen}
                choose={choose}
              />
            ))}
          </div>
        </div>
      )}
    </>
  );
}

interface RowProps {
  node: GraphNode;
  stage: string;
  index: number;
  top: number;
  height: number;
  chosen: boolean;
  choose: (job: string) => void;
}

function JobRow({ node, stage, index, top, height, chosen, choose }: RowProps) {
  const depth = node.parent === null ? 0 : node.id.split("/").length - 1;
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the button within takes the keys
    <div
      role="row"
      className="row"
      aria-rowindex={index + 2}
      data-selected={chosen}
      style={{ transform: `translateY(${top}px)`, height }}
      onClick={() => choose(node.id)}
    >
      <span role="cell" className="cell-state">
        <State state={node.state} />
      </span>
      <span role="cell" className="cell-run" style={{ paddingLeft: Math.min(depth, 6) * 12 }}>
        <button type="button" className="link mono clip" title={node.id}>
          {node.id}
        </button>
        {node.allowFailure && <span className="tag">may fail</span>}
        {wasRetried(node) && <span className="tag">attempt {node.attempt}</span>}
      </span>
      <span role="cell" className="clip dim cell-stage">
        {stage}
      </span>
      <span role="cell" className="clip mono dim cell-agent" title={node.agent}>
        {node.agent}
      </span>
      <span role="cell" className="cell-jobs">
        {node.items === null ? <Reason node={node} /> : <ItemBar node={node} />}
      </span>
      <span role="cell" className="right cell-duration">
        <Duration from={node.startedAt} to={node.endedAt} />
      </span>
    </div>
  );
}

/** A job that waits for its items or its children is taken up once more to collect what they gave: that is no retry. */
export function wasRetried({ attempt, kind, children }: GraphNode): boolean {
  return attempt > (kind === "single" && children === 0 ? 1 : 2);
}

const WORDS: Record<string, string> = {
  when: "its condition is not met",
  halted: "a critical error halted the run",
  deadlock: "it could never start",
  retries_exhausted: "all tries were used up",
  run_cancelled: "the run was cancelled",
  items: "waits for its items",
  children: "waits for its children",
  timer: "waits for a time",
  sleep: "waits for a time",
  approval: "waits for a person",
  retry: "is to be tried again",
  stopped: "its worker was stopped",
};

/** The stored word for a reason as a person reads it. */
function reasonText(reason: string | null): string {
  if (reason === null) return "";
  const at = reason.indexOf(":");
  const [word, subject] = at < 0 ? [reason, ""] : [reason.slice(0, at), reason.slice(at + 1)];
  const dependency = /^dependency_(\w+)$/.exec(word)?.[1];
  if (dependency !== undefined) return dependency === "skipped" ? `${subject} was skipped` : `${subject} ${dependency}`;
  if (word === "stage_failed") return `stage ${subject} failed`;
  if (word === "reused") return `answered from ${subject}`;
  return WORDS[word] ?? `${word.replaceAll("_", " ")}${subject === "" ? "" : ` ${subject}`}`;
}

function Reason({ node }: { node: GraphNode }) {
  const text = reasonText(node.reason);
  return (
    <span className="clip dim" title={text}>
      {text}
    </span>
  );
}

export function ItemBar({ node }: { node: Pick<GraphNode, "items"> }) {
  if (node.items === null) return null;
  const { total, completed, failed, skipped } = node.items;
  const part = (count: number) => ({ width: `${total === 0 ? 0 : (100 * count) / total}%` });
  return (
    <span className="progress" title={`${completed} completed, ${failed} failed, ${skipped} skipped of ${total} items`}>
      <span className="bar" aria-hidden="true">
        <i className="b-completed" style={part(completed)} />
        <i className="b-failed" style={part(failed)} />
        <i className="b-skipped" style={part(skipped)} />
      </span>
      <span className="num dim">
        {(completed + failed + skipped).toLocaleString()}/{total.toLocaleString()}
      </span>
    </span>
  );
}

interface FilterProps {
  graph: RunGraph;
  rows: readonly GraphNode[];
  sortable?: boolean;
  children?: React.ReactNode;
}

export function JobFilters({ graph, rows, sortable = false, children }: FilterProps) {
  const search = useSearch();
  const set = useSetSearch();
  const field = useRef<HTMLInputElement>(null);
  useKeys({ "/": () => field.current?.focus() });
  const states = [...new Set(graph.nodes.map((node) => node.state))].sort();
  return (
    <div className="filters">
      <Typed name="find" label="Filter by job or agent" placeholder="Job or agent" field={field} />
      <select
        aria-label="State"
        value={search["jobs"] ?? ""}
        onChange={(event) => set({ jobs: event.target.value || undefined })}
      >
        <option value="">All states</option>
        {states.map((state) => (
          <option key={state}>{state}</option>
        ))}
      </select>
      {sortable && (
        <select
          aria-label="Sorted by"
          value={search["sort"] ?? "order"}
          onChange={(event) => set({ sort: event.target.value === "order" ? undefined : event.target.value })}
        >
          {Object.keys(SORTS).map((name) => (
            <option key={name} value={name}>
              by {name}
            </option>
          ))}
        </select>
      )}
      {children}
      <span className="spacer" />
      <button
        type="button"
        className="quiet only-wide"
        onClick={() => save(`${graph.run.id}.csv`, csvOf(rows), "text/csv")}
      >
        CSV
      </button>
      <button
        type="button"
        className="quiet only-wide"
        onClick={() => save(`${graph.run.id}.json`, JSON.stringify(rows, null, 1), "application/json")}
      >
        JSON
      </button>
    </div>
  );
}

/** A cell that begins like a formula is text for the program that opens it. */
function cell(value: unknown): string {
  const text = value === null || value === undefined ? "" : String(value);
  return `"${(/^[=+@\t\r-]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
}

function csvOf(rows: readonly GraphNode[]): string {
  const columns = ["id", "state", "kind", "agent", "attempt", "reason", "readyAt", "startedAt", "endedAt"] as const;
  return [columns.join(","), ...rows.map((row) => columns.map((name) => cell(row[name])).join(","))].join("\r\n");
}

function save(name: string, text: string, type: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
