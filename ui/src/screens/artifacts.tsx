/** Artifacts of all runs, the newest first. */
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { brief, everyArtifact } from "../api/queries.ts";
import { ArtifactTable } from "../parts/artifact-table.tsx";
import { Empty, Fault, Head, Loading, useTitle } from "../parts/screen.tsx";
import { Typed } from "../parts/typed.tsx";
import { A, useSearch, useSetSearch } from "../url.tsx";

export function ArtifactsScreen() {
  useTitle("Artifacts");
  const search = useSearch();
  const set = useSetSearch();
  const known = useQuery(brief).data?.items ?? [];
  const filter = { name: search["name"], type: search["type"], pipeline: search["pipeline"] };
  const query = useInfiniteQuery(everyArtifact(filter));
  const rows = query.data?.pages.flatMap(({ items }) => items) ?? [];
  return (
    <div className="screen">
      <Head title="Artifacts">
        <Typed name="name" label="Name of the artifact" placeholder="Name" />
        <Typed name="type" label="Type of the artifact" placeholder="Type" />
        <select
          aria-label="Pipeline"
          value={search["pipeline"] ?? ""}
          onChange={(event) => set({ pipeline: event.target.value || undefined })}
        >
          <option value="">All pipelines</option>
          {known.map(({ name }) => (
            <option key={name}>{name}</option>
          ))}
        </select>
      </Head>
      {query.error !== null && query.data === undefined ? (
        <Fault error={query.error} again={() => void query.refetch()} />
      ) : query.data === undefined ? (
        <Loading lines={10} />
      ) : rows.length === 0 && !query.hasNextPage ? (
        <Empty
          title={
            Object.values(filter).some((one) => one !== undefined) ? "No artifact is like this." : "No artifacts yet."
          }
        >
          What jobs store with ctx.artifact, or leave in TENUTO_ARTIFACTS, is listed here.
        </Empty>
      ) : (
        <ArtifactTable
          label="Artifacts"
          list={rows}
          column="Made by"
          cell={(one) => (
            <A to={`/runs/${one.run}`} search={{ job: one.job }} className="plain mono">
              {one.run} · {one.job}
            </A>
          )}
        />
      )}
      {query.hasNextPage && (
        <p>
          <button type="button" disabled={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
            {query.isFetchingNextPage ? "One moment" : "More"}
          </button>
        </p>
      )}
    </div>
  );
}
