/**
 * The lines of a log that are on the screen: a window that opens at the end of the log, or at a line, and grows both ways.
 *
 * Invariants: (1) lines are in the order of their numbers, none twice, and those in between that fit are all there; (2) at most
 * `MOST` are kept, those farthest from where it grew go first; (3) what is live is added only while the window holds the end.
 */
import { useCallback, useEffect, useRef, useState } from "react";
import { address, call, type LogLine, type LogPage, runPath } from "../api/client.ts";
import { live, useConnection } from "../api/live.ts";

const PAGE = 1_000;
const MOST = 50_000;
/** Pages that are asked for by themselves while a search finds nothing. */
const SEARCHED = 20;

export interface LogAsked {
  run: string;
  job?: string | undefined;
  /** Ids with commas between. */
  jobs?: string | undefined;
  level?: string | undefined;
  find?: string | undefined;
  /** Number of the line before the first one that is wanted; null opens at the end. */
  since: number | null;
}

interface Window {
  lines: readonly LogLine[];
  /** Numbers of the first and the last line that were looked at. */
  first: number;
  last: number;
  /** Later lines are there, and not in the window. */
  below: boolean;
  /** More may be written later. */
  live: boolean;
  error: unknown;
  loading: boolean;
}

export interface LogState extends Window {
  above: boolean;
  busy: boolean;
  earlier: () => void;
  later: () => void;
}

const NOTHING: Window = { lines: [], first: 1, last: 0, below: false, live: true, error: null, loading: true };

function joined(old: Window, page: LogPage, way: "up" | "down"): Window {
  if (way === "up") {
    const all = [...page.items, ...old.lines];
    const cut = all.length > MOST;
    const lines = cut ? all.slice(0, MOST) : all;
    return { ...old, lines, first: page.first, below: old.below || cut, last: cut ? lines.at(-1)!.number : old.last };
  }
  const seen = old.lines.at(-1)?.number ?? -1;
  const all = [...old.lines, ...page.items.filter(({ number }) => number > seen)];
  const lines = all.length > MOST ? all.slice(all.length - MOST) : all;
  return {
    ...old,
    lines,
    first: lines.length < all.length ? lines[0]!.number : old.first,
    last: Math.max(old.last, page.last),
    below: page.next !== null,
    live: page.live,
  };
}

export function useLogLines(asked: LogAsked, follow: boolean): LogState {
  const { run, job, jobs, level, find, since } = asked;
  const [state, setState] = useState<Window>(NOTHING);
  const [busy, setBusy] = useState(false);
  const present = useRef(state);
  const turn = useRef(0);
  const [tries, tryAgain] = useState(0);
  const connection = useConnection();
  const at = useRef<AbortController>(null);
  const become = useCallback((next: Window) => {
    present.current = next;
    setState(next);
  }, []);

  const ask = useCallback(
    (query: { tail: number; before?: number } | { since: number; limit: number }) =>
      call<LogPage>(address(runPath(run, "/logs"), { ...query, job, jobs, level, q: find }), {
        signal: at.current?.signal as AbortSignal,
      }),
    [run, job, jobs, level, find],
  );

  /** One reading after the other; what was asked for before another log was opened is dropped. */
  const read = useCallback(
    async (act: (isMine: () => boolean) => Promise<void>) => {
      const mine = turn.current;
      setBusy(true);
      try {
        await act(() => mine === turn.current);
      } catch (error) {
        if (mine === turn.current) become({ ...present.current, error, loading: false });
      } finally {
        if (mine === turn.current) setBusy(false);
      }
    },
    [become],
  );

  const earlier = useCallback(
    () =>
      void read(async (isMine) => {
        for (let turns = 0, found = 0; turns < SEARCHED && found === 0 && present.current.first > 1; turns++) {
          const page = await ask({ tail: PAGE, before: present.current.first });
          if (!isMine()) return;
          found = page.items.length;
          become({ ...joined(present.current, page, "up"), error: null });
        }
      }),
    [ask, read, become],
  );

  const later = useCallback(
    () =>
      void read(async (isMine) => {
        const page = await ask({ since: present.current.last, limit: PAGE });
        if (isMine()) become({ ...joined(present.current, page, "down"), error: null, loading: false });
      }),
    [ask, read, become],
  );

  // biome-ignore lint/correctness/useExhaustiveDependencies: read anew when it is tried again
  useEffect(() => {
    turn.current += 1;
    at.current?.abort();
    at.current = new AbortController();
    become(since === null ? NOTHING : { ...NOTHING, first: since + 1, last: since });
    if (since !== null) later();
    else
      void read(async (isMine) => {
        const page = await ask({ tail: PAGE });
        if (!isMine()) return;
        become({ ...NOTHING, lines: page.items, first: page.first, last: page.last, live: page.live, loading: false });
        if (page.items.length === 0 && page.first > 1) earlier();
      });
    return () => at.current?.abort();
  }, [since, ask, read, become, earlier, later, tries]);

  // What could not be read while the server was away is read when it is back; an error that it gives is not asked for again.
  useEffect(() => {
    if (connection !== "live" || present.current.error === null) return;
    if (present.current.lines.length === 0) tryAgain((count) => count + 1);
    else later();
  }, [connection, later]);

  const ready = !state.loading && !state.below && state.live && follow;
  useEffect(() => {
    if (!ready) return;
    // A search is asked for again; everything else comes by itself.
    if (find !== undefined || jobs !== undefined) {
      const timer = setInterval(later, 2_000);
      return () => clearInterval(timer);
    }
    const after = String(present.current.last);
    const topic = { topic: "log" as const, run, after, ...(job === undefined ? {} : { job }) };
    return live.follow(level === undefined ? topic : { ...topic, level: level as "INFO" }, {
      onFrame: (frame) => {
        if (frame.type !== "log") return;
        const page = { items: frame.lines, next: null, last: Number(frame.cursor), first: 1, live: true };
        become(joined(present.current, page, "down"));
      },
      onGap: later,
    });
  }, [ready, run, job, jobs, level, find, later, become]);

  return { ...state, above: state.first > 1, busy, earlier, later };
}
