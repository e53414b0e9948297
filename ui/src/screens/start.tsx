/** Starts a run: params as a form or as JSON, checked by the server, never twice by accident. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { call, ProblemError, type Started } from "../api/client.ts";
import { run } from "../api/queries.ts";
import { argument, CopyAs, paramArguments } from "../parts/copy.tsx";
import { ParamsForm, type Schema } from "../parts/form.tsx";
import { Fault, Loading } from "../parts/screen.tsx";
import { useMay } from "../shell/role.ts";
import { useGo, useSearch, useSetSearch } from "../url.tsx";

interface StartProps {
  pipeline?: string;
  template?: string;
  version?: number | undefined;
  schema: unknown;
}

/** What was typed, if it is an object. */
export function objectIn(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}

/** With `from` in the URL: the params of another run, to begin with. */
export function Start(props: StartProps) {
  const from = useSearch()["from"];
  const origin = useQuery({ ...run(from ?? ""), enabled: from !== undefined });
  if (from !== undefined && origin.data === undefined && origin.error === null) return <Loading />;
  return <Form {...props} first={(origin.data?.params ?? {}) as Record<string, unknown>} />;
}

function Form({ pipeline, template, version, schema, first }: StartProps & { first: Record<string, unknown> }) {
  const search = useSearch();
  const set = useSetSearch();
  const go = useGo();
  const [params, setParams] = useState(first);
  const [text, setText] = useState<string | null>(null);
  const [dryRun, setDryRun] = useState(false);
  const [priority, setPriority] = useState("normal");
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const may = useMay("operator");
  const [key, setKey] = useState(() => crypto.randomUUID());
  const hasFields = typeof schema === "object" && schema !== null && "properties" in schema;
  const asJson = search["as"] === "json" || !hasFields;
  const typed = asJson && text !== null ? objectIn(text) : params;
  const body = {
    ...(template === undefined
      ? { pipeline }
      : { template, ...(version === undefined ? {} : { templateVersion: version }) }),
    params: typed ?? params,
    ...(priority === "normal" ? {} : { priority }),
    ...(dryRun ? { dryRun: true } : {}),
  };
  const start = async () => {
    setBusy(true);
    setError(null);
    try {
      if (typed === null) throw new Error('Params must be a JSON object, such as {"pages": 10}.');
      const { id } = await call<Started>("/api/runs", { method: "POST", body, key });
      go(`/runs/${id}`);
    } catch (caught) {
      // A refused request was not carried out: the next one is another.
      if (caught instanceof ProblemError && caught.problem.status >= 400) setKey(crypto.randomUUID());
      setError(caught);
      setBusy(false);
    }
  };
  const name = argument((template ?? pipeline) as string);
  const verb = template === undefined ? `run ${name}` : `templates start ${name}`;
  const options = [
    ...(template === undefined || version === undefined ? [] : [`--number ${version}`]),
    ...(priority === "normal" ? [] : [`--priority ${priority}`]),
    ...(dryRun ? ["--dry-run"] : []),
  ];
  return (
    <form
      className="start"
      aria-label="Start a run"
      onSubmit={(event) => {
        event.preventDefault();
        void start();
      }}
    >
      {hasFields && (
        <p className="note">
          <button type="button" className="quiet" onClick={() => set({ as: asJson ? undefined : "json" })}>
            {asJson ? "As a form" : "As JSON"}
          </button>
        </p>
      )}
      {asJson ? (
        <label className="field">
          <span>Params</span>
          <textarea
            className="mono"
            rows={10}
            spellCheck={false}
            value={text ?? JSON.stringify(params, null, 2)}
            onChange={(event) => setText(event.target.value)}
          />
        </label>
      ) : (
        <ParamsForm schema={schema as Schema} value={params} change={setParams} />
      )}
      <div className="field-row">
        <label className="field">
          <span>Priority</span>
          <select value={priority} onChange={(event) => setPriority(event.target.value)}>
            <option>high</option>
            <option>normal</option>
            <option>low</option>
          </select>
        </label>
        <label className="check">
          <input type="checkbox" checked={dryRun} onChange={(event) => setDryRun(event.target.checked)} />
          Dry run: plan what has effects outside
        </label>
      </div>
      {error !== null && <Fault error={error} />}
      <div className="decide-foot">
        <button type="submit" className="primary" disabled={busy || !may}>
          {busy ? "One moment" : dryRun ? "Start the dry run" : "Start the run"}
        </button>
        {!may && <span className="dim">Starting needs a token with the role operator.</span>}
        <span className="spacer" />
        <CopyAs
          cli={`tenuto ${[verb, "--detach", ...options].join(" ")}${paramArguments(typed ?? params)}`}
          path="/api/runs"
          send={{ method: "POST", body }}
        />
      </div>
    </form>
  );
}
