/** A new run like this one: whole with other params, or from a job on with another input. */
import { useState } from "react";
import { call, type Run, runPath, type Started } from "../api/client.ts";
import { argument, CopyAs, paramArguments } from "../parts/copy.tsx";
import { Confirm } from "../parts/dialog.tsx";
import { useGo } from "../url.tsx";

interface RerunProps {
  run: Run;
  close: () => void;
  /** From this job on, with its input as it was. */
  from?: { job: string; input: unknown };
}

export function Rerun({ run, close, from }: RerunProps) {
  const go = useGo();
  const before = JSON.stringify(from === undefined ? run.params : from.input, null, 2) ?? "null";
  const [text, setText] = useState(before);
  const [key] = useState(() => crypto.randomUUID());
  const path = runPath(run.id, "/rerun");
  let value: unknown;
  let fault = "";
  try {
    value = JSON.parse(text);
  } catch (error) {
    fault = error instanceof Error ? error.message : String(error);
  }
  const changed = text !== before && fault === "";
  const body =
    from === undefined ? (changed ? { params: value } : {}) : { from: from.job, ...(changed ? { input: value } : {}) };
  const act = async () => {
    if (fault !== "") throw new Error(fault);
    const { id } = await call<Started>(path, { method: "POST", body, key });
    go(`/runs/${id}`);
  };
  const other = !changed
    ? ""
    : from !== undefined
      ? ` --input ${argument(JSON.stringify(value))}`
      : typeof value === "object" && value !== null
        ? paramArguments(value as Record<string, unknown>)
        : "";
  const cli = `tenuto runs rerun ${argument(run.id)} --detach${from === undefined ? "" : ` --from ${argument(from.job)}`}${other}`;
  return (
    <Confirm
      title={from === undefined ? `Run ${run.id} again` : `Run again from ${from.job}`}
      verb="Start the run"
      close={close}
      act={act}
    >
      <p>
        {from === undefined
          ? "A new run of the same pipeline, linked to this one. All jobs run again, with their effects."
          : "A new run, linked to this one. This job and all that depend on it run again, with their effects; the others are answered from this run."}
      </p>
      <label className="field">
        <span>{from === undefined ? "Params" : "Input, in the place of the declared one"}</span>
        <textarea
          className="mono"
          rows={Math.min(16, Math.max(4, text.split("\n").length + 1))}
          spellCheck={false}
          value={text}
          onChange={(event) => setText(event.target.value)}
          aria-invalid={fault !== ""}
        />
        {fault !== "" && <span className="field-fault">{fault}</span>}
      </label>
      <CopyAs cli={cli} path={path} send={{ method: "POST", body }} />
    </Confirm>
  );
}
