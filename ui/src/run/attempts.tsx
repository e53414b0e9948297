/** All tries of a job, the newest first; two of them side by side show what has changed. */
import { useQuery } from "@tanstack/react-query";
import { address, call, type Job, jobPath, type LogPage, runPath, textOf } from "../api/client.ts";
import { plainText } from "../parts/ansi.tsx";
import { Changes, difference, JsonDiff } from "../parts/diff.tsx";
import { Empty, Loaded } from "../parts/screen.tsx";
import { Duration, durationText, exact } from "../parts/time.tsx";
import { useSearch, useSetSearch } from "../url.tsx";

type Attempt = Job["attempts"][number];

const MARKS = {
  running: "s-running",
  completed: "s-completed",
  failed: "s-failed",
  lost: "s-failed",
  stopped: "s-skipped",
};

export function Attempts({ job }: { job: Job }) {
  const list = [...job.attempts].sort((a, b) => b.number - a.number);
  if (list.length === 0)
    return <Empty title="It was not tried yet.">Each try is listed here with its worker, time and error.</Empty>;
  return (
    <div className="sections">
      {list.length > 1 && <Compare job={job} list={list} />}
      <ol className="attempts">
        {list.map((attempt, i) => (
          <One key={attempt.number} attempt={attempt} before={list[i + 1]} />
        ))}
      </ol>
    </div>
  );
}

function One({ attempt, before }: { attempt: Attempt; before: Attempt | undefined }) {
  const same = attempt.error !== null && before?.error != null && attempt.error.message === before.error.message;
  return (
    <li>
      <div className="attempt-line">
        <strong className="num">{attempt.number}</strong>
        <span className={MARKS[attempt.state]}>{attempt.state}</span>
        <Duration from={attempt.startedAt} to={attempt.endedAt} />
        <span className="dim mono clip">{attempt.worker ?? ""}</span>
      </div>
      <div className="dim">{exact(attempt.startedAt)}</div>
      {attempt.error !== null &&
        (same ? (
          <p className="dim">The same error as in attempt {before?.number}.</p>
        ) : (
          <div className="fault">
            <strong>{attempt.error.message}</strong>
            <div className="fault-foot">
              <code>{attempt.error.code}</code>
              <span>{attempt.error.category}</span>
            </div>
          </div>
        ))}
    </li>
  );
}

/** Which two are compared is in the address. */
function Compare({ job, list }: { job: Job; list: readonly Attempt[] }) {
  const search = useSearch();
  const set = useSetSearch();
  const find = (text: string | undefined) => list.find(({ number }) => String(number) === text);
  const [x, y] = [find(search["x"]), find(search["y"])];
  const choose = (name: "x" | "y", label: string, value: Attempt | undefined) => (
    <select
      aria-label={label}
      value={value?.number ?? ""}
      onChange={(event) => set({ [name]: event.target.value || undefined })}
    >
      <option value="">Attempt</option>
      {list.map(({ number, state }) => (
        <option key={number} value={number}>
          {number}, {state}
        </option>
      ))}
    </select>
  );
  return (
    <section>
      <div className="filters">
        <strong>Compare</strong>
        {choose("x", "One attempt", x)}
        <span className="dim">with</span>
        {choose("y", "Another attempt", y)}
        {x === undefined && y === undefined ? (
          <button
            type="button"
            onClick={() => set({ x: String(list[1]?.number ?? ""), y: String(list[0]?.number ?? "") })}
          >
            The last two
          </button>
        ) : (
          <button type="button" className="quiet" onClick={() => set({ x: undefined, y: undefined })}>
            Close
          </button>
        )}
      </div>
      {x !== undefined && y !== undefined && <Difference key={`${x.number} ${y.number}`} job={job} x={x} y={y} />}
    </section>
  );
}

const shown = ({ state, worker, error, startedAt, endedAt }: Attempt) => ({
  state,
  worker,
  took: endedAt === null ? "not ended" : durationText(Date.parse(endedAt) - Date.parse(startedAt)),
  error: error === null ? null : { ...error, stack: undefined },
});

function Difference({ job, x, y }: { job: Job; x: Attempt; y: Attempt }) {
  const isCommand = typeof job.spec === "object" && job.spec !== null && "command" in job.spec;
  return (
    <>
      <h3>How it ended</h3>
      <JsonDiff before={shown(x)} after={shown(y)} />
      <LinesOf job={job} x={x} y={y} />
      {isCommand && job.items === null && <OutputOf job={job} x={x} y={y} />}
    </>
  );
}

const LINES = 5_000;

function LinesOf({ job, x, y }: { job: Job; x: Attempt; y: Attempt }) {
  const lines = (attempt: number, signal: AbortSignal) =>
    call<LogPage>(address(runPath(job.run, "/logs"), { job: job.id, attempt, tail: LINES }), { signal });
  const query = useQuery({
    queryKey: ["job", job.run, job.id, "lines", x.number, y.number],
    queryFn: ({ signal }) => Promise.all([lines(x.number, signal), lines(y.number, signal)] as const),
  });
  const of = (page: LogPage) =>
    page.items.map(({ level, message }) => `${level === "INFO" ? "" : `${level} `}${plainText(message)}`).join("\n");
  return (
    <>
      <h3>Log</h3>
      <Loaded query={query}>{([before, after]) => <Changes list={difference(of(before), of(after))} />}</Loaded>
    </>
  );
}

const OUTPUT_BYTES = 262_144;

function OutputOf({ job, x, y }: { job: Job; x: Attempt; y: Attempt }) {
  const path = (attempt: number) => address(jobPath(job.run, job.id, "/output"), { attempt, tail: OUTPUT_BYTES });
  const query = useQuery({
    queryKey: ["job", job.run, job.id, "outputs", x.number, y.number],
    // An attempt that was lost before it wrote anything has none.
    queryFn: ({ signal }) =>
      Promise.all([x, y].map(({ number }) => textOf(path(number), signal).catch((error) => noneIfAbsent(error)))),
    retry: false,
  });
  return (
    <>
      <h3>Raw output</h3>
      <Loaded query={query}>{([a = "", b = ""]) => <Changes list={difference(plainText(a), plainText(b))} />}</Loaded>
    </>
  );
}

function noneIfAbsent(error: unknown): string {
  if ((error as { problem?: { status?: number } }).problem?.status === 404) return "";
  throw error;
}
