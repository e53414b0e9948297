/**
 * The lines of a log that are on the screen: a window that grows at its end, live or by paging.
 *
 * Invariants: (1) lines are in the order of their numbers, none twice; (2) at most `MOST` are kept, the oldest go first.
 */
import { useCallback, useEffect, useRef, useState } from "react";
import { address, call, type LogLine, type LogPage, runPath } from "../api/client.ts";
import { live } from "../api/live.ts";

const PAGE = 2_000;
const MOST = 50_000;

export interface LogAsked {
  run: string;
  job?: string | undefined;
  level?: string | undefined;
  find?: string | undefined;
  /** Number of the line before the first one that is wanted. */
  since: number;
}

export interface LogState {
  lines: readonly LogLine[];
  /** More can be read now. */
  more: boolean;
  /** More may be written later. */
  live: boolean;
  error: unknown;
  loading: boolean;
}

const NOTHING: LogState = { lines: [], more: false, live: true, error: null, loading: true };

export function useLogLines(asked: LogAsked, follow: boolean): LogState & { read: () => void } {
  const { run, job, level, find, since } = asked;
  const [state, setState] = useState<LogState>(NOTHING);
  const last = useRef(since);
  const busy = useRef(false);
  const turn = useRef(0);

  const add = useCallback((lines: readonly LogLine[], rest: Partial<LogState>) => {
    setState((old) => {
      const seen = old.lines.at(-1)?.number ?? -1;
      const all = [...old.lines, ...lines.filter((line) => line.number > seen)];
      return { ...old, ...rest, loading: false, lines: all.length > MOST ? all.slice(all.length - MOST) : all };
    });
  }, []);

  const read = useCallback(async () => {
    if (busy.current) return;
    busy.current = true;
    const mine = turn.current;
    try {
      const query = { since: last.current, job, level, q: find, limit: PAGE };
      const page = await call<LogPage>(address(runPath(run, "/logs"), query));
      if (mine !== turn.current) return;
      last.current = Math.max(last.current, page.last);
      add(page.items, { more: page.next !== null, live: page.live, error: null });
    } catch (error) {
      if (mine === turn.current) setState((old) => ({ ...old, error, loading: false }));
    } finally {
      busy.current = false;
    }
  }, [run, job, level, find, add]);

  useEffect(() => {
    turn.current += 1;
    busy.current = false;
    last.current = since;
    setState(NOTHING);
    void read();
  }, [read, since]);

  const ready = !state.loading && !state.more && state.live && follow;
  useEffect(() => {
    if (!ready) return;
    // A search is asked for again; everything else comes by itself.
    if (find !== undefined) {
      const timer = setInterval(() => void read(), 2_000);
      return () => clearInterval(timer);
    }
    const topic = { topic: "log" as const, run, after: String(last.current), ...(job === undefined ? {} : { job }) };
    return live.follow(level === undefined ? topic : { ...topic, level: level as "INFO" }, {
      onFrame: (frame) => {
        if (frame.type !== "log") return;
        last.current = Math.max(last.current, Number(frame.cursor));
        add(frame.lines, {});
      },
      onGap: () => void read(),
    });
  }, [ready, run, job, level, find, read, add]);

  return { ...state, read: () => void read() };
}
