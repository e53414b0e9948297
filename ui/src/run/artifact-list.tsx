/** Artifacts of a run or of one job. */
import { useQuery } from "@tanstack/react-query";
import { artifacts } from "../api/queries.ts";
import { bytesText } from "../parts/bytes.ts";
import { Empty, Loaded } from "../parts/screen.tsx";
import { Ago } from "../parts/time.tsx";
import { A } from "../url.tsx";

export function ArtifactList({ run, job }: { run: string; job?: string }) {
  const query = useQuery(artifacts(run, job));
  return (
    <Loaded query={query}>
      {({ items }) =>
        items.length === 0 ? (
          <Empty title="No artifacts.">
            What jobs store with ctx.artifact, or leave in TENUTO_ARTIFACTS, is listed here.
          </Empty>
        ) : (
          <div className="scroll" tabIndex={0} role="region" aria-label="Artifacts">
            <table className="plain-table">
              <thead>
                <tr>
                  <th>Name</th>
                  <th>Type</th>
                  {job === undefined && <th>Job</th>}
                  <th className="right">Size</th>
                  <th className="right">Made</th>
                </tr>
              </thead>
              <tbody>
                {items.map((one) => (
                  <tr key={one.id}>
                    <td>
                      <A to={`/artifacts/${one.sha256}`} search={{ id: String(one.id) }} className="mono">
                        {one.name}
                      </A>
                      {one.superseded && <span className="tag">superseded</span>}
                    </td>
                    <td className="dim">{one.type}</td>
                    {job === undefined && <td className="mono dim">{one.job}</td>}
                    <td className="right num">{bytesText(one.bytes)}</td>
                    <td className="right dim">
                      <Ago at={one.at} />
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )
      }
    </Loaded>
  );
}
