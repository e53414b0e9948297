/** `tenuto artifacts lineage`: where an artifact comes from, and who used it, job by job and run by run. */
import type { ArtifactRecord } from "../../ports/artifacts.ts";
import { type Lineage, type LineageUse, lineageOf } from "../../runtime/lineage.ts";
import { time } from "../documents.ts";
import { EXIT } from "../failure.ts";
import { bytes } from "../figures.ts";
import type { Cli } from "../main.ts";
import { withLedger } from "../project.ts";
import { oneLine } from "../terminal.ts";
import { findArtifact } from "./artifacts.ts";

export async function artifactsLineage(cli: Cli, id: string, name: string | undefined): Promise<number> {
  return await withLedger(cli, async (tenuto) => {
    const artifact = await findArtifact(tenuto, id, name);
    const lineage = await lineageOf(tenuto.engine.parts.ledger, artifact);
    cli.out.document("lineage", documentOf(lineage));
    cli.out.data(...textOf(lineage));
    if (lineage.cut) cli.out.say("There is more; only the nearest part is shown.");
    return EXIT.ok;
  });
}

function documentOf({ artifact, artifacts, origins, uses, takenOver, cut }: Lineage) {
  const use = ({ at, ...rest }: LineageUse) => ({ ...rest, at: time(at) });
  return {
    artifact: artifact.id,
    artifacts: [...artifacts.values()].map(({ id, runId, jobId, name, type, sha256, bytes: size, at, superseded }) => ({
      id,
      run: runId,
      job: jobId,
      name,
      type,
      sha256,
      bytes: size,
      superseded: superseded === 1,
      at: time(at),
    })),
    origins: origins.map(use),
    uses: uses.map(use),
    takenOver,
    cut,
  };
}

function titleOf(record: ArtifactRecord): string {
  return `${oneLine(record.name)}  ${record.type}  ${bytes(record.bytes)}  ${record.sha256.slice(0, 16)}  made by ${record.runId}/${record.jobId}`;
}

function textOf(lineage: Lineage): string[] {
  const lines = [titleOf(lineage.artifact), "", "made from"];
  const shown = new Set<number>();
  lines.push(...(origins(lineage, lineage.artifact.id, 1, shown) || []));
  if (lines.at(-1) === "made from") lines.push("  nothing that was recorded");
  lines.push("", "used by");
  shown.clear();
  lines.push(...consumers(lineage, lineage.artifact.id, 1, shown));
  if (lines.at(-1) === "used by") lines.push("  nobody");
  return lines;
}

const indent = (depth: number): string => "  ".repeat(Math.min(depth, 20));

function origins(lineage: Lineage, id: number, depth: number, shown: Set<number>): string[] {
  shown.add(id);
  const lines: string[] = [];
  const sources = [
    ...lineage.takenOver.filter((pair) => pair.artifact === id).map((pair) => ({ id: pair.source, how: "taken over" })),
    ...lineage.origins.filter((use) => use.made.includes(id)).map((use) => ({ id: use.artifact, how: use.how })),
  ];
  for (const source of sources) {
    const record = lineage.artifacts.get(source.id);
    if (record === undefined) lines.push(`${indent(depth)}an artifact that has been pruned  (${source.how})`);
    else if (shown.has(source.id)) lines.push(`${indent(depth)}${oneLine(record.name)} of ${record.jobId}, see above`);
    else {
      lines.push(`${indent(depth)}${titleOf(record)}  (${source.how})`);
      lines.push(...origins(lineage, source.id, depth + 1, shown));
    }
  }
  return lines;
}

function consumers(lineage: Lineage, id: number, depth: number, shown: Set<number>): string[] {
  shown.add(id);
  const lines: string[] = [];
  for (const { artifact } of lineage.takenOver.filter((pair) => pair.source === id)) {
    const record = lineage.artifacts.get(artifact);
    if (record === undefined || shown.has(artifact)) continue;
    lines.push(`${indent(depth)}${record.runId}/${record.jobId}  took it over`);
    lines.push(...consumers(lineage, artifact, depth + 1, shown));
  }
  for (const use of lineage.uses.filter((entry) => entry.artifact === id)) {
    lines.push(`${indent(depth)}${use.run}/${use.job}  (${use.how})`);
    for (const made of use.made) {
      const record = lineage.artifacts.get(made);
      if (record === undefined) continue;
      lines.push(`${indent(depth + 1)}and made ${oneLine(record.name)}${shown.has(made) ? ", see above" : ""}`);
      if (!shown.has(made)) lines.push(...consumers(lineage, made, depth + 2, shown));
    }
  }
  return lines;
}
