/** Where signed messages come in and start runs. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { call, type Hook } from "../api/client.ts";
import { brief, hooks } from "../api/queries.ts";
import { Copy, CopyAs } from "../parts/copy.tsx";
import { Confirm } from "../parts/dialog.tsx";
import { Json } from "../parts/json.tsx";
import { A } from "../url.tsx";
import { Endpoint, Endpoints } from "./endpoints.tsx";

export function Incoming() {
  return (
    <Endpoints<Hook>
      query={useQuery(hooks)}
      add="Add a hook"
      none="No message starts a run."
      about="A hook is an address to which others send signed messages; each one starts a run, with parts of the message as its params."
      form={(props) => <HookForm {...props} />}
    >
      {(one, secret) => <One key={one.id} one={one} secret={secret} />}
    </Endpoints>
  );
}

function One({ one, secret }: { one: Hook; secret: (made: Hook) => void }) {
  const address = `${location.origin}${one.path}`;
  return (
    <Endpoint
      kind="hooks"
      one={one}
      secret={secret}
      rotated="For a day messages that are signed with the former secret count as well."
      removed={`Messages to ${one.path} are refused from now on. Runs that it started stay.`}
      form={(close) => <HookForm close={close} made={secret} one={one} />}
    >
      <p className="meta">
        <code className="address">{address}</code>
        <Copy text={address}>Copy</Copy>
        <span>
          starts <A to={`/pipelines/${one.pipeline}`}>{one.pipeline}</A>
        </span>
        <A to="/" search={{ label: `hook=${one.id}` }}>
          runs that it started
        </A>
        {!one.enabled && <span className="tag">not enabled</span>}
      </p>
      <Json value={one.params} label={`Params of ${one.id}`} />
    </Endpoint>
  );
}

/** What would be sent; while the text is no JSON yet, nothing. */
function readable(bodyOf: () => unknown): unknown {
  try {
    return bodyOf();
  } catch {
    return {};
  }
}

function HookForm({ close, made, one }: { close: () => void; made: (hook: Hook) => void; one?: Hook }) {
  const client = useQueryClient();
  const known = useQuery(brief).data?.items ?? [];
  const [name, setName] = useState(one?.id ?? "");
  const [pipeline, setPipeline] = useState(one?.pipeline ?? "");
  const [enabled, setEnabled] = useState(one?.enabled ?? true);
  const [params, setParams] = useState(JSON.stringify(one?.params ?? {}, null, 2));
  const path = `/api/hooks/${encodeURIComponent(name)}`;
  const bodyOf = () => ({ pipeline, enabled, params: JSON.parse(params) as unknown });
  const act = async () => {
    made(await call<Hook>(path, { method: "PUT", body: bodyOf() }));
    await client.invalidateQueries({ queryKey: ["hooks"] });
  };
  return (
    <Confirm
      title={one === undefined ? "Add a hook" : `Change ${one.id}`}
      verb={one === undefined ? "Add" : "Change"}
      close={close}
      act={act}
    >
      {one === undefined && (
        <label className="field">
          <span>Name</span>
          <input required value={name} onChange={(event) => setName(event.target.value)} />
          <span className="dim">Part of its address: /hooks/{name === "" ? "name" : name}</span>
        </label>
      )}
      <label className="field">
        <span>Pipeline</span>
        <select required value={pipeline} onChange={(event) => setPipeline(event.target.value)}>
          <option value="">Choose</option>
          {[...new Set([...known.map((each) => each.name), ...(pipeline === "" ? [] : [pipeline])])].map((each) => (
            <option key={each}>{each}</option>
          ))}
        </select>
      </label>
      <label className="field">
        <span>Params</span>
        <textarea
          className="mono"
          rows={5}
          spellCheck={false}
          value={params}
          onChange={(event) => setParams(event.target.value)}
        />
        <span className="dim">
          Parts of the message: <code>{"{{ params.body.title }}"}</code>
        </span>
      </label>
      <label className="check">
        <input type="checkbox" checked={enabled} onChange={(event) => setEnabled(event.target.checked)} />
        Enabled
      </label>
      <CopyAs path={path} send={{ method: "PUT", body: readable(bodyOf) }} />
    </Confirm>
  );
}
