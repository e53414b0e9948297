/** Agents that this server knows: what each is, what it has used, and what its models were told and did. */
import { useQuery } from "@tanstack/react-query";
import { useEffect } from "react";
import type { AgentInfo } from "../api/client.ts";
import { agents, allArtifacts, pipelines } from "../api/queries.ts";
import { Empty, Facts, Head, Loaded, useTitle } from "../parts/screen.tsx";
import { Ago } from "../parts/time.tsx";
import { Typed } from "../parts/typed.tsx";
import { Spent, TRANSCRIPT, TranscriptOf } from "../run/transcript.tsx";
import { useKeys } from "../shell/keys.ts";
import { A, useSearch, useSetSearch } from "../url.tsx";

export function AgentsScreen() {
  useTitle("Agents");
  const search = useSearch();
  const set = useSetSearch();
  const query = useQuery(agents);
  const text = search["find"]?.toLowerCase() ?? "";
  const kind = search["kind"] ?? "";
  const wanted = (one: AgentInfo) =>
    (kind === "" || one.kind === kind) && `${one.name} ${one.description ?? ""}`.toLowerCase().includes(text);
  const list = (query.data?.items ?? []).filter(wanted);
  const chosen = list.find(({ name }) => name === search["agent"]) ?? list[0];
  const move = (step: number) => {
    const at = chosen === undefined ? -1 : list.indexOf(chosen);
    set({ agent: list[Math.max(0, Math.min(list.length - 1, at + step))]?.name, talk: undefined });
  };
  useKeys({ j: () => move(1), k: () => move(-1) });
  const name = chosen?.name;
  useEffect(() => {
    if (name !== undefined) document.getElementById(`agent ${name}`)?.scrollIntoView({ block: "nearest" });
  }, [name]);
  return (
    <div className="screen fill">
      <Head title="Agents">
        <Typed name="find" label="Filter agents" placeholder="Agent" />
        <select aria-label="Kind" value={kind} onChange={(event) => set({ kind: event.target.value || undefined })}>
          <option value="">All kinds</option>
          <option>function</option>
          <option>command</option>
          <option>llm</option>
        </select>
      </Head>
      <Loaded query={query}>
        {({ items }) =>
          chosen === undefined ? (
            <Empty title={items.length === 0 ? "This server knows no agents." : "No agent is like this."}>
              Agents are listed in tenuto.config.ts, or come with the pipelines that use them.
            </Empty>
          ) : (
            <div className="inbox">
              <ul className="inbox-list" aria-label="Agents">
                {list.map((one) => (
                  <li key={one.name} id={`agent ${one.name}`}>
                    <A
                      to="/agents"
                      search={{ ...search, agent: one.name, talk: undefined }}
                      aria-current={one === chosen ? "true" : undefined}
                      className="inbox-item"
                    >
                      <strong className="mono clip">{one.name}</strong>
                      <span className="dim clip">
                        {one.kind}
                        {one.description !== null && ` · ${one.description}`}
                      </span>
                    </A>
                  </li>
                ))}
              </ul>
              <About key={chosen.name} one={chosen} />
            </div>
          )
        }
      </Loaded>
    </div>
  );
}

function About({ one }: { one: AgentInfo }) {
  const known = useQuery(pipelines).data?.items ?? [];
  const users = known.filter(({ stages }) => stages.some(({ jobs }) => jobs.some((job) => job.agent === one.name)));
  return (
    <article className="decide" aria-label={one.name}>
      <h2 className="mono">{one.name}</h2>
      {one.description !== null && <p>{one.description}</p>}
      <Facts
        list={[
          ["Kind", one.kind],
          ["Version", <code key="v">{one.version ?? "–"}</code>],
          ...(one.model === null ? [] : ([["Model", <code key="m">{one.model}</code>]] as const)),
          ...(one.tools.length === 0 ? [] : ([["Tools", <code key="t">{one.tools.join(", ")}</code>]] as const)),
          [
            "Used by",
            users.length === 0
              ? "no pipeline of this server"
              : users.map(({ name }) => (
                  <A key={name} to={`/pipelines/${name}`} className="tag">
                    {name}
                  </A>
                )),
          ],
        ]}
      />
      {one.kind === "llm" && (
        <>
          <Spent title="In all runs" usage={one.usage} budget={null} />
          {one.budget !== null && <Allowed one={one} />}
          <Talks agent={one.name} />
        </>
      )}
    </article>
  );
}

/** The budget is of each run; the bars are with the run's jobs. */
function Allowed({ one: { budget } }: { one: AgentInfo }) {
  const parts = [
    budget?.tokens == null ? null : `${budget.tokens.toLocaleString()} tokens`,
    budget?.cost == null ? null : `${budget.cost} in money`,
    budget?.calls == null ? null : `${budget.calls.toLocaleString()} calls`,
    budget?.wallSeconds == null ? null : `${budget.wallSeconds.toLocaleString()} s`,
  ].filter((part) => part !== null);
  if (parts.length === 0) return null;
  return <p>Each run may use {parts.join(", ")}.</p>;
}

/** Its conversations, the newest first, and the chosen one. */
function Talks({ agent }: { agent: string }) {
  const search = useSearch();
  const query = useQuery(allArtifacts({ type: "model_output", name: TRANSCRIPT, agent }));
  return (
    <section className="sections">
      <h3>Conversations</h3>
      <Loaded query={query}>
        {({ items }) => {
          if (items.length === 0)
            return <Empty title="It was not asked yet.">Each conversation is kept when its attempt ends.</Empty>;
          const chosen = items.find(({ id }) => String(id) === search["talk"]);
          return (
            <>
              <ul className="plain-list">
                {items.map((one) => (
                  <li key={one.id}>
                    <A
                      to="/agents"
                      search={{ ...search, agent, talk: one === chosen ? undefined : String(one.id) }}
                      aria-current={one === chosen ? "true" : undefined}
                    >
                      <span className="mono">
                        {one.run} · {one.job}
                      </span>
                    </A>{" "}
                    <span className="dim">
                      attempt {one.attempt}, <Ago at={one.at} />
                    </span>
                    {" · "}
                    <A to={`/runs/${one.run}`} search={{ job: one.job, tab: "talk" }} className="dim">
                      in its run
                    </A>
                  </li>
                ))}
              </ul>
              {chosen !== undefined && <TranscriptOf sha={chosen.sha256} />}
            </>
          );
        }}
      </Loaded>
    </section>
  );
}
