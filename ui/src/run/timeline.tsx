/** Jobs of a run over time: queue thin, work thick, attempts one after the other, gaps folded, a line at now. */
import { useQuery } from "@tanstack/react-query";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useMemo, useRef } from "react";
import type { Event, GraphNode, RunGraph } from "../api/client.ts";
import { events } from "../api/queries.ts";
import { Empty } from "../parts/screen.tsx";
import { Mark } from "../parts/state.tsx";
import { durationText, useNow } from "../parts/time.tsx";
import { useSearch, useSetSearch } from "../url.tsx";
import { type Scale, type Span, scaleOf } from "./folds.ts";
import type { ViewProps } from "./run.tsx";
import { JobFilters, rowsOf } from "./table.tsx";

type Kind = "queue" | "run" | "items" | "wait" | "retry";
interface Bar extends Span {
  kind: Kind;
  state: string;
}

const MOST_EVENTS = 40_000;
const ROW = 28;

/** What each job was at, from its events. */
function barsByEvents(list: readonly Event[], graph: RunGraph, now: number): Map<string, Bar[]> {
  const bars = new Map<string, Bar[]>();
  const open = new Map<string, Bar>();
  const KIND: Record<string, Kind> = {
    "job.ready": "queue",
    "job.started": "run",
    "job.waiting": "wait",
    "job.retrying": "retry",
    "job.stopped": "queue",
    "job.lost": "queue",
  };
  // While a fan-out waits, its items are at work.
  const nodes = new Map(graph.nodes.map((node) => [node.id, node]));
  for (const { job, name, at } of list) {
    if (job === null) continue;
    const node = nodes.get(job);
    const kind = name === "job.waiting" && node?.items != null ? "items" : KIND[name];
    const end = /^job\.(completed|failed|skipped|cancelled)$/.exec(name)?.[1];
    if (kind === undefined && end === undefined) continue;
    const time = Date.parse(at);
    const before = open.get(job);
    if (before !== undefined) {
      before.to = time;
      if (before.kind === "items") before.state = end === "cancelled" ? end : "done";
      if (before.kind === "run") before.state = end ?? (kind === "wait" || kind === "items" ? "done" : "failed");
      open.delete(job);
    }
    if (kind === undefined) continue;
    const bar: Bar = { from: time, to: now, kind, state: kind === "run" || kind === "items" ? "running" : kind };
    open.set(job, bar);
    const all = bars.get(job);
    if (all === undefined) bars.set(job, [bar]);
    else all.push(bar);
  }
  return bars;
}

/** For runs with too many events: what the nodes themselves say. */
function barsByNodes(graph: RunGraph, now: number): Map<string, Bar[]> {
  const bars = new Map<string, Bar[]>();
  for (const node of graph.nodes) {
    const ready = node.readyAt === null ? null : Date.parse(node.readyAt);
    const started = node.startedAt === null ? null : Date.parse(node.startedAt);
    const ended = node.endedAt === null ? now : Date.parse(node.endedAt);
    const list: Bar[] = [];
    if (ready !== null && (started ?? ended) > ready)
      list.push({ from: ready, to: started ?? ended, kind: "queue", state: "queue" });
    if (started !== null) list.push({ from: started, to: Math.max(started, ended), kind: "run", state: node.state });
    if (list.length > 0) bars.set(node.id, list);
  }
  return bars;
}

export function Timeline({ graph, chosen, choose }: ViewProps) {
  const search = useSearch();
  const set = useSetSearch();
  const ended = graph.run.endedAt;
  const second = useNow();
  const now = ended === null ? second : Date.parse(ended);
  const few = graph.run.event <= MOST_EVENTS;
  const told = useQuery({ ...events(graph.run.id), enabled: few });
  const bars = useMemo(
    () => (few && told.data !== undefined ? barsByEvents(told.data, graph, now) : barsByNodes(graph, now)),
    [few, told.data, graph, now],
  );
  const fold = search["gaps"] !== "whole";
  const zoom = Math.min(64, Math.max(1, Number(search["zoom"] ?? 1) || 1));
  const scale = useMemo(() => scaleOf([...bars.values()].flat(), fold), [bars, fold]);
  const rows = useMemo(
    () => rowsOf(graph, { ...search, sort: "order" }).filter((node) => bars.has(node.id)),
    [graph, search, bars],
  );
  const setZoom = (next: number) => set({ zoom: next === 1 ? undefined : String(next) });
  return (
    <>
      <JobFilters graph={graph} rows={rows}>
        <button type="button" aria-label="Zoom out" disabled={zoom === 1} onClick={() => setZoom(zoom / 2)}>
          −
        </button>
        <span className="num">{zoom}×</span>
        <button type="button" aria-label="Zoom in" disabled={zoom >= 64} onClick={() => setZoom(zoom * 2)}>
          +
        </button>
        <label className="check">
          <input
            type="checkbox"
            checked={fold}
            onChange={(event) => set({ gaps: event.target.checked ? undefined : "whole" })}
          />
          Fold gaps
        </label>
      </JobFilters>
      {rows.length === 0 ? (
        <Empty title="Nothing has begun yet.">Bars appear here as soon as a job is ready.</Empty>
      ) : (
        <Bars rows={rows} bars={bars} scale={scale} zoom={zoom} live={ended === null} chosen={chosen} choose={choose} />
      )}
      <p className="note">
        <i className="key k-queue" /> in the queue <i className="key k-run" /> at work <i className="key k-items" />{" "}
        items at work <i className="key k-wait" /> waiting <i className="key k-retry" /> until it is tried again{" "}
        {scale.folds.length > 0 && "· ⋮ folded: nothing ran"}
      </p>
    </>
  );
}

interface BarsProps {
  rows: readonly GraphNode[];
  bars: ReadonlyMap<string, Bar[]>;
  scale: Scale;
  zoom: number;
  live: boolean;
  chosen: string | null;
  choose: (job: string) => void;
}

function Bars({ rows, bars, scale, zoom, live, chosen, choose }: BarsProps) {
  const box = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => box.current,
    estimateSize: () => ROW,
    overscan: 20,
  });
  const width = { width: `${zoom * 100}%` };
  const begin = scale.ticks[0]?.time ?? 0;
  return (
    <div ref={box} className="timeline" role="region" aria-label="Timeline" tabIndex={0}>
      <div className="timeline-wide" style={width}>
        <div className="timeline-axis" aria-hidden="true">
          {scale.ticks.map(({ at, time }) => (
            <span key={at} style={{ left: `${at}%` }}>
              +{durationText(time - begin)}
            </span>
          ))}
        </div>
        <div className="timeline-body" style={{ height: virtual.getTotalSize() }}>
          {scale.folds.map(({ at, ms }) => (
            <i key={at} className="fold" style={{ left: `${at}%` }} title={`${durationText(ms)} without work`} />
          ))}
          {live && <i className="now" title="Now" />}
          {virtual.getVirtualItems().map(({ index, start, key }) => {
            const node = rows[index] as GraphNode;
            return (
              <button
                key={key}
                type="button"
                className="timeline-row"
                data-selected={node.id === chosen}
                style={{ transform: `translateY(${start}px)` }}
                onClick={() => choose(node.id)}
                aria-label={`${node.id}, ${node.state}`}
              >
                {(bars.get(node.id) ?? []).map((bar) => (
                  <BarOf key={`${bar.from} ${bar.kind}`} bar={bar} scale={scale} />
                ))}
                <Label node={node} at={scale.at(bars.get(node.id)?.[0]?.from ?? 0)} />
              </button>
            );
          })}
        </div>
      </div>
    </div>
  );
}

function BarOf({ bar, scale }: { bar: Bar; scale: Scale }) {
  const left = scale.at(bar.from);
  const width = scale.at(bar.to) - left;
  return (
    <i
      className={`tbar k-${bar.kind} s-${bar.state}`}
      style={{ left: `${left}%`, width: `${width}%` }}
      title={`${titleOf(bar)}: ${durationText(bar.to - bar.from)}`}
    />
  );
}

function titleOf({ kind, state }: Bar): string {
  if (kind === "items") return "items at work";
  if (kind === "run") return state === "done" ? "at work, then it waited" : state;
  return { queue: "in the queue", wait: "waiting", retry: "until it is tried again" }[kind];
}

function Label({ node, at }: { node: GraphNode; at: number }) {
  const right = at > 60;
  return (
    <span className="timeline-label mono" style={right ? { right: `${100 - at}%` } : { left: `${at}%` }}>
      <Mark state={node.state} />
      {node.id}
      {node.summary !== null && <span className="dim">{node.summary}</span>}
    </span>
  );
}
