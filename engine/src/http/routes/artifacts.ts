/** Artifacts by run and by hash: list, bytes, lineage, verification. */
import { TenutoError } from "../../core/errors.ts";
import type { ArtifactRecord } from "../../ports/artifacts.ts";
import { type Call, type Handlers, runOf } from "../call.ts";
import { disposition, rangeOf } from "../files.ts";
import { HttpProblem } from "../problems.ts";
import { artifactShape, time } from "../shapes.ts";

const MOST = 1_000;
/** What a browser may show by itself: it has no scripts. Everything else is text or a download. */
const SHOWN: ReadonlySet<string> = new Set(["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"]);
const TEXT = /^(text\/|application\/(json|x-ndjson|jsonl|yaml|xml|toml|x-sh|javascript|typescript))/;

async function known(call: Call): Promise<ArtifactRecord[]> {
  const { sha256 } = call.params;
  const rows = await call.services.ledger.artifactsByHash(sha256, MOST);
  if (rows.length > 0) return rows;
  throw new TenutoError("not_found", `there is no artifact ${sha256}`, {
    hint: "List those of a run: GET /api/runs/RUN/artifacts.",
  });
}

async function content(call: Call) {
  const [first] = await known(call);
  const { sha256, bytes, mediaType, name } = first as ArtifactRecord;
  const { store } = call.services.backend;
  if (!(await store.has(sha256)))
    throw new TenutoError("not_found", `the bytes of artifact ${sha256} are gone`, {
      hint: "They were removed from the store; restore a backup, or run their job again.",
    });
  const range = rangeOf(call.header("range"), bytes);
  const type = SHOWN.has(mediaType)
    ? mediaType
    : TEXT.test(mediaType)
      ? "text/plain; charset=utf-8"
      : "application/octet-stream";
  const download = call.query["download"] === true || type === "application/octet-stream";
  return {
    body: store.get(sha256, range ?? undefined),
    type,
    status: range === null ? 200 : 206,
    headers: {
      "accept-ranges": "bytes",
      etag: `"${sha256}"`,
      "cache-control": "private, max-age=31536000, immutable",
      "content-length": String(range === null ? bytes : range.end - range.start),
      "content-disposition": disposition(name, download),
      "content-security-policy": "sandbox; default-src 'none'",
      ...(range === null ? {} : { "content-range": `bytes ${range.start}-${range.end - 1}/${bytes}` }),
    },
  };
}

export const artifactHandlers: Handlers = {
  listArtifacts: async (call) => {
    const run = await runOf(call);
    const { all, job, after, limit } = call.query;
    const rows = (await call.services.ledger.artifactsOfRun(run.seq, all === true)).filter(
      (row) => row.id > Number(after ?? 0) && (job === undefined || row.jobId === job),
    );
    const shown = rows.slice(0, limit);
    return {
      json: { items: shown.map(artifactShape), next: rows.length > limit ? String(shown.at(-1)!.id) : null },
    };
  },
  listAllArtifacts: async ({ services: { ledger }, query: { after, limit, ...more } }) => {
    const before = Number(after ?? Number.MAX_SAFE_INTEGER);
    const { artifacts, next } = await ledger.searchArtifacts({ before, limit, ...more });
    return { json: { items: artifacts.map(artifactShape), next: next === null ? null : String(next) } };
  },
  showArtifact: async (call) => ({ json: { items: (await known(call)).map(artifactShape), next: null } }),
  readArtifact: content,
  showLineage: async (call) => {
    const [first] = await known(call);
    const { lineage } = call.services.features;
    if (lineage === undefined) throw new HttpProblem(501, "not_available", "lineage is not available on this server");
    const { artifact, artifacts, origins, uses, takenOver, cut } = await lineage(first as ArtifactRecord);
    const told = (list: typeof uses) => list.map((use) => ({ ...use, at: time(use.at) }));
    return {
      json: {
        artifact: artifactShape(artifact),
        artifacts: [...artifacts.values()].map(artifactShape),
        origins: told(origins),
        uses: told(uses),
        takenOver,
        complete: !cut,
      },
    };
  },
  verifyArtifact: async (call) => {
    await known(call);
    const { sha256 } = call.params;
    const { store } = call.services.backend;
    const { ok, bytes } = (await store.has(sha256)) ? await store.verify(sha256) : { ok: false, bytes: 0 };
    return { json: { sha256, ok, bytes } };
  },
};
