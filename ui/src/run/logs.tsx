/**
 * The log of a run or of jobs of it: opened at its end, coloured, searched, followed and paused, each line with an address,
 * copied clean.
 */
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useLayoutEffect, useRef, useState } from "react";
import { type LogLine, runPath } from "../api/client.ts";
import { Ansi, plainText } from "../parts/ansi.tsx";
import { argument, Copy } from "../parts/copy.tsx";
import { Empty, Fault, Loading } from "../parts/screen.tsx";
import { clock, exact } from "../parts/time.tsx";
import { Typed } from "../parts/typed.tsx";
import { useKeys } from "../shell/keys.ts";
import { useNarrow } from "../shell/look.ts";
import { useSearch, useSetSearch } from "../url.tsx";
import { LogJobs } from "./log-jobs.tsx";
import { type LogAsked, type LogState, useLogLines } from "./log-lines.ts";
import { Output } from "./output.tsx";

const AROUND = 100;
const NEAR_EDGE = 60;
const LINE = 20;

interface LogsProps {
  run: string;
  job?: string;
  ended: boolean;
}

export function Logs({ run, job, ended }: LogsProps) {
  const search = useSearch();
  const raw = job !== undefined && search["raw"] === "1";
  const line = Number(search["line"] ?? 0) || 0;
  const find = search["log"];
  const [follow, setFollow] = useState(line === 0 && !ended);
  const asked: LogAsked = {
    run,
    job,
    jobs: job === undefined ? search["of"] : undefined,
    level: search["level"],
    find,
    since: line === 0 ? null : Math.max(0, line - AROUND),
  };
  const state = useLogLines(asked, follow);
  return (
    <div className="logs">
      <Bar run={run} job={job} state={state} follow={follow} setFollow={setFollow} />
      {raw ? (
        <Output run={run} job={job} ended={ended} />
      ) : state.error !== null && state.lines.length === 0 ? (
        <Fault error={state.error} again={state.later} />
      ) : state.loading ? (
        <Loading lines={10} />
      ) : state.lines.length === 0 ? (
        <Nothing state={state} searched={find !== undefined || search["level"] !== undefined}>
          {job !== undefined && <Output run={run} job={job} ended={ended} />}
        </Nothing>
      ) : (
        <Lines
          key={`${run} ${job} ${search["of"]} ${search["level"]} ${find} ${line}`}
          state={state}
          follow={follow && state.live}
          stop={() => setFollow(false)}
          marked={line}
          find={find ?? ""}
          named={job === undefined}
        />
      )}
    </div>
  );
}

interface NothingProps {
  state: LogState;
  searched: boolean;
  /** What a program wrote, where nothing was logged beside it. */
  children: React.ReactNode;
}

function Nothing({ state, searched, children }: NothingProps) {
  if (state.above)
    return state.busy ? (
      <Loading lines={10} />
    ) : (
      <Empty title={`No line from ${state.first.toLocaleString()} on is like this.`}>
        <button type="button" onClick={state.earlier}>
          Look further back
        </button>
      </Empty>
    );
  if (!searched && children !== false) return children;
  return (
    <Empty title={searched ? "No line is like this." : "Nothing was logged."}>
      {state.live && "Lines appear here as they are written."}
      {!searched && " What programs write is with each job, in its log."}
    </Empty>
  );
}

/** Long lines are broken where there is little room, unless the address says otherwise. */
function useWrap(): boolean {
  const wrap = useSearch()["wrap"];
  const narrow = useNarrow();
  return wrap === undefined ? narrow : wrap === "1";
}

interface BarProps {
  run: string;
  job: string | undefined;
  state: LogState;
  follow: boolean;
  setFollow: (follow: boolean) => void;
}

function Bar({ run, job, state, follow, setFollow }: BarProps) {
  const search = useSearch();
  const set = useSetSearch();
  const field = useRef<HTMLInputElement>(null);
  useKeys({ "/": () => field.current?.focus(), f: () => setFollow(!follow) });
  const wrap = useWrap();
  const on = (name: string) => search[name] === "1";
  const box = (name: string, title: string) => (
    <label className="check">
      <input
        type="checkbox"
        checked={on(name)}
        onChange={(event) => set({ [name]: event.target.checked ? "1" : undefined })}
      />
      {title}
    </label>
  );
  return (
    <div className="filters">
      <Typed name="log" label="Search the log" placeholder="Search the log" also={{ line: undefined }} field={field} />
      {search["log"] !== undefined && <Found state={state} />}
      <select
        aria-label="Least level"
        value={search["level"] ?? ""}
        onChange={(event) => set({ level: event.target.value || undefined })}
      >
        <option value="">All levels</option>
        <option value="WARNING">Warnings and errors</option>
        <option value="ERROR">Errors</option>
      </select>
      {job === undefined && <LogJobs run={run} />}
      {state.live && (
        <button type="button" aria-pressed={follow} onClick={() => setFollow(!follow)}>
          {follow ? "Pause" : "Follow"}
        </button>
      )}
      {box("times", "Times")}
      <label className="check">
        <input type="checkbox" checked={wrap} onChange={(event) => set({ wrap: event.target.checked ? "1" : "0" })} />
        Wrap
      </label>
      {job !== undefined && box("raw", "Raw output")}
      <span className="spacer" />
      <button type="button" className="quiet" onClick={() => set({ line: "1" })}>
        Begin
      </button>
      <button type="button" className="quiet" onClick={() => set({ line: undefined })}>
        End
      </button>
      <Copy text={() => state.lines.map(({ message }) => plainText(message)).join("\n")}>Copy lines</Copy>
      <Copy text={`tenuto logs ${argument(run)}${job === undefined ? "" : ` ${argument(job)}`} --follow`}>
        Copy as CLI
      </Copy>
      <a className="button quiet" href={runPath(run, "/logs/raw")} download>
        Download
      </a>
    </div>
  );
}

function Found({ state }: { state: LogState }) {
  return (
    <output className="num dim" aria-live="polite">
      {state.lines.length.toLocaleString()}
      {state.above || state.below ? "+" : ""} found{state.busy && state.above ? ", looking" : ""}
    </output>
  );
}

interface LinesProps {
  state: LogState;
  follow: boolean;
  stop: () => void;
  marked: number;
  find: string;
  named: boolean;
}

/** Keeps what is seen where it is when lines come or go above it. */
function useKeptPlace(box: React.RefObject<HTMLDivElement | null>, lines: readonly LogLine[]): void {
  const before = useRef(lines);
  useLayoutEffect(() => {
    const old = before.current;
    before.current = lines;
    const [first, was] = [lines[0]?.number, old[0]?.number];
    if (box.current === null || first === undefined || was === undefined || first === was) return;
    const moved =
      first < was ? lines.findIndex(({ number }) => number >= was) : -old.findIndex(({ number }) => number >= first);
    box.current.scrollTop += moved * LINE;
  }, [box, lines]);
}

function Lines({ state, follow, stop, marked, find, named }: LinesProps) {
  const { lines, above, below, busy, earlier, later } = state;
  const search = useSearch();
  const box = useRef<HTMLDivElement>(null);
  const wrap = useWrap();
  const virtual = useVirtualizer({
    count: lines.length,
    getScrollElement: () => box.current,
    getItemKey: (index) => lines[index]?.number ?? index,
    estimateSize: () => LINE,
    overscan: 20,
  });
  useKeptPlace(box, lines);
  const seen = virtual.getVirtualItems();
  const top = seen[0]?.index ?? -1;
  const last = seen.at(-1)?.index ?? 0;
  const placed = useRef(false);
  const found = marked === 0 ? -1 : lines.findIndex(({ number }) => number === marked);
  useLayoutEffect(() => {
    if (follow || (!placed.current && marked === 0)) virtual.scrollToIndex(lines.length - 1, { align: "end" });
    placed.current = true;
  }, [follow, marked, lines.length, virtual]);
  const isThere = found >= 0;
  // biome-ignore lint/correctness/useExhaustiveDependencies: once for each address; not when lines come before it
  useLayoutEffect(() => {
    if (isThere) virtual.scrollToIndex(found, { align: "center" });
  }, [isThere, marked]);
  useEffect(() => {
    if (busy || !placed.current) return;
    if (below && last >= lines.length - NEAR_EDGE) later();
    else if (above && top >= 0 && top < NEAR_EDGE) earlier();
  }, [top, last, lines.length, above, below, busy, earlier, later]);
  return (
    <div
      ref={box}
      className="log"
      role="log"
      aria-label="Log"
      aria-live="off"
      tabIndex={0}
      data-wrap={wrap}
      onWheel={(event) => event.deltaY < 0 && follow && stop()}
      onKeyDown={(event) => /^(PageUp|ArrowUp|Home)$/.test(event.key) && follow && stop()}
    >
      <div className="log-inner" style={{ height: virtual.getTotalSize() }}>
        {seen.map(({ index, start, key }) => {
          const line = lines[index] as LogLine;
          return (
            <div
              key={key}
              ref={wrap ? virtual.measureElement : undefined}
              data-index={index}
              className="log-line"
              data-level={line.level}
              data-marked={line.number === marked}
              style={{ transform: `translateY(${start}px)` }}
            >
              <Line line={line} find={find} times={search["times"] === "1"} named={named} />
            </div>
          );
        })}
      </div>
    </div>
  );
}

function Line({ line, find, times, named }: { line: LogLine; find: string; times: boolean; named: boolean }) {
  const set = useSetSearch();
  const fields = line.fields === null ? "" : JSON.stringify(line.fields);
  return (
    <>
      <button
        type="button"
        className="log-number"
        tabIndex={-1}
        title={`${exact(line.at)}: address of this line`}
        onClick={() => set({ line: String(line.number) })}
      >
        {line.number}
      </button>
      {times && <span className="log-time">{clock(line.at)}</span>}
      {line.level !== "INFO" && <span className="log-level">{line.level === "ERROR" ? "error" : "warn"}</span>}
      {named && line.job !== null && (
        <button type="button" className="log-job" tabIndex={-1} onClick={() => set({ job: line.job ?? undefined })}>
          {line.job}
          {line.item === null ? "" : ` ${line.item}`}
        </button>
      )}
      <span className="log-text">
        <Ansi text={line.message} find={find} />
        {fields !== "" && <span className="dim"> {fields}</span>}
      </span>
    </>
  );
}
