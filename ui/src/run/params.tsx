/** What a run was started with, and what it gave. */
import type { Run } from "../api/client.ts";
import { Json } from "../parts/json.tsx";
import { Facts } from "../parts/screen.tsx";
import { Ago, exact } from "../parts/time.tsx";
import { A } from "../url.tsx";

export function Params({ run }: { run: Run }) {
  const time = (at: string | null) => (at === null ? "–" : exact(at));
  return (
    <div className="sections">
      <section>
        <h2>Params</h2>
        <Json value={run.params} label="Params" />
      </section>
      {run.state === "completed" && (
        <section>
          <h2>Output</h2>
          <Json value={run.output} label="Output" />
        </section>
      )}
      <section>
        <h2>Details</h2>
        <Facts
          list={[
            ["Pipeline", run.pipeline],
            ["Version", <code key="v">{run.version}</code>],
            ["Priority", run.priority],
            ["Created", time(run.createdAt)],
            ["Started", time(run.startedAt)],
            ["Ended", run.endedAt === null ? <Ago key="e" at={null} /> : time(run.endedAt)],
            ["Idempotency key", run.idempotencyKey ?? "–"],
            ["Concurrency key", run.concurrencyKey ?? "–"],
            ["Spawned jobs", String(run.jobs.spawned)],
            ["Events", String(run.event)],
            [
              "Compare",
              <A key="c" to="/compare" search={{ a: run.id }}>
                with another run
              </A>,
            ],
          ]}
        />
      </section>
    </div>
  );
}
