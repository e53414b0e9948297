/** One artifact: a safe preview, where it came from, what was made of it, and whether its bytes are still what they were. */
import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useState } from "react";
import { type Artifact, call } from "../api/client.ts";
import { artifact } from "../api/queries.ts";
import { bytesText } from "../parts/bytes.ts";
import { argument, Copy, CopyAs } from "../parts/copy.tsx";
import { Facts, Fault, Head, Loaded, Unread, useTitle } from "../parts/screen.tsx";
import { Tabs } from "../parts/tabs.tsx";
import { Ago } from "../parts/time.tsx";
import { A, useSearch } from "../url.tsx";
import { LineageOf } from "./lineage.tsx";
import { Preview } from "./preview.tsx";

export function ArtifactScreen() {
  const { sha } = useParams({ strict: false }) as { sha: string };
  const query = useQuery(artifact(sha));
  if (query.data === undefined && query.error !== null)
    return (
      <Unread
        error={query.error}
        what="artifact"
        name={sha.slice(0, 12)}
        back={<A to="/artifacts">All artifacts</A>}
        again={() => void query.refetch()}
      />
    );
  return (
    <div className="screen">
      <Loaded query={query}>{({ items }) => <Shown sha={sha} all={items} />}</Loaded>
    </div>
  );
}

function Shown({ sha, all }: { sha: string; all: Artifact[] }) {
  const search = useSearch();
  const one = all.find(({ id }) => String(id) === search["id"]) ?? (all[0] as Artifact);
  const view = search["view"] ?? "preview";
  useTitle(one.name);
  return (
    <>
      <Head
        title={<span className="mono">{one.name}</span>}
        under={
          <div className="meta">
            <span>{one.mediaType}</span>
            <span>{bytesText(one.bytes)}</span>
            <span>
              made <Ago at={one.at} /> by{" "}
              <A to={`/runs/${one.run}`} search={{ job: one.job }}>
                {one.job}
              </A>{" "}
              of <A to={`/runs/${one.run}`}>{one.run}</A>
            </span>
            <span>
              Verify:
              <CopyAs
                cli={`tenuto artifacts verify ${argument(one.run)}`}
                path={`/api/artifacts/${sha}/verify`}
                send={{ method: "POST" }}
              />
            </span>
          </div>
        }
      >
        <Verify sha={sha} />
        <a className="button" href={`/api/artifacts/${sha}/content?download=true`}>
          Download
        </a>
      </Head>
      <Tabs
        label="Views of this artifact"
        name="view"
        chosen={view}
        tabs={[
          { id: "preview", title: "Preview" },
          { id: "lineage", title: "Lineage" },
          { id: "about", title: "Details", count: all.length > 1 ? all.length : undefined },
        ]}
      />
      {view === "lineage" ? (
        <LineageOf sha={sha} id={one.id} />
      ) : view === "about" ? (
        <Details sha={sha} one={one} all={all} />
      ) : (
        <Preview artifact={one} />
      )}
    </>
  );
}

function Verify({ sha }: { sha: string }) {
  const [told, setTold] = useState<string | null>(null);
  const [error, setError] = useState<unknown>(null);
  const verify = async () => {
    setTold("Reading");
    setError(null);
    try {
      const { ok } = await call<{ ok: boolean }>(`/api/artifacts/${sha}/verify`, { method: "POST" });
      setTold(ok ? "The bytes are what they were" : "The bytes have changed");
    } catch (caught) {
      setError(caught);
      setTold(null);
    }
  };
  if (error !== null) return <Fault error={error} />;
  return told === null ? (
    <button type="button" onClick={() => void verify()}>
      Verify
    </button>
  ) : (
    <output>{told}</output>
  );
}

function Details({ sha, one, all }: { sha: string; one: Artifact; all: Artifact[] }) {
  return (
    <div className="sections">
      <Facts
        list={[
          ["SHA-256", <code key="s">{sha}</code>],
          [
            "Copy",
            <Copy key="c" text={`tenuto artifacts get ${sha}`}>
              Copy as CLI
            </Copy>,
          ],
          ["Type", one.type],
          ["Media type", one.mediaType],
          ["Attempt", String(one.attempt)],
        ]}
      />
      <h2>Stored by</h2>
      <ul className="plain-list">
        {all.map((each) => (
          <li key={each.id}>
            <A to={`/runs/${each.run}`} search={{ job: each.job }} className="mono">
              {each.run} · {each.job}
            </A>{" "}
            as {each.name},{" "}
            <span className="dim">
              <Ago at={each.at} />
            </span>
          </li>
        ))}
      </ul>
    </div>
  );
}
