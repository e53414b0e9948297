/** One template or pipeline: its graph, a form to start it, its versions and what changed between them. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useState } from "react";
import { call, type Template } from "../api/client.ts";
import { pipelines, template, versions } from "../api/queries.ts";
import { argument, CopyAs } from "../parts/copy.tsx";
import { Confirm } from "../parts/dialog.tsx";
import { JsonDiff } from "../parts/diff.tsx";
import { Json } from "../parts/json.tsx";
import { Empty, Head, Loaded, Unread, useTitle } from "../parts/screen.tsx";
import { Tabs } from "../parts/tabs.tsx";
import { Ago } from "../parts/time.tsx";
import { useMay } from "../shell/role.ts";
import { A, useGo, useSearch } from "../url.tsx";
import { Plan, type Planned } from "./plan.tsx";
import { Start } from "./start.tsx";

export function PipelineScreen() {
  const { name } = useParams({ strict: false }) as { name: string };
  useTitle(name);
  const query = useQuery(pipelines);
  return (
    <div className="screen">
      <Loaded query={query}>
        {({ items }) => {
          const one = items.find((each) => each.name === name);
          if (one === undefined)
            return (
              <>
                <Head title="Nothing here" />
                <Empty title={`This server does not know ${name}.`}>
                  <A to="/templates">All that it knows</A>
                </Empty>
              </>
            );
          return (
            <>
              <Head title={one.name} under={<p className="dim">{one.description}</p>}>
                <A to="/" search={{ pipeline: name }} className="button">
                  Its runs
                </A>
              </Head>
              <div className="two start-and-plan">
                <section>
                  <h2>Start a run</h2>
                  <Start pipeline={name} schema={one.params} />
                </section>
                <section>
                  <h2>Plan</h2>
                  {one.kind === "code" ? (
                    <p className="dim">Its jobs are made by code while it runs.</p>
                  ) : (
                    <Plan stages={one.stages} />
                  )}
                </section>
              </div>
            </>
          );
        }}
      </Loaded>
    </div>
  );
}

interface Document {
  params?: unknown;
  stages?: {
    name: string;
    jobs?: { id: string; agent?: string; needs?: (string | { job: string })[]; forEach?: unknown; command?: unknown }[];
  }[];
}

function planned(document: unknown): Planned[] {
  return ((document as Document | null)?.stages ?? []).map((stage) => ({
    name: stage.name,
    jobs: (stage.jobs ?? []).map((job) => ({
      id: job.id,
      agent: job.agent ?? (job.command === undefined ? "" : "command"),
      needs: (job.needs ?? []).map((need) => (typeof need === "string" ? need : need.job)),
      fanout: job.forEach !== undefined,
    })),
  }));
}

export function TemplateScreen() {
  const { name } = useParams({ strict: false }) as { name: string };
  useTitle(name);
  const search = useSearch();
  const query = useQuery(template(name, search["version"]));
  const view = search["view"] ?? "start";
  if (query.data === undefined && query.error !== null)
    return (
      <Unread
        error={query.error}
        what="template"
        name={name}
        back={<A to="/templates">All templates and pipelines</A>}
        again={() => void query.refetch()}
      />
    );
  return (
    <div className="screen">
      <Loaded query={query}>
        {(one) => (
          <>
            <Head title={one.name} under={<p className="dim">{one.description}</p>}>
              <A to="/" search={{ pipeline: name }} className="button">
                Its runs
              </A>
              <Remove name={name} />
            </Head>
            <Tabs
              label="Views of this template"
              name="view"
              chosen={view}
              tabs={[
                { id: "start", title: "Start" },
                { id: "plan", title: "Plan" },
                { id: "document", title: "Document" },
                { id: "versions", title: "Versions", count: one.number },
              ]}
            />
            {view === "plan" ? (
              <Plan stages={planned(one.document)} />
            ) : view === "document" ? (
              <Json value={one.document} label="Document" />
            ) : view === "versions" ? (
              <Versions one={one} />
            ) : (
              <Start
                template={name}
                version={search["version"] === undefined ? undefined : one.shownNumber}
                schema={(one.document as Document | null)?.params}
              />
            )}
          </>
        )}
      </Loaded>
    </div>
  );
}

function Remove({ name }: { name: string }) {
  const [asked, ask] = useState(false);
  const may = useMay("operator");
  const go = useGo();
  const client = useQueryClient();
  const path = `/api/templates/${encodeURIComponent(name)}`;
  const act = async () => {
    await call(path, { method: "DELETE" });
    await client.invalidateQueries({ queryKey: ["templates"] });
    go("/templates");
  };
  if (!may) return null;
  return (
    <>
      <button type="button" className="danger" onClick={() => ask(true)}>
        Remove
      </button>
      {asked && (
        <Confirm title={`Remove ${name}`} verb="Remove" danger close={() => ask(false)} act={act}>
          <p>All its versions go. Runs that it started stay. It is refused while a schedule refers to it.</p>
          <CopyAs cli={`tenuto templates remove ${argument(name)}`} path={path} send={{ method: "DELETE" }} />
        </Confirm>
      )}
    </>
  );
}

function Versions({ one }: { one: Template }) {
  const search = useSearch();
  const list = useQuery(versions(one.name));
  const against = search["against"] ?? String(Math.max(1, one.shownNumber - 1));
  const other = useQuery(template(one.name, against));
  return (
    <div className="two">
      <Loaded query={list}>
        {({ items }) => (
          <ul className="plain-list">
            {items.map(({ number, note, at }) => (
              <li key={number}>
                <A
                  to="."
                  search={{ ...search, version: String(number), against: undefined }}
                  aria-current={number === one.shownNumber}
                >
                  Version {number}
                </A>{" "}
                <span className="dim">
                  <Ago at={at} /> {note}
                </span>{" "}
                {number !== one.shownNumber && (
                  <A to="." search={{ ...search, against: String(number) }} className="dim">
                    compare with it
                  </A>
                )}
              </li>
            ))}
          </ul>
        )}
      </Loaded>
      <section>
        <h2>
          From version {against} to {one.shownNumber}
        </h2>
        <Loaded query={other}>{(before) => <JsonDiff before={before.document} after={one.document} />}</Loaded>
      </section>
    </div>
  );
}
