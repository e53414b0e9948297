/** Messages to others and from others: where they go, what was sent and what came of it; where they come in. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { call, type Session, type Webhook } from "../api/client.ts";
import { deliveries, session, webhooks } from "../api/queries.ts";
import { argument, Copy, CopyAs } from "../parts/copy.tsx";
import { Confirm } from "../parts/dialog.tsx";
import { Json } from "../parts/json.tsx";
import { Empty, Fault, Head, Loaded, useTitle } from "../parts/screen.tsx";
import { Tabs } from "../parts/tabs.tsx";
import { Ago } from "../parts/time.tsx";
import { A, useSearch, useSetSearch } from "../url.tsx";
import { Incoming } from "./hooks.tsx";
import { WebhookForm } from "./webhook-form.tsx";

export const isAdmin = (who: Session | undefined) => who?.role === "admin";

export function WebhooksScreen() {
  useTitle("Webhooks");
  const search = useSearch();
  const view = search["view"] ?? "out";
  return (
    <div className="screen">
      <Head title="Webhooks" />
      <Tabs
        label="Directions"
        name="view"
        chosen={view}
        tabs={[
          { id: "out", title: "Out: told to others" },
          { id: "in", title: "In: starts runs here" },
        ]}
      />
      {view === "in" ? <Incoming /> : <Outgoing />}
    </div>
  );
}

function Outgoing() {
  const query = useQuery(webhooks);
  const who = useQuery(session).data;
  const [adding, add] = useState(false);
  const [made, setMade] = useState<Webhook | null>(null);
  const chosen = useSearch()["hook"];
  return (
    <>
      {isAdmin(who) && (
        <p>
          <button type="button" className="primary" onClick={() => add(true)}>
            Add a webhook
          </button>
        </p>
      )}
      {made?.secret !== undefined && <Secret name={made.id} secret={made.secret} />}
      <Loaded query={query}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty title="Nobody is told.">
              A webhook tells an address when a run ends, when a person must decide, or every so often while a run is at
              work. Messages are signed and sent again until they are taken.
            </Empty>
          ) : (
            <ul className="cards">
              {items.map((one) => (
                <One key={one.id} one={one} admin={isAdmin(who)} open={one.id === chosen} secret={setMade} />
              ))}
            </ul>
          )
        }
      </Loaded>
      {adding && <WebhookForm close={() => add(false)} made={setMade} />}
    </>
  );
}

/** A secret is shown once, when it is made. */
export function Secret({ name, secret }: { name: string; secret: string }) {
  return (
    <p className="made">
      The secret of {name}, shown once: <code>{secret}</code> <Copy text={secret}>Copy</Copy>
    </p>
  );
}

interface OneProps {
  one: Webhook;
  admin: boolean;
  open: boolean;
  secret: (made: Webhook) => void;
}

function One({ one, admin, open, secret }: OneProps) {
  const [asked, ask] = useState<"change" | "rotate" | "remove" | null>(null);
  const client = useQueryClient();
  const search = useSearch();
  const path = `/api/webhooks/${encodeURIComponent(one.id)}`;
  const read = () => client.invalidateQueries({ queryKey: ["webhooks"] });
  const close = () => ask(null);
  return (
    <li className="schedule" data-off={!one.enabled}>
      <div className="head-line">
        <h2>{one.id}</h2>
        <div className="head-actions">
          <A to="." search={{ ...search, hook: open ? undefined : one.id, sent: undefined }} className="button">
            {open ? "Close the log" : "Delivery log"}
          </A>
          {admin && (
            <>
              <button type="button" onClick={() => ask("change")}>
                Change
              </button>
              <button type="button" onClick={() => ask("rotate")}>
                New secret
              </button>
              <button type="button" className="danger" onClick={() => ask("remove")}>
                Remove
              </button>
            </>
          )}
        </div>
      </div>
      <p className="meta">
        <code className="address">{one.url}</code>
        <span>{one.occasions.join(", ")}</span>
        <span className="dim">{one.pipeline === null ? "of all pipelines" : `of ${one.pipeline}`}</span>
        {one.occasions.includes("progress") && <span className="dim">every {one.intervalSeconds} s</span>}
        {!one.enabled && <span className="tag">not enabled</span>}
      </p>
      {open && <Log hook={one.id} admin={admin} />}
      {asked === "change" && <WebhookForm close={close} made={secret} one={one} />}
      {asked === "rotate" && (
        <Confirm
          title={`A new secret for ${one.id}`}
          verb="Make it"
          close={close}
          act={async () => {
            secret(await call<Webhook>(`${path}/rotate`, { method: "POST" }));
            await read();
          }}
        >
          <p>For a day messages are signed with both secrets, so that the receiver can change over.</p>
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
          <p>{one.url} is told nothing more. Messages that wait to be sent again are dropped.</p>
          <CopyAs cli={curlCli("DELETE", path)} path={path} send={{ method: "DELETE" }} />
        </Confirm>
      )}
    </li>
  );
}

/** Webhooks have no verb of the command line: the request itself. */
export const curlCli = (method: string, path: string) =>
  `curl -X ${method} -H "Authorization: Bearer $TENUTO_TOKEN" ${argument(`${location.origin}${path}`)}`;

const OCCASION = {
  completed: "a run completed",
  failed: "a run failed",
  cancelled: "a run was cancelled",
  approval: "a person must decide",
  progress: "progress of a run",
};
const STATES = ["pending", "sending", "delivered", "failed"];
const MARKS = { pending: "s-waiting", sending: "s-running", delivered: "s-completed", failed: "s-failed" };

function Log({ hook, admin }: { hook: string; admin: boolean }) {
  const search = useSearch();
  const set = useSetSearch();
  const state = search["sent"];
  const query = useQuery(deliveries(hook, state));
  const client = useQueryClient();
  const [error, setError] = useState<unknown>(null);
  const resend = async (id: string) => {
    setError(null);
    try {
      const path = `/api/webhooks/${encodeURIComponent(hook)}/deliveries/${encodeURIComponent(id)}/resend`;
      await call(path, { method: "POST" });
      await client.invalidateQueries({ queryKey: ["deliveries", hook] });
    } catch (caught) {
      setError(caught);
    }
  };
  return (
    <section className="sections" aria-label={`Deliveries of ${hook}`}>
      <div className="filters">
        <select
          aria-label="State of deliveries"
          value={state ?? ""}
          onChange={(event) => set({ sent: event.target.value || undefined })}
        >
          <option value="">All states</option>
          {STATES.map((one) => (
            <option key={one}>{one}</option>
          ))}
        </select>
      </div>
      {error !== null && <Fault error={error} />}
      <Loaded query={query}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty title="Nothing was sent yet." />
          ) : (
            <ul className="item-list">
              {items.map((one) => (
                <li key={one.id}>
                  <div className="attempt-line">
                    <span className={MARKS[one.state]}>{one.state}</span>
                    <span>{OCCASION[one.occasion]}</span>
                    <span className="dim">
                      <Ago at={one.createdAt} />
                    </span>
                    <span className="dim num">
                      {one.attempts} {one.attempts === 1 ? "try" : "tries"}
                    </span>
                    {one.state === "pending" && one.dueAt !== null && (
                      <span className="dim">
                        next <Ago at={one.dueAt} />
                      </span>
                    )}
                    <span className="spacer" />
                    {admin && (one.state === "delivered" || one.state === "failed") && (
                      <button type="button" onClick={() => void resend(one.id)}>
                        Resend
                      </button>
                    )}
                  </div>
                  {one.error !== null && <p className="s-failed delivery-error">{one.error}</p>}
                  <details>
                    <summary className="dim">Message {one.id}</summary>
                    <Json value={one.message} label="Message" />
                  </details>
                </li>
              ))}
            </ul>
          )
        }
      </Loaded>
    </section>
  );
}
