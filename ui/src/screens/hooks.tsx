/** Where signed messages come in and start runs. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { call, type Hook } from "../api/client.ts";
import { brief, hooks, session } from "../api/queries.ts";
import { Copy, CopyAs } from "../parts/copy.tsx";
import { Confirm } from "../parts/dialog.tsx";
import { Json } from "../parts/json.tsx";
import { Empty, Loaded } from "../parts/screen.tsx";
import { A } from "../url.tsx";
import { curlCli, isAdmin, Secret } from "./webhooks.tsx";

export function Incoming() {
  const query = useQuery(hooks);
  const admin = isAdmin(useQuery(session).data);
  const [adding, add] = useState(false);
  const [made, setMade] = useState<Hook | null>(null);
  return (
    <>
      {admin && (
        <p>
          <button type="button" className="primary" onClick={() => add(true)}>
            Add a hook
          </button>
        </p>
      )}
      {made?.secret !== undefined && <Secret name={made.id} secret={made.secret} />}
      <Loaded query={query}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty title="No message starts a run.">
              A hook is an address to which others send signed messages; each one starts a run, with parts of the
              message as its params.
            </Empty>
          ) : (
            <ul className="cards">
              {items.map((one) => (
                <One key={one.id} one={one} admin={admin} secret={setMade} />
              ))}
            </ul>
          )
        }
      </Loaded>
      {adding && <HookForm close={() => add(false)} made={setMade} />}
    </>
  );
}

function One({ one, admin, secret }: { one: Hook; admin: boolean; secret: (made: Hook) => void }) {
  const [asked, ask] = useState<"change" | "rotate" | "remove" | null>(null);
  const client = useQueryClient();
  const path = `/api/hooks/${encodeURIComponent(one.id)}`;
  const read = () => client.invalidateQueries({ queryKey: ["hooks"] });
  const close = () => ask(null);
  const address = `${location.origin}${one.path}`;
  return (
    <li className="schedule" data-off={!one.enabled}>
      <div className="head-line">
        <h2>{one.id}</h2>
        {admin && (
          <div className="head-actions">
            <button type="button" onClick={() => ask("change")}>
              Change
            </button>
            <button type="button" onClick={() => ask("rotate")}>
              New secret
            </button>
            <button type="button" className="danger" onClick={() => ask("remove")}>
              Remove
            </button>
          </div>
        )}
      </div>
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
      {asked === "change" && <HookForm close={close} made={secret} one={one} />}
      {asked === "rotate" && (
        <Confirm
          title={`A new secret for ${one.id}`}
          verb="Make it"
          close={close}
          act={async () => {
            secret(await call<Hook>(`${path}/rotate`, { method: "POST" }));
            await read();
          }}
        >
          <p>For a day messages that are signed with the former secret count as well.</p>
          <CopyAs cli={curlCli("POST", `${path}/rotate`)} path={`${path}/rotate`} send={{ method: "POST" }} />
        </Confirm>
      )}
      {asked === "remove" && (
        <Confirm
          title={`Remove ${one.id}`}
          verb="Remove"
          danger
          close={close}
          act={async () => {
            await call(path, { method: "DELETE" });
            await read();
          }}
        >
          <p>Messages to {one.path} are refused from now on. Runs that it started stay.</p>
          <CopyAs cli={curlCli("DELETE", path)} path={path} send={{ method: "DELETE" }} />
        </Confirm>
      )}
    </li>
  );
}

function HookForm({ close, made, one }: { close: () => void; made: (hook: Hook) => void; one?: Hook }) {
  const client = useQueryClient();
  const known = useQuery(brief).data?.items ?? [];
  const [name, setName] = useState(one?.id ?? "");
  const [pipeline, setPipeline] = useState(one?.pipeline ?? "");
  const [enabled, setEnabled] = useState(one?.enabled ?? true);
  const [params, setParams] = useState(JSON.stringify(one?.params ?? {}, null, 2));
  const act = async () => {
    const body = { pipeline, enabled, params: JSON.parse(params) as unknown };
    made(await call<Hook>(`/api/hooks/${encodeURIComponent(name)}`, { method: "PUT", body }));
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
    </Confirm>
  );
}
