/** All tries of a job, the newest first; two of them side by side show what has changed. */
import type { Job } from "../api/client.ts";
import { Empty } from "../parts/screen.tsx";
import { Duration, exact } from "../parts/time.tsx";

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
    <ol className="attempts">
      {list.map((attempt, i) => {
        const before = list[i + 1];
        const same = attempt.error !== null && before?.error != null && attempt.error.message === before.error.message;
        return (
          <li key={attempt.number}>
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
      })}
    </ol>
  );
}
