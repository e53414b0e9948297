/** Schedules with their next five times; enable, disable, run now, add, remove. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { call, type Schedule, type Started } from "../api/client.ts";
import { brief, schedules, templates } from "../api/queries.ts";
import { argument, CopyAs, paramArguments } from "../parts/copy.tsx";
import { Confirm } from "../parts/dialog.tsx";
import { Json } from "../parts/json.tsx";
import { Empty, Fault, Head, Loaded, useTitle } from "../parts/screen.tsx";
import { Ago, exact } from "../parts/time.tsx";
import { useMay } from "../shell/role.ts";
import { A, useGo } from "../url.tsx";
import { objectIn } from "./start.tsx";

export function SchedulesScreen() {
  useTitle("Schedules");
  const query = useQuery(schedules);
  const [adding, add] = useState(false);
  const may = useMay("operator");
  return (
    <div className="screen">
      <Head title="Schedules">
        {may && (
          <button type="button" className="primary" onClick={() => add(true)}>
            Add a schedule
          </button>
        )}
      </Head>
      <Loaded query={query}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty title="No schedules yet.">
              A schedule starts a pipeline at times that a cron expression names, in a time zone.
            </Empty>
          ) : (
            <ul className="cards">
              {items.map((one) => (
                <One key={one.name} one={one} />
              ))}
            </ul>
          )
        }
      </Loaded>
      {adding && <Add close={() => add(false)} />}
    </div>
  );
}

function useAct(): [unknown, (act: () => Promise<unknown>) => Promise<void>] {
  const client = useQueryClient();
  const [error, setError] = useState<unknown>(null);
  const run = async (act: () => Promise<unknown>) => {
    setError(null);
    try {
      await act();
      await client.invalidateQueries({ queryKey: ["schedules"] });
    } catch (caught) {
      setError(caught);
    }
  };
  return [error, run];
}

function One({ one }: { one: Schedule }) {
  const [error, act] = useAct();
  const [asked, ask] = useState<"now" | "remove" | null>(null);
  const may = useMay("operator");
  const path = `/api/schedules/${encodeURIComponent(one.name)}`;
  const toggle = () => call(`${path}/${one.enabled ? "disable" : "enable"}`, { method: "POST" });
  const close = () => ask(null);
  return (
    <li className="schedule" data-off={!one.enabled}>
      <div className="head-line">
        <h2>{one.name}</h2>
        {may && (
          <div className="head-actions">
            <button type="button" onClick={() => ask("now")}>
              Run now
            </button>
            <button type="button" onClick={() => void act(toggle)}>
              {one.enabled ? "Disable" : "Enable"}
            </button>
            <button type="button" className="danger" onClick={() => ask("remove")}>
              Remove
            </button>
          </div>
        )}
      </div>
      <p className="meta">
        <code>{one.cron}</code>
        <span>{one.zone}</span>
        <A to={`/${one.template ? "templates" : "pipelines"}/${one.pipeline}`}>{one.pipeline}</A>
        <span className="dim">missed times: {one.missed}</span>
        <span className="dim">
          {one.fired} started, {one.passed} passed over
        </span>
        {one.lastRun !== null && (
          <span>
            last <A to={`/runs/${one.lastRun}`}>{one.lastRun}</A> <Ago at={one.lastAt} />
          </span>
        )}
      </p>
      {one.enabled ? (
        <ol className="next-times" aria-label="Next times">
          {one.next.map((at) => (
            <li key={at} title={exact(at)}>
              <span className="num">
                {new Date(at).toLocaleString(undefined, {
                  dateStyle: "medium",
                  timeStyle: "short",
                  timeZone: one.zone,
                })}
              </span>{" "}
              <span className="dim">
                <Ago at={at} />
              </span>
            </li>
          ))}
        </ol>
      ) : (
        <p className="dim">Disabled: it starts nothing.</p>
      )}
      {one.lastError !== null && one.lastError !== undefined && <Json value={one.lastError} label="Last error" />}
      <p className="meta">
        {one.enabled ? "Disable:" : "Enable:"}
        <CopyAs
          cli={`tenuto schedules ${one.enabled ? "disable" : "enable"} ${argument(one.name)}`}
          path={`${path}/${one.enabled ? "disable" : "enable"}`}
          send={{ method: "POST" }}
        />
      </p>
      {error !== null && <Fault error={error} />}
      {asked === "now" && <RunNow one={one} close={close} />}
      {asked === "remove" && (
        <Confirm
          title={`Remove ${one.name}`}
          verb="Remove"
          danger
          close={close}
          act={() => act(() => call(path, { method: "DELETE" }))}
        >
          <p>It starts nothing more. Runs that it started stay.</p>
          <CopyAs cli={`tenuto schedules remove ${argument(one.name)}`} path={path} send={{ method: "DELETE" }} />
        </Confirm>
      )}
    </li>
  );
}

function RunNow({ one, close }: { one: Schedule; close: () => void }) {
  const go = useGo();
  const path = `/api/schedules/${encodeURIComponent(one.name)}/trigger`;
  const send = { method: "POST" as const };
  const act = async () => {
    const { id } = await call<Started>(path, send);
    go(`/runs/${id}`);
  };
  return (
    <Confirm title={`Run ${one.pipeline} now`} verb="Start the run" close={close} act={act}>
      <p>A run with the params of {one.name}, beside its times; those stay as they are.</p>
      <Json value={one.params ?? {}} label="Params" />
      <CopyAs cli={`tenuto schedules trigger ${argument(one.name)}`} path={path} send={send} />
    </Confirm>
  );
}

function Add({ close }: { close: () => void }) {
  const known = useQuery(brief).data?.items ?? [];
  const kept = useQuery(templates).data?.items ?? [];
  const client = useQueryClient();
  const [name, setName] = useState("");
  const [pipeline, setPipeline] = useState("");
  const [cron, setCron] = useState("0 6 * * *");
  const [zone, setZone] = useState(() => Intl.DateTimeFormat().resolvedOptions().timeZone);
  const [missed, setMissed] = useState("last");
  const [params, setParams] = useState("{}");
  const given = objectIn(params);
  const body = { name, pipeline, cron, zone, missed, params: given ?? {} };
  const act = async () => {
    if (given === null) throw new Error('Params must be a JSON object, such as {"rows": 10}.');
    await call("/api/schedules", { method: "POST", body });
    await client.invalidateQueries({ queryKey: ["schedules"] });
  };
  const text = (title: string, value: string, change: (value: string) => void, hint?: string) => (
    <label className="field">
      <span>{title}</span>
      <input required value={value} onChange={(event) => change(event.target.value)} />
      {hint !== undefined && <span className="dim">{hint}</span>}
    </label>
  );
  return (
    <Confirm title="Add a schedule" verb="Add" close={close} act={act}>
      {text("Name", name, setName)}
      <label className="field">
        <span>Pipeline or template</span>
        <select required value={pipeline} onChange={(event) => setPipeline(event.target.value)}>
          <option value="">Choose</option>
          {[...new Set([...kept, ...known].map((one) => one.name))].map((one) => (
            <option key={one}>{one}</option>
          ))}
        </select>
      </label>
      {text("Cron", cron, setCron, "Minute, hour, day, month, weekday")}
      {text("Time zone", zone, setZone)}
      <label className="field">
        <span>Times that were missed</span>
        <select value={missed} onChange={(event) => setMissed(event.target.value)}>
          <option value="skip">pass over</option>
          <option value="last">start the last one</option>
          <option value="all">start all of them</option>
        </select>
      </label>
      <label className="field">
        <span>Params</span>
        <textarea className="mono" rows={3} value={params} onChange={(event) => setParams(event.target.value)} />
      </label>
      <CopyAs
        cli={`tenuto schedules add ${argument(name)} ${argument(pipeline)} --cron ${argument(cron)} --zone ${argument(zone)}${missed === "last" ? "" : ` --missed ${missed}`}${paramArguments(given ?? {})}`}
        path="/api/schedules"
        send={{ method: "POST", body }}
      />
    </Confirm>
  );
}
