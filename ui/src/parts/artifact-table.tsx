/** Artifacts as a table; what stands between type and size is up to the screen. */
import type { ReactNode } from "react";
import type { Artifact } from "../api/client.ts";
import { A } from "../url.tsx";
import { bytesText } from "./bytes.ts";
import { Ago } from "./time.tsx";

interface TableProps {
  label: string;
  list: readonly Artifact[];
  column: string;
  cell: (one: Artifact) => ReactNode;
}

export function ArtifactTable({ label, list, column, cell }: TableProps) {
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
