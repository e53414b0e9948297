/** How the page looks, who I am, tokens, the audit log, and how the server is. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { type AuditEntry, address, call, type Page, type Token } from "../api/client.ts";
import { session, tokens } from "../api/queries.ts";
import { bytesText } from "../parts/bytes.ts";
import { argument, Copy, CopyAs } from "../parts/copy.tsx";
import { Confirm } from "../parts/dialog.tsx";
import { Facts, Head, Loaded, useTitle } from "../parts/screen.tsx";
import { Ago } from "../parts/time.tsx";
import { setLook, useLook } from "../shell/look.ts";
import { A } from "../url.tsx";

export function SettingsScreen() {
  useTitle("Settings");
  const who = useQuery(session).data;
  return (
    <div className="screen">
      <Head title="Settings">
        <A to="/artifacts" className="button only-narrow">
          Artifacts
        </A>
        <A to="/webhooks" className="button">
          Webhooks
        </A>
      </Head>
      <Looks />
      <Server />
      {who !== undefined && (
        <section>
          <h2>Session</h2>
          <Facts
            list={[
              ["Name", who.name],
              ["Role", who.role],
              ["Ends", <Ago key="e" at={who.expiresAt} />],
              ["Tenuto", who.version],
            ]}
          />
          <LogOut />
        </section>
      )}
      {who?.role === "admin" && (
        <>
          <Tokens />
          <Audit />
        </>
      )}
    </div>
  );
}

function LogOut() {
  const client = useQueryClient();
  const leave = async () => {
    await call("/api/session", { method: "DELETE" });
    client.clear();
    location.assign("/");
  };
  return (
    <button type="button" onClick={() => void leave()}>
      Log out
    </button>
  );
}

function Looks() {
  const look = useLook();
  return (
    <section>
      <h2>Look</h2>
      <div className="field-row">
        <label className="field">
          <span>Theme</span>
          <select value={look.theme} onChange={(event) => setLook({ theme: event.target.value as "dark" })}>
            <option value="system">as the system</option>
            <option value="light">light</option>
            <option value="dark">dark</option>
          </select>
        </label>
        <label className="field">
          <span>Rows</span>
          <select value={look.density} onChange={(event) => setLook({ density: event.target.value as "normal" })}>
            <option value="normal">normal</option>
            <option value="compact">compact</option>
          </select>
        </label>
      </div>
    </section>
  );
}

interface Ready {
  ok: boolean;
  ledger: { ok: boolean; writeMs: number; schema: number; bytes: number };
  disk: { ok: boolean; freeBytes: number };
  workers: number;
}

function Server() {
  const query = useQuery({ queryKey: ["ready"], queryFn: () => call<Ready>("/readyz"), refetchInterval: 15_000 });
  return (
    <section>
      <h2>Server</h2>
      <Loaded query={query}>
        {({ ledger, disk, workers }) => (
          <Facts
            list={[
              ["Ledger", `${ledger.ok ? "can be written" : "can not be written"}, ${ledger.writeMs.toFixed(1)} ms`],
              ["Size", bytesText(ledger.bytes)],
              ["Free on the disk", bytesText(disk.freeBytes)],
              ["Workers", String(workers)],
            ]}
          />
        )}
      </Loaded>
    </section>
  );
}

function Tokens() {
  const query = useQuery(tokens);
  const client = useQueryClient();
  const [adding, add] = useState(false);
  const [revoking, revoke] = useState<Token | null>(null);
  const [made, setMade] = useState<string | null>(null);
  const [name, setName] = useState("");
  const [role, setRole] = useState("viewer");
  const mint = async () => {
    const { token } = await call<{ token: string }>("/api/tokens", { method: "POST", body: { name, role } });
    setMade(token);
    await client.invalidateQueries({ queryKey: ["tokens"] });
  };
  return (
    <section>
      <div className="head-line">
        <h2>Tokens</h2>
        <button type="button" onClick={() => add(true)}>
          Make a token
        </button>
      </div>
      {made !== null && (
        <p className="made" role="status">
          Shown once: <code>{made}</code> <Copy text={made}>Copy</Copy>
        </p>
      )}
      <Loaded query={query}>
        {({ items }) => (
          <div className="scroll" tabIndex={0} role="region" aria-label="Tokens">
            <table className="plain-table">
              <thead>
                <tr>
                  <th>Name</th>
                  <th>Kind</th>
                  <th>Role</th>
                  <th>Made</th>
                  <th>Ends</th>
                  <th>
                    <span className="hidden-text">Revoke</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {items
                  .filter(({ live }) => live)
                  .map((one) => (
                    <tr key={one.id}>
                      <td>{one.name}</td>
                      <td className="dim">{one.kind}</td>
                      <td>{one.role}</td>
                      <td className="dim">
                        <Ago at={one.createdAt} />
                      </td>
                      <td className="dim">
                        <Ago at={one.expiresAt} />
                      </td>
                      <td className="right">
                        <button type="button" className="quiet" onClick={() => revoke(one)}>
                          Revoke
                        </button>
                      </td>
                    </tr>
                  ))}
              </tbody>
            </table>
          </div>
        )}
      </Loaded>
      {revoking !== null && <Revoke one={revoking} close={() => revoke(null)} />}
      {adding && (
        <Confirm title="Make a token" verb="Make" close={() => add(false)} act={mint}>
          <label className="field">
            <span>Name</span>
            <input required value={name} onChange={(event) => setName(event.target.value)} />
          </label>
          <label className="field">
            <span>Role</span>
            <select value={role} onChange={(event) => setRole(event.target.value)}>
              <option>viewer</option>
              <option>operator</option>
              <option>admin</option>
            </select>
          </label>
          <CopyAs
            cli={`tenuto tokens create ${argument(name)} --role ${role}`}
            path="/api/tokens"
            send={{ method: "POST", body: { name, role } }}
          />
        </Confirm>
      )}
    </section>
  );
}

function Revoke({ one, close }: { one: Token; close: () => void }) {
  const client = useQueryClient();
  const path = `/api/tokens/${encodeURIComponent(one.id)}`;
  const send = { method: "DELETE" as const };
  const act = async () => {
    await call(path, send);
    await client.invalidateQueries({ queryKey: ["tokens"] });
  };
  return (
    <Confirm title={`Revoke ${one.kind} ${one.name}`} verb="Revoke" danger close={close} act={act}>
      <p>
        Whoever uses it is refused from now on, with the sessions that came from it. Made <Ago at={one.createdAt} />,{" "}
        {one.role}.
      </p>
      <CopyAs cli={`tenuto tokens revoke ${argument(one.id)}`} path={path} send={send} />
    </Confirm>
  );
}

function Audit() {
  const query = useQuery({
    queryKey: ["audit"],
    queryFn: () => call<Page<AuditEntry>>(address("/api/audit", { limit: 50 })),
  });
  return (
    <section>
      <h2>Audit log</h2>
      <Loaded query={query}>
        {({ items }) => (
          <div className="scroll" tabIndex={0} role="region" aria-label="Audit log">
            <table className="plain-table">
              <thead>
                <tr>
                  <th className="right">Number</th>
                  <th>When</th>
                  <th>Who</th>
                  <th>What</th>
                  <th>On</th>
                  <th className="right">Status</th>
                </tr>
              </thead>
              <tbody>
                {items.map((one) => (
                  <tr key={one.number}>
                    <td className="right num dim">{one.number}</td>
                    <td className="dim">
                      <Ago at={one.at} />
                    </td>
                    <td>
                      {one.name} <span className="dim">{one.role}</span>
                    </td>
                    <td>
                      {one.operation} <span className="dim">{one.phase}</span>
                    </td>
                    <td className="mono dim">{one.target}</td>
                    <td className="right num">{one.status ?? ""}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </Loaded>
    </section>
  );
}
