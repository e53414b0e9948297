/** What a person may do with a run, as buttons with words. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { call, type Run, runPath, type Started } from "../api/client.ts";
import { approvals } from "../api/queries.ts";
import { counted } from "../parts/bytes.ts";
import { argument, CopyAs } from "../parts/copy.tsx";
import { Confirm } from "../parts/dialog.tsx";
import { useKeys } from "../shell/keys.ts";
import { useMay } from "../shell/role.ts";
import { A, useGo } from "../url.tsx";
import { Rerun } from "./rerun.tsx";

type Asked = "cancel" | "retry" | "rerun" | "rollback" | null;

export function Actions({ run }: { run: Run }) {
  const [asked, ask] = useState<Asked>(null);
  const open = useQuery({ ...approvals("open", run.id), enabled: run.endedAt === null });
  const ended = run.endedAt !== null;
  const may = useMay("operator");
  const canRetry = may && (run.state === "failed" || run.state === "cancelled");
  const canCancel = may && !ended && run.cancelRequestedAt === null;
  useKeys({ r: () => canRetry && ask("retry"), c: () => canCancel && ask("cancel") });
  const close = () => ask(null);
  const waiting = open.data?.items ?? [];
  return (
    <>
      {waiting.length > 0 && !ended && (
        <A to="/approvals" search={{ id: waiting[0]?.id }} className="button primary">
          Decide {waiting.length === 1 ? "approval" : counted(waiting.length, "approval")}
        </A>
      )}
      {canRetry && (
        <button type="button" className="primary" onClick={() => ask("retry")}>
          {run.state === "failed" ? "Retry failed" : "Resume"}
        </button>
      )}
      {canCancel && (
        <button type="button" className="danger" onClick={() => ask("cancel")}>
          Cancel
        </button>
      )}
      {may && ended && (
        <button type="button" onClick={() => ask("rerun")}>
          Run again
        </button>
      )}
      {may && ended && run.relation !== "rollback" && !run.dryRun && run.undoable && (
        <button type="button" onClick={() => ask("rollback")}>
          Roll back
        </button>
      )}
      <a className="button" href={runPath(run.id, "/report?format=md")} target="_blank" rel="noreferrer">
        Report
      </a>
      {asked === "cancel" && <Cancel run={run} close={close} />}
      {asked === "retry" && <Retry run={run} close={close} />}
      {asked === "rollback" && <Rollback run={run} close={close} />}
      {asked === "rerun" && <Rerun run={run} close={close} />}
    </>
  );
}

interface AskProps {
  run: Run;
  close: () => void;
}

function useRead(run: Run): () => Promise<void> {
  const client = useQueryClient();
  return async () => {
    await client.invalidateQueries({ queryKey: ["run", run.id] });
  };
}

function Cancel({ run, close }: AskProps) {
  const read = useRead(run);
  const [reason, setReason] = useState("");
  const path = runPath(run.id, "/cancel");
  const send = { method: "POST" as const, body: reason === "" ? {} : { reason } };
  const act = async () => {
    await call(path, send);
    await read();
  };
  return (
    <Confirm title={`Cancel ${run.id}`} verb="Cancel the run" danger close={close} act={act}>
      <p>
        {counted(run.jobs.live, "job")} at work or ready {run.jobs.live === 1 ? "is" : "are"} ended with all processes;{" "}
        {counted(run.jobs.open, "open job")} will not run. A retry can resume it later.
      </p>
      <label className="field">
        <span>Reason</span>
        <input value={reason} onChange={(event) => setReason(event.target.value)} placeholder="Optional" />
      </label>
      <CopyAs
        cli={`tenuto runs cancel ${argument(run.id)}${reason === "" ? "" : ` --reason ${argument(reason)}`}`}
        path={path}
        send={send}
      />
    </Confirm>
  );
}

function Retry({ run, close }: AskProps) {
  const read = useRead(run);
  const path = runPath(run.id, "/retry");
  const send = { method: "POST" as const, body: {} };
  const act = async () => {
    await call(path, send);
    await read();
  };
  return (
    <Confirm title={`Retry ${run.id}`} verb="Retry" close={close} act={act}>
      <p>What failed, was cancelled or could not run because of it runs again. What completed is kept as it is.</p>
      <CopyAs cli={`tenuto runs retry ${argument(run.id)}`} path={path} send={send} />
    </Confirm>
  );
}

function Rollback({ run, close }: AskProps) {
  const go = useGo();
  const [typed, setTyped] = useState("");
  const path = runPath(run.id, "/rollback");
  const send = { method: "POST" as const, body: {} };
  const act = async () => {
    if (typed.trim() !== run.id) throw new Error("That is not the name of this run.");
    const { id } = await call<Started>(path, send);
    go(`/runs/${id}`);
  };
  return (
    <Confirm title={`Roll back ${run.id}`} verb="Roll back" danger close={close} act={act}>
      <p>A new run undoes what the jobs of this one did, in the opposite order, where they say how.</p>
      <label className="field">
        <span>
          Type <code>{run.id}</code> to go on
        </span>
        <input value={typed} onChange={(event) => setTyped(event.target.value)} autoComplete="off" />
      </label>
      <CopyAs cli={`tenuto runs rollback ${argument(run.id)}`} path={path} send={send} />
    </Confirm>
  );
}
