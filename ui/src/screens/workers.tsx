/** Workers with what they are at, agents that nobody has, and limiters. */
import { useQuery } from "@tanstack/react-query";
import type { Worker } from "../api/client.ts";
import { isSilent, limiters, workers } from "../api/queries.ts";
import { LimiterRow } from "../parts/limiter.tsx";
import { Empty, Head, Loaded, useTitle } from "../parts/screen.tsx";
import { Ago, Duration, useNow } from "../parts/time.tsx";
import { A, useSearch, useSetSearch } from "../url.tsx";

export function WorkersScreen() {
  useTitle("Workers");
  const search = useSearch();
  const set = useSetSearch();
  const state = search["state"] ?? "alive";
  const query = useQuery(workers(state === "all" ? undefined : state));
  const limits = useQuery({ ...limiters, refetchInterval: 5_000 });
  return (
    <div className="screen">
      <Head title="Workers and limits">
        <select aria-label="State" value={state} onChange={(event) => set({ state: event.target.value })}>
          {["alive", "stopped", "dead", "all"].map((one) => (
            <option key={one}>{one}</option>
          ))}
        </select>
      </Head>
      <Loaded query={query}>
        {({ items, missingAgents }) => (
          <>
            {missingAgents.length > 0 && (
              <p className="fault">
                <strong>No worker that is alive has: {missingAgents.join(", ")}.</strong>
                <span>Jobs that ask for it wait. Start a worker whose configuration has it.</span>
              </p>
            )}
            {items.length === 0 ? (
              <Empty title="No workers.">
                Jobs run as soon as one is there: <code>tenuto serve</code> or <code>tenuto worker</code>
              </Empty>
            ) : (
              <div className="scroll" tabIndex={0} role="region" aria-label="Workers">
                <table className="plain-table">
                  <thead>
                    <tr>
                      <th>Worker</th>
                      <th>State</th>
                      <th>Heartbeat</th>
                      <th>Started</th>
                      <th>At work on</th>
                    </tr>
                  </thead>
                  <tbody>
                    {items.map((one) => (
                      <tr key={one.id}>
                        <td className="mono">
                          {one.host} {one.pid}
                        </td>
                        <td>
                          <WorkerState one={one} />
                        </td>
                        <td className="dim">
                          <Ago at={one.heartbeatAt} />
                        </td>
                        <td className="dim">
                          <Ago at={one.startedAt} />
                        </td>
                        <td>
                          {one.jobs.slice(0, 10).map(({ run, job, startedAt }) => (
                            <div key={`${run} ${job}`}>
                              <A to={`/runs/${run}`} search={{ job }} className="mono">
                                {run} · {job}
                              </A>{" "}
                              <span className="dim">
                                <Duration from={startedAt} to={null} />
                              </span>
                            </div>
                          ))}
                          {one.jobs.length > 10 && <span className="dim">and {one.jobs.length - 10} more</span>}
                          {one.windows > 0 && <div className="dim">{one.windows} windows of items</div>}
                          {one.jobs.length === 0 && one.windows === 0 && <span className="dim">nothing</span>}
                        </td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </div>
            )}
          </>
        )}
      </Loaded>
      <section>
        <h2>Limiters</h2>
        <Loaded query={limits}>
          {({ items }) =>
            items.length === 0 ? (
              <Empty title="No limiter is in use.">
                Rates, slots and budgets that jobs share are listed here once one was asked.
              </Empty>
            ) : (
              <div className="scroll" tabIndex={0} role="region" aria-label="Limiters">
                <table className="plain-table">
                  <thead>
                    <tr>
                      <th>Name</th>
                      <th>Key</th>
                      <th>Now</th>
                      <th className="right">At once</th>
                      <th className="right">Today</th>
                      <th className="right">This month</th>
                      <th className="right">Spent</th>
                      <th className="right">Last asked</th>
                    </tr>
                  </thead>
                  <tbody>
                    {items.map((one) => (
                      <LimiterRow key={`${one.name} ${one.key}`} one={one} />
                    ))}
                  </tbody>
                </table>
              </div>
            )
          }
        </Loaded>
      </section>
    </div>
  );
}

const MARKS = { alive: "completed", dead: "failed", stopped: "skipped" };

/** One that is not heard of is called alive until somebody finds out; the page says what it sees. */
function WorkerState({ one }: { one: Worker }) {
  useNow();
  if (one.state === "alive" && isSilent(one)) return <span className="s-waiting">not heard of</span>;
  return <span className={`s-${MARKS[one.state]}`}>{one.state}</span>;
}
