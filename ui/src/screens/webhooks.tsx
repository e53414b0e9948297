/** Messages to others and from others: where they go, what was sent and what came of it; where they come in. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { call, type Webhook } from "../api/client.ts";
import { deliveries, webhooks } from "../api/queries.ts";
import { CopyAs } from "../parts/copy.tsx";
import { Json } from "../parts/json.tsx";
import { Empty, Fault, Head, Loaded, useTitle } from "../parts/screen.tsx";
import { Tabs } from "../parts/tabs.tsx";
import { Ago } from "../parts/time.tsx";
import { useMay } from "../shell/role.ts";
import { A, useSearch, useSetSearch } from "../url.tsx";
import { Endpoint, Endpoints } from "./endpoints.tsx";
import { Incoming } from "./hooks.tsx";
import { WebhookForm } from "./webhook-form.tsx";

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
  const chosen = useSearch()["hook"];
  return (
    <Endpoints<Webhook>
      query={useQuery(webhooks)}
      add="Add a webhook"
      none="Nobody is told."
      about="A webhook tells an address when a run ends, when a person must decide, or every so often while a run is at work. Messages are signed and sent again until they are taken."
      form={(props) => <WebhookForm {...props} />}
    >
      {(one, secret) => <One key={one.id} one={one} open={one.id === chosen} secret={secret} />}
    </Endpoints>
  );
}

function One({ one, open, secret }: { one: Webhook; open: boolean; secret: (made: Webhook) => void }) {
  const search = useSearch();
  return (
    <Endpoint
      kind="webhooks"
      one={one}
      secret={secret}
      rotated="For a day messages are signed with both secrets, so that the receiver can change over."
      removed={`${one.url} is told nothing more. Messages that wait to be sent again are dropped.`}
      form={(close) => <WebhookForm close={close} made={secret} one={one} />}
      links={
        <A to="." search={{ ...search, hook: open ? undefined : one.id, sent: undefined }} className="button">
          {open ? "Close the log" : "Delivery log"}
        </A>
      }
    >
      <p className="meta">
        <code className="address">{one.url}</code>
        <span>{one.occasions.join(", ")}</span>
        <span className="dim">{one.pipeline === null ? "of all pipelines" : `of ${one.pipeline}`}</span>
        {one.occasions.includes("progress") && <span className="dim">every {one.intervalSeconds} s</span>}
        {!one.enabled && <span className="tag">not enabled</span>}
      </p>
      {open && <Log hook={one.id} />}
    </Endpoint>
  );
}

const OCCASION = {
  completed: "a run completed",
  failed: "a run failed",
  cancelled: "a run was cancelled",
  approval: "a person must decide",
  progress: "progress of a run",
};
const STATES = ["pending", "sending", "delivered", "failed"];
const MARKS = { pending: "s-waiting", sending: "s-running", delivered: "s-completed", failed: "s-failed" };

function Log({ hook }: { hook: string }) {
  const admin = useMay("admin");
  const search = useSearch();
  const set = useSetSearch();
  const state = search["sent"];
  const query = useQuery(deliveries(hook, state));
  const client = useQueryClient();
  const [error, setError] = useState<unknown>(null);
  const pathOf = (id: string) =>
    `/api/webhooks/${encodeURIComponent(hook)}/deliveries/${encodeURIComponent(id)}/resend`;
  const resend = async (id: string) => {
    setError(null);
    try {
      await call(pathOf(id), { method: "POST" });
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
                      <>
                        <CopyAs path={pathOf(one.id)} send={{ method: "POST" }} />
                        <button type="button" onClick={() => void resend(one.id)}>
                          Resend
                        </button>
                      </>
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
