/** What webhooks to others and hooks for others have in common: a list, a secret that is shown once, changed, removed. */
import { type UseQueryResult, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { call } from "../api/client.ts";
import { Copy, CopyAs } from "../parts/copy.tsx";
import { Confirm } from "../parts/dialog.tsx";
import { Empty, Loaded } from "../parts/screen.tsx";
import { useMay } from "../shell/role.ts";

interface Made {
  id: string;
  secret?: string | undefined;
}

interface ListProps<T extends Made> {
  query: UseQueryResult<{ items: T[] }>;
  /** What the button says that adds one. */
  add: string;
  none: string;
  about: string;
  form: (props: { close: () => void; made: (one: T) => void }) => ReactNode;
  children: (one: T, secret: (made: T) => void) => ReactNode;
}

export function Endpoints<T extends Made>({ query, add, none, about, form, children }: ListProps<T>) {
  const [adding, setAdding] = useState(false);
  const [made, setMade] = useState<T | null>(null);
  const admin = useMay("admin");
  return (
    <>
      {admin && (
        <p>
          <button type="button" className="primary" onClick={() => setAdding(true)}>
            {add}
          </button>
        </p>
      )}
      {made?.secret !== undefined && <Secret name={made.id} secret={made.secret} />}
      <Loaded query={query}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty title={none}>{about}</Empty>
          ) : (
            <ul className="cards">{items.map((one) => children(one, setMade))}</ul>
          )
        }
      </Loaded>
      {adding && form({ close: () => setAdding(false), made: setMade })}
    </>
  );
}

/** A secret is shown once, when it is made. */
function Secret({ name, secret }: { name: string; secret: string }) {
  return (
    <p className="made" role="status">
      The secret of {name}, shown once: <code>{secret}</code> <Copy text={secret}>Copy</Copy>
    </p>
  );
}

interface OneProps<T extends Made> {
  kind: "webhooks" | "hooks";
  one: T & { enabled: boolean };
  secret: (made: T) => void;
  /** What a new secret means for the other side, and what a removal means. */
  rotated: string;
  removed: string;
  form: (close: () => void) => ReactNode;
  /** What stands before the buttons that change it. */
  links?: ReactNode;
  children: ReactNode;
}

export function Endpoint<T extends Made>(props: OneProps<T>) {
  const { kind, one, form, links, children } = props;
  const [asked, ask] = useState<"change" | "rotate" | "remove" | null>(null);
  const admin = useMay("admin");
  const close = () => ask(null);
  return (
    <li className="schedule" data-off={!one.enabled}>
      <div className="head-line">
        <h2>{one.id}</h2>
        <div className="head-actions">
          {links}
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
      {children}
      {asked === "change" && form(close)}
      {asked === "rotate" && <Rotate {...props} path={`/api/${kind}/${encodeURIComponent(one.id)}`} close={close} />}
      {asked === "remove" && <Remove {...props} path={`/api/${kind}/${encodeURIComponent(one.id)}`} close={close} />}
    </li>
  );
}

type AskProps<T extends Made> = OneProps<T> & { path: string; close: () => void };

function Rotate<T extends Made>({ kind, one, secret, rotated, path, close }: AskProps<T>) {
  const client = useQueryClient();
  const send = { method: "POST" as const };
  const act = async () => {
    secret(await call<T>(`${path}/rotate`, send));
    await client.invalidateQueries({ queryKey: [kind] });
  };
  return (
    <Confirm title={`A new secret for ${one.id}`} verb="Make it" close={close} act={act}>
      <p>{rotated}</p>
      <CopyAs path={`${path}/rotate`} send={send} />
    </Confirm>
  );
}

function Remove<T extends Made>({ kind, one, removed, path, close }: AskProps<T>) {
  const client = useQueryClient();
  const send = { method: "DELETE" as const };
  const act = async () => {
    await call(path, send);
    await client.invalidateQueries({ queryKey: [kind] });
  };
  return (
    <Confirm title={`Remove ${one.id}`} verb="Remove" danger close={close} act={act}>
      <p>{removed}</p>
      <CopyAs path={path} send={send} />
    </Confirm>
  );
}
