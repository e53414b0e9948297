/** The log of a run or a job: coloured, searched, followed and paused, each line with an address, copied clean. */
import { useVirtualizer } from "@tanstack/react-virtual";
import { useDeferredValue, useEffect, useRef, useState } from "react";
import { type LogLine, runPath } from "../api/client.ts";
import { Ansi, plainText } from "../parts/ansi.tsx";
import { argument, Copy } from "../parts/copy.tsx";
import { Empty, Fault, Loading } from "../parts/screen.tsx";
import { clock, exact } from "../parts/time.tsx";
import { useKeys } from "../shell/keys.ts";
import { useSearch, useSetSearch } from "../url.tsx";
import { type LogAsked, useLogLines } from "./log-lines.ts";
import { Output } from "./output.tsx";

const AROUND = 100;
const NEAR_END = 60;

interface LogsProps {
  run: string;
  job?: string;
  ended: boolean;
}

export function Logs({ run, job, ended }: LogsProps) {
  const search = useSearch();
  const raw = job !== undefined && search["raw"] === "1";
  const line = Number(search["line"] ?? 0) || 0;
  const find = useDeferredValue(search["log"]);
  const [follow, setFollow] = useState(line === 0 && !ended);
  const asked: LogAsked = { run, job, level: search["level"], find, since: Math.max(0, line - AROUND) };
  const state = useLogLines(asked, follow);
  return (
    <div className="logs">
      <Bar run={run} job={job} state={state} follow={follow} setFollow={setFollow} />
      {raw ? (
        <Output run={run} job={job} />
      ) : state.error !== null ? (
        <Fault error={state.error} again={state.read} />
      ) : state.loading ? (
        <Loading lines={10} />
      ) : state.lines.length === 0 ? (
        <Empty title={find === undefined ? "Nothing was logged." : "No line holds this."}>
          {state.live && "Lines appear here as they are written."}
        </Empty>
      ) : (
        <Lines
          lines={state.lines}
          more={state.more ? state.read : null}
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

interface BarProps {
  run: string;
  job: string | undefined;
  state: { lines: readonly LogLine[]; more: boolean; live: boolean };
  follow: boolean;
  setFollow: (follow: boolean) => void;
}

function Bar({ run, job, state, follow, setFollow }: BarProps) {
  const search = useSearch();
  const set = useSetSearch();
  const field = useRef<HTMLInputElement>(null);
  useKeys({ "/": () => field.current?.focus(), f: () => setFollow(!follow) });
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
      <input
        ref={field}
        type="search"
        className="filter-text"
        placeholder="Search the log"
        aria-label="Search the log"
        value={search["log"] ?? ""}
        onChange={(event) => set({ log: event.target.value || undefined, line: undefined })}
      />
      {search["log"] !== undefined && (
        <output className="num dim">
          {state.lines.length.toLocaleString()}
          {state.more ? "+" : ""} found
        </output>
      )}
      <select
        aria-label="Least level"
        value={search["level"] ?? ""}
        onChange={(event) => set({ level: event.target.value || undefined })}
      >
        <option value="">All levels</option>
        <option value="WARNING">Warnings and errors</option>
        <option value="ERROR">Errors</option>
      </select>
      {state.live && (
        <button type="button" aria-pressed={follow} onClick={() => setFollow(!follow)}>
          {follow ? "Pause" : "Follow"}
        </button>
      )}
      {box("times", "Times")}
      {box("wrap", "Wrap")}
      {job !== undefined && box("raw", "Raw output")}
      <span className="spacer" />
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

interface LinesProps {
  lines: readonly LogLine[];
  more: (() => void) | null;
  follow: boolean;
  stop: () => void;
  marked: number;
  find: string;
  named: boolean;
}

function Lines({ lines, more, follow, stop, marked, find, named }: LinesProps) {
  const search = useSearch();
  const box = useRef<HTMLDivElement>(null);
  const wrap = search["wrap"] === "1";
  const virtual = useVirtualizer({
    count: lines.length,
    getScrollElement: () => box.current,
    estimateSize: () => 20,
    overscan: 20,
  });
  const last = virtual.getVirtualItems().at(-1)?.index ?? 0;
  useEffect(() => {
    if (last >= lines.length - NEAR_END) more?.();
  }, [last, lines.length, more]);
  useEffect(() => {
    if (follow) virtual.scrollToIndex(lines.length - 1, { align: "end" });
  }, [follow, lines.length, virtual]);
  const found = marked === 0 ? -1 : lines.findIndex(({ number }) => number === marked);
  useEffect(() => {
    if (found >= 0) virtual.scrollToIndex(found, { align: "center" });
  }, [found, virtual]);
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
    >
      <div className="log-inner" style={{ height: virtual.getTotalSize() }}>
        {virtual.getVirtualItems().map(({ index, start, key }) => {
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
