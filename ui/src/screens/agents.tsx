/** Agents that this server knows, by layer. What an LLM agent said and used is with its job, under Transcript. */
import { useQuery } from "@tanstack/react-query";
import type { AgentInfo } from "../api/client.ts";
import { agents, pipelines } from "../api/queries.ts";
import { Empty, Head, Loaded, useTitle } from "../parts/screen.tsx";
import { A, useSearch, useSetSearch } from "../url.tsx";

export function AgentsScreen() {
  useTitle("Agents");
  const search = useSearch();
  const set = useSetSearch();
  const query = useQuery(agents);
  const known = useQuery(pipelines).data?.items ?? [];
  const users = (agent: string) =>
    known.filter(({ stages }) => stages.some(({ jobs }) => jobs.some((job) => job.agent === agent)));
  const text = search["find"]?.toLowerCase() ?? "";
  const kind = search["kind"] ?? "";
  const wanted = (one: AgentInfo) =>
    (kind === "" || one.kind === kind) && `${one.name} ${one.description ?? ""}`.toLowerCase().includes(text);
  return (
    <div className="screen">
      <Head title="Agents">
        <input
          type="search"
          placeholder="Agent"
          aria-label="Filter agents"
          value={search["find"] ?? ""}
          onChange={(event) => set({ find: event.target.value || undefined })}
        />
        <select aria-label="Kind" value={kind} onChange={(event) => set({ kind: event.target.value || undefined })}>
          <option value="">All kinds</option>
          <option>function</option>
          <option>command</option>
          <option>llm</option>
        </select>
      </Head>
      <Loaded query={query}>
        {({ items }) =>
          items.filter(wanted).length === 0 ? (
            <Empty title={items.length === 0 ? "This server knows no agents." : "No agent is like this."} />
          ) : (
            <div className="scroll" tabIndex={0} role="region" aria-label="Agents">
              <table className="plain-table">
                <thead>
                  <tr>
                    <th>Agent</th>
                    <th>Kind</th>
                    <th>Version</th>
                    <th>Description</th>
                    <th>Used by</th>
                  </tr>
                </thead>
                <tbody>
                  {items.filter(wanted).map((one) => (
                    <tr key={one.name}>
                      <td className="mono">{one.name}</td>
                      <td>{one.kind}</td>
                      <td className="mono dim">{one.version ?? "–"}</td>
                      <td className="dim">{one.description}</td>
                      <td>
                        {users(one.name).map(({ name }) => (
                          <A key={name} to={`/pipelines/${name}`} className="tag">
                            {name}
                          </A>
                        ))}
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )
        }
      </Loaded>
    </div>
  );
}
