/** Cancels or retries several runs, and says before what that would do to each. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { type BulkResult, call, type RunSummary } from "../api/client.ts";
import { counted } from "../parts/bytes.ts";
import { argument, CopyAs } from "../parts/copy.tsx";
import { Confirm } from "../parts/dialog.tsx";
import { Loaded } from "../parts/screen.tsx";

type Action = "cancel" | "retry";
const PATH = "/api/run-actions";
const MOST = 200;

interface BulkProps {
  rows: readonly RunSummary[];
  selected: ReadonlySet<string>;
  clear: () => void;
}

export function Bulk({ selected, clear }: BulkProps) {
  const [action, setAction] = useState<Action | null>(null);
  const runs = [...selected].slice(0, MOST);
  return (
    <section className="bulk" aria-label="Selected runs">
      <strong>{counted(selected.size, "run")} selected</strong>
      {selected.size > MOST && <span className="dim">the first {MOST} are taken</span>}
      <button type="button" onClick={() => setAction("retry")}>
        Retry
      </button>
      <button type="button" className="danger" onClick={() => setAction("cancel")}>
        Cancel
      </button>
      <button type="button" className="quiet" onClick={clear}>
        Clear
      </button>
      {action !== null && <Ask action={action} runs={runs} close={() => setAction(null)} done={clear} />}
    </section>
  );
}

function Ask({ action, runs, close, done }: { action: Action; runs: string[]; close: () => void; done: () => void }) {
  const body = { action, runs };
  const preview = useQuery({
    queryKey: ["bulk", action, runs],
    queryFn: () => call<BulkResult>(PATH, { method: "POST", body: { ...body, preview: true } }),
    staleTime: 0,
    gcTime: 0,
  });
  const good = preview.data?.results.filter(({ ok }) => ok) ?? [];
  const act = async () => {
    await call<BulkResult>(PATH, { method: "POST", body: { action, runs: good.map(({ run }) => run) } });
    done();
  };
  const verb = action === "cancel" ? "Cancel" : "Retry";
  return (
    <Confirm
      title={`${verb} ${counted(runs.length, "run")}`}
      verb={`${verb} ${counted(good.length, "run")}`}
      danger={action === "cancel"}
      close={close}
      act={act}
    >
      <Loaded query={preview}>
        {({ results }) => (
          <ul className="plain-list">
            {results.map(({ run, ok, state, message }) => (
              <li key={run}>
                <code>{run}</code>{" "}
                {ok ? <span>{verb.toLowerCase()}</span> : <span className="dim">left: {message ?? state}</span>}
              </li>
            ))}
          </ul>
        )}
      </Loaded>
      <CopyAs
        cli={runs.map((run) => `tenuto runs ${action} ${argument(run)}`).join(" && ")}
        path={PATH}
        send={{ method: "POST", body }}
      />
    </Confirm>
  );
}
