/** Artifacts of a run, or of one job: what it was given and what it made. */
import { useQuery } from "@tanstack/react-query";
import type { Job } from "../api/client.ts";
import { artifacts } from "../api/queries.ts";
import { ArtifactTable } from "../parts/artifact-table.tsx";
import { Empty, Loaded } from "../parts/screen.tsx";

export function ArtifactList({ run }: { run: string }) {
  const query = useQuery(artifacts(run));
  return (
    <Loaded query={query}>
      {({ items }) =>
        items.length === 0 ? (
          <Empty title="No artifacts.">
            What jobs store with ctx.artifact, or leave in TENUTO_ARTIFACTS, is listed here.
          </Empty>
        ) : (
          <ArtifactTable
            label="Artifacts"
            list={items}
            column="Job"
            cell={(one) => <span className="mono">{one.job}</span>}
          />
        )
      }
    </Loaded>
  );
}

const HOW = { offered: "offered to it", input: "its input", read: "read by it" };

export function JobArtifacts({ run, job }: { run: string; job: Job }) {
  const query = useQuery(artifacts(run, job.id));
  const { used } = job;
  const how = new Map(used.map((use) => [use.artifact.id, HOW[use.how]]));
  return (
    <div className="sections">
      <section>
        <h3>In</h3>
        {used.length === 0 ? (
          <p className="dim">It was given none.</p>
        ) : (
          <ArtifactTable
            label="Artifacts in"
            list={used.map(({ artifact }) => artifact)}
            column="How"
            cell={(one) => how.get(one.id)}
          />
        )}
      </section>
      <section>
        <h3>Out</h3>
        <Loaded query={query}>
          {({ items }) =>
            items.length === 0 ? (
              <p className="dim">It has stored none.</p>
            ) : (
              <ArtifactTable label="Artifacts out" list={items} column="Attempt" cell={(one) => one.attempt} />
            )
          }
        </Loaded>
      </section>
    </div>
  );
}
