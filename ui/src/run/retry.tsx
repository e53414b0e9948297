/** Retries of a part of a run: one job, or some items of it. What is not chosen stays as it is. */
import { useQueryClient } from "@tanstack/react-query";
import { call, type Job, type Run, runPath } from "../api/client.ts";
import { counted } from "../parts/bytes.ts";
import { argument, CopyAs } from "../parts/copy.tsx";
import { Confirm } from "../parts/dialog.tsx";

interface RetryProps {
  run: Run;
  job: Job;
  close: () => void;
}

function useRetry(run: Run, body: object) {
  const client = useQueryClient();
  const path = runPath(run.id, "/retry");
  const send = { method: "POST" as const, body };
  const act = async () => {
    await call(path, send);
    await client.invalidateQueries();
  };
  return { path, send, act };
}

/** This job, and what was skipped because of it. */
export function RetryJob({ run, job, close }: RetryProps) {
  const { path, send, act } = useRetry(run, { jobs: [job.id] });
  return (
    <Confirm title={`Retry ${job.id}`} verb="Retry this job" close={close} act={act}>
      <p>
        This job runs again, then what was skipped because of it. Everything else that failed stays as it is.
        {job.items !== null && " Of its items only those run again that did not complete."}
      </p>
      <CopyAs cli={`tenuto runs retry ${argument(run.id)} --job ${argument(job.id)}`} path={path} send={send} />
    </Confirm>
  );
}

/** Some items; none named means all that did not complete. */
export function RetryItems({ run, job, close, ordinals, done }: RetryProps & { ordinals: number[]; done: () => void }) {
  const some = ordinals.length > 0;
  const body = some ? { items: [{ job: job.id, ordinals }] } : { jobs: [job.id] };
  const { path, send, act } = useRetry(run, body);
  const cli = some ? `--items ${argument(`${job.id}:${ordinals.join(",")}`)}` : `--job ${argument(job.id)}`;
  return (
    <Confirm
      title={some ? `Retry ${counted(ordinals.length, "item")} of ${job.id}` : `Retry items of ${job.id}`}
      verb="Retry"
      close={close}
      act={async () => {
        await act();
        done();
      }}
    >
      <p>
        {some
          ? "These items run again, then what was skipped because of this job. Other items stay as they are."
          : "Items that did not complete run again, then what was skipped because of this job."}{" "}
        Completed items are kept.
      </p>
      <CopyAs cli={`tenuto runs retry ${argument(run.id)} ${cli}`} path={path} send={send} />
    </Confirm>
  );
}
