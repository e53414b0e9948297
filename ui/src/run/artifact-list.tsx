/** Artifacts of a run, or of one job: what it was given and what it made. */
import { useQuery } from "@tanstack/react-query";
import type { Artifact, Job } from "../api/client.ts";
import { artifacts } from "../api/queries.ts";
import { bytesText } from "../parts/bytes.ts";
import { Empty, Loaded } from "../parts/screen.tsx";
import { Ago } from "../parts/time.tsx";
import { A } from "../url.tsx";

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
          <Table label="Artifacts" list={items} column="Job" cell={(one) => <span className="mono">{one.job}</span>} />
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
          <Table
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
              <Table label="Artifacts out" list={items} column="Attempt" cell={(one) => one.attempt} />
            )
          }
        </Loaded>
      </section>
    </div>
  );
}

interface TableProps {
  label: string;
  list: readonly Artifact[];
  column: string;
  cell: (one: Artifact) => React.ReactNode;
}

function Table({ label, list, column, cell }: TableProps) {
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label={label}>
      <table className="plain-table">
        <thead>
          <tr>
            <th>Name</th>
            <th>Type</th>
            <th>{column}</th>
            <th className="right">Size</th>
            <th className="right">Made</th>
          </tr>
        </thead>
        <tbody>
          {list.map((one) => (
            <tr key={one.id}>
              <td>
                <A to={`/artifacts/${one.sha256}`} search={{ id: String(one.id) }} className="mono">
                  {one.name}
                </A>
                {one.superseded && <span className="tag">superseded</span>}
              </td>
              <td className="dim">{one.type}</td>
              <td className="dim">{cell(one)}</td>
              <td className="right num">{bytesText(one.bytes)}</td>
              <td className="right dim">
                <Ago at={one.at} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
