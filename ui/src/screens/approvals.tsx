/** What waits for a person: what is shown, why, until when; approve, reject or edit, with a comment. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { type Approval, call } from "../api/client.ts";
import { approvals } from "../api/queries.ts";
import { argument, CopyAs } from "../parts/copy.tsx";
import { Diff } from "../parts/diff.tsx";
import { Json, Text } from "../parts/json.tsx";
import { Empty, Facts, Fault, Head, Loaded, useTitle } from "../parts/screen.tsx";
import { Ago } from "../parts/time.tsx";
import { useKeys } from "../shell/keys.ts";
import { A, useSearch, useSetSearch } from "../url.tsx";

const STATES = ["open", "approved", "rejected", "expired", "cancelled", "all"];

export function ApprovalsScreen() {
  useTitle("Approvals");
  const search = useSearch();
  const set = useSetSearch();
  const state = search["state"] ?? "open";
  const query = useQuery(approvals(state));
  const list = query.data?.items ?? [];
  const chosen = list.find(({ id }) => id === search["id"]) ?? list[0];
  const at = chosen === undefined ? -1 : list.indexOf(chosen);
  const move = (step: number) => set({ id: list[Math.max(0, Math.min(list.length - 1, at + step))]?.id });
  useKeys({ j: () => move(1), k: () => move(-1) });
  return (
    <div className="screen fill">
      <Head title="Approvals">
        <select
          aria-label="State"
          value={state}
          onChange={(event) =>
            set({ state: event.target.value === "open" ? undefined : event.target.value, id: undefined })
          }
        >
          {STATES.map((one) => (
            <option key={one}>{one}</option>
          ))}
        </select>
      </Head>
      <Loaded query={query}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty title={state === "open" ? "Nothing waits for you." : "There are none."}>
              Jobs that ask for a decision wait here, without a worker, until somebody decides or the time is over.
            </Empty>
          ) : (
            <div className="inbox">
              <ul className="inbox-list" aria-label="Approvals">
                {items.map((one) => (
                  <li key={one.id}>
                    <A
                      to="/approvals"
                      search={{ ...search, id: one.id }}
                      aria-current={one === chosen ? "true" : undefined}
                      className="inbox-item"
                    >
                      <strong className="clip">{one.title}</strong>
                      <span className="clip mono dim">
                        {one.run} · {one.job}
                      </span>
                      <span className="dim">
                        <Ago at={one.createdAt} />
                        {one.state !== "open" && ` · ${one.state}`}
                        {one.expiresAt !== null && one.state === "open" && (
                          <>
                            {" · ends "}
                            <Ago at={one.expiresAt} />
                          </>
                        )}
                      </span>
                    </A>
                  </li>
                ))}
              </ul>
              {chosen !== undefined && <Decide key={chosen.id} approval={chosen} />}
            </div>
          )
        }
      </Loaded>
    </div>
  );
}

/** A change as text, where what is shown holds one. */
function diffIn(shown: unknown): string | null {
  if (typeof shown === "string") return /^(diff |@@ |--- )/m.test(shown) ? shown : null;
  if (typeof shown !== "object" || shown === null) return null;
  for (const name of ["diff", "patch"]) {
    const value = (shown as Record<string, unknown>)[name];
    if (typeof value === "string") return value;
  }
  return null;
}

/** The rest of what is shown beside its change. */
function withoutDiff(shown: unknown): unknown {
  if (typeof shown !== "object" || shown === null) return null;
  return Object.fromEntries(Object.entries(shown).filter(([name]) => name !== "diff" && name !== "patch"));
}

function Decide({ approval }: { approval: Approval }) {
  const client = useQueryClient();
  const before = JSON.stringify(approval.shown, null, 2);
  const [text, setText] = useState(before);
  const [editing, setEditing] = useState(false);
  const [reason, setReason] = useState("");
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const path = `/api/approvals/${encodeURIComponent(approval.id)}/decision`;
  const bodyOf = (decision: "approve" | "reject") => ({
    decision,
    hash: approval.hash,
    ...(reason === "" ? {} : { reason }),
    ...(editing && decision === "approve" && text !== before ? { edited: JSON.parse(text) as unknown } : {}),
  });
  const decide = async (decision: "approve" | "reject") => {
    setBusy(true);
    setError(null);
    try {
      await call(path, { method: "POST", body: bodyOf(decision) });
      await client.invalidateQueries();
    } catch (caught) {
      setError(caught);
    }
    setBusy(false);
  };
  const open = approval.state === "open";
  useKeys({ a: () => open && !busy && void decide("approve") });
  const diff = diffIn(approval.shown);
  return (
    <article className="decide" aria-label={approval.title}>
      <h2>{approval.title}</h2>
      <p className="dim">
        Job{" "}
        <A to={`/runs/${approval.run}`} search={{ job: approval.job }} className="mono">
          {approval.job}
        </A>{" "}
        of{" "}
        <A to={`/runs/${approval.run}`} className="mono">
          {approval.run}
        </A>{" "}
        asked <Ago at={approval.createdAt} />
        {approval.expiresAt !== null && (
          <>
            , {open ? "ends" : "ended"} <Ago at={approval.expiresAt} />
          </>
        )}
      </p>
      {diff !== null && <Diff text={diff} />}
      {editing ? (
        <label className="field">
          <span>What is decided on</span>
          <textarea
            className="mono"
            rows={14}
            spellCheck={false}
            value={text}
            onChange={(event) => setText(event.target.value)}
          />
        </label>
      ) : typeof approval.shown === "string" && diff === null ? (
        <Text text={approval.shown} label="What is decided on" />
      ) : (
        <Json value={diff === null ? approval.shown : withoutDiff(approval.shown)} label="What is decided on" />
      )}
      {open ? (
        <>
          <label className="field">
            <span>Comment</span>
            <textarea
              rows={2}
              value={reason}
              onChange={(event) => setReason(event.target.value)}
              placeholder="Optional"
            />
          </label>
          {error !== null && <Fault error={error} />}
          <div className="decide-foot">
            <button type="button" className="primary" disabled={busy} onClick={() => void decide("approve")}>
              {editing && text !== before ? "Approve as edited" : "Approve"} <kbd>a</kbd>
            </button>
            <button type="button" className="danger" disabled={busy} onClick={() => void decide("reject")}>
              Reject
            </button>
            {approval.editable && (
              <button type="button" onClick={() => setEditing(!editing)}>
                {editing ? "Leave it as it is" : "Edit"}
              </button>
            )}
            <span className="spacer" />
            <CopyAs
              cli={`tenuto approve ${argument(approval.id)}${reason === "" ? "" : ` --reason ${argument(reason)}`}`}
              path={path}
              send={{ method: "POST", body: { decision: "approve", hash: approval.hash } }}
            />
          </div>
        </>
      ) : (
        <Facts
          list={[
            ["Decision", approval.state],
            ["By", approval.decidedBy ?? "–"],
            ["Comment", approval.reason ?? "–"],
            ["When", <Ago key="w" at={approval.decidedAt} />],
            ...(approval.edited === null
              ? []
              : ([["As edited", <Json key="e" value={approval.edited} label="As edited" />]] as const)),
          ]}
        />
      )}
    </article>
  );
}
