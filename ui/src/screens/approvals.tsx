/**
 * What waits for a person: what is shown, why, until when; approve, reject or edit, with a comment.
 *
 * Invariant: what is on the screen changes only by the person's hand. An approval that was decided, by anybody, stays until
 * another one is chosen, so that no click or key meant for one falls on the next.
 */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { type Approval, call } from "../api/client.ts";
import { approvals, approval as oneApproval } from "../api/queries.ts";
import { argument, CopyAs } from "../parts/copy.tsx";
import { Diff } from "../parts/diff.tsx";
import { Json, Text } from "../parts/json.tsx";
import { Empty, Facts, Fault, Head, Loaded, useTitle } from "../parts/screen.tsx";
import { Ago } from "../parts/time.tsx";
import { useKeys } from "../shell/keys.ts";
import { useMay } from "../shell/role.ts";
import { A, useSearch, useSetSearch } from "../url.tsx";

const STATES = ["open", "approved", "rejected", "expired", "cancelled", "all"];

export function ApprovalsScreen() {
  useTitle("Approvals");
  const search = useSearch();
  const set = useSetSearch();
  const state = search["state"] ?? "open";
  const query = useQuery(approvals(state));
  const list = query.data?.items ?? [];
  const [pinned, pin] = useState<string>();
  const first = list[0]?.id;
  const wanted = search["id"] ?? pinned ?? first;
  const listed = list.find(({ id }) => id === wanted);
  const gone = useQuery({
    ...oneApproval(wanted ?? ""),
    enabled: wanted !== undefined && query.data !== undefined && listed === undefined,
  }).data;
  const last = useRef<Approval>(undefined);
  if (listed !== undefined) last.current = listed;
  const chosen = listed ?? gone ?? (last.current?.id === wanted ? last.current : undefined);
  useEffect(() => pin((old) => old ?? first), [first]);
  const choose = (id: string | undefined) => {
    pin(id);
    set({ id });
  };
  const at = list.findIndex(({ id }) => id === wanted);
  const move = (step: number) => choose(list[Math.max(0, Math.min(list.length - 1, at + step))]?.id);
  useKeys({ j: () => move(1), k: () => move(-1) });
  return (
    <div className="screen fill">
      <Head title="Approvals">
        <select
          aria-label="State"
          value={state}
          onChange={(event) => {
            pin(undefined);
            set({ state: event.target.value === "open" ? undefined : event.target.value, id: undefined });
          }}
        >
          {STATES.map((one) => (
            <option key={one}>{one}</option>
          ))}
        </select>
      </Head>
      <Loaded query={query}>
        {({ items }) => (
          <div className="inbox" data-alone={items.length === 0 && chosen === undefined}>
            {items.length === 0 ? (
              <Empty title={state === "open" ? "Nothing waits for you." : "There are none."}>
                Jobs that ask for a decision wait here, without a worker, until somebody decides or the time is over.
              </Empty>
            ) : (
              <List items={items} chosen={chosen} pin={pin} />
            )}
            {chosen !== undefined && (
              <Decide
                key={chosen.id}
                approval={chosen}
                next={listed === undefined && first !== undefined && state === "open" ? () => choose(first) : undefined}
              />
            )}
          </div>
        )}
      </Loaded>
    </div>
  );
}

interface ListProps {
  items: readonly Approval[];
  chosen: Approval | undefined;
  pin: (id: string) => void;
}

function List({ items, chosen, pin }: ListProps) {
  const search = useSearch();
  return (
    <ul className="inbox-list" aria-label="Approvals">
      {items.map((one) => (
        <li key={one.id}>
          <A
            to="/approvals"
            search={{ ...search, id: one.id }}
            aria-current={one.id === chosen?.id ? "true" : undefined}
            onClick={() => pin(one.id)}
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

function Decide({ approval, next }: { approval: Approval; next?: (() => void) | undefined }) {
  const client = useQueryClient();
  const approve = useRef<HTMLButtonElement>(null);
  const [mine, setMine] = useState<"approve" | "reject" | null>(null);
  const before = JSON.stringify(approval.shown, null, 2);
  const [text, setText] = useState(before);
  const [editing, setEditing] = useState(false);
  const [reason, setReason] = useState("");
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const path = `/api/approvals/${encodeURIComponent(approval.id)}/decision`;
  const comment = reason === "" ? {} : { reason };
  const edited = editing && text !== before ? text : null;
  const bodyOf = (decision: "approve" | "reject") => ({
    decision,
    hash: approval.hash,
    ...comment,
    ...(edited !== null && decision === "approve" ? { edited: JSON.parse(edited) as unknown } : {}),
  });
  const decide = async (decision: "approve" | "reject") => {
    setBusy(true);
    setError(null);
    try {
      await call(path, { method: "POST", body: bodyOf(decision) });
      setMine(decision);
      setEditing(false);
      await client.invalidateQueries();
    } catch (caught) {
      setError(caught);
    }
    setBusy(false);
  };
  const open = approval.state === "open";
  const may = useMay("operator");
  // Leads to the button only: nobody decides by touching a key.
  useKeys({ a: () => approve.current?.focus() });
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
        {approval.expiresAt !== null && (open || approval.state === "expired") && (
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
          {!may && <p className="dim">A token with the role operator can decide.</p>}
          <label className="field" hidden={!may}>
            <span>Comment</span>
            <textarea
              rows={2}
              value={reason}
              onChange={(event) => setReason(event.target.value)}
              placeholder="Optional"
            />
          </label>
          {error !== null && <Fault error={error} />}
          <div className="decide-foot" hidden={!may}>
            <button
              ref={approve}
              type="button"
              className="primary"
              disabled={busy || mine !== null}
              onClick={() => void decide("approve")}
            >
              {editing && text !== before ? "Approve as edited" : "Approve"} <kbd>a</kbd>
            </button>
            <button
              type="button"
              className="danger"
              disabled={busy || mine !== null}
              onClick={() => void decide("reject")}
            >
              Reject
            </button>
            {approval.editable && (
              <button type="button" onClick={() => setEditing(!editing)}>
                {editing ? "Leave it as it is" : "Edit"}
              </button>
            )}
          </div>
          {may && <Copies approval={approval} path={path} reason={reason} edited={edited} />}
        </>
      ) : (
        <>
          <div className="decided" role="status">
            <strong>
              {mine === null ? `It is ${approval.state}.` : `You ${mine === "approve" ? "approved" : "rejected"} it.`}
            </strong>
            {next !== undefined && (
              <button type="button" onClick={next}>
                Next one
              </button>
            )}
          </div>
          <Facts
            list={[
              ["By", approval.decidedBy ?? "–"],
              ["Comment", approval.reason ?? "–"],
              ["When", <Ago key="w" at={approval.decidedAt} />],
              ...(approval.edited === null
                ? []
                : ([["As edited", <Json key="e" value={approval.edited} label="As edited" />]] as const)),
            ]}
          />
        </>
      )}
    </article>
  );
}

interface CopiesProps {
  approval: Approval;
  path: string;
  reason: string;
  edited: string | null;
}

/** Both decisions for a terminal, bound to what is on the screen. */
function Copies({ approval, path, reason, edited }: CopiesProps) {
  const said = reason === "" ? "" : ` --reason ${argument(reason)}`;
  const body = { hash: approval.hash, ...(reason === "" ? {} : { reason }) };
  let value: unknown;
  try {
    value = edited === null ? undefined : JSON.parse(edited);
  } catch {
    value = undefined;
  }
  const other = value === undefined ? "" : ` --edit ${argument(JSON.stringify(value))}`;
  return (
    <div className="meta">
      <span>
        Approve:
        <CopyAs
          cli={`tenuto approve ${argument(approval.id)} --hash ${approval.hash}${said}${other}`}
          path={path}
          send={{
            method: "POST",
            body: { decision: "approve", ...body, ...(value === undefined ? {} : { edited: value }) },
          }}
        />
      </span>
      <span>
        Reject:
        <CopyAs
          cli={`tenuto reject ${argument(approval.id)}${said}`}
          path={path}
          send={{ method: "POST", body: { decision: "reject", ...body } }}
        />
      </span>
    </div>
  );
}
