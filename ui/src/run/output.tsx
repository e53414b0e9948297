/** The last part of the raw output of a command. */
import { useQuery } from "@tanstack/react-query";
import { address, jobPath, textOf } from "../api/client.ts";
import { Ansi } from "../parts/ansi.tsx";
import { Empty, Fault, Loading } from "../parts/screen.tsx";

const TAIL_BYTES = 262_144;

export function Output({ run, job }: { run: string; job: string }) {
  const path = jobPath(run, job, "/output");
  const query = useQuery({
    queryKey: ["job", run, job, "output"],
    queryFn: ({ signal }) => textOf(address(path, { tail: TAIL_BYTES }), signal),
    retry: false,
  });
  if (query.error !== null) return <Fault error={query.error} />;
  if (query.data === undefined) return <Loading />;
  if (query.data === "") return <Empty title="It wrote nothing." />;
  return (
    <pre className="text output" role="region" tabIndex={0} aria-label="Raw output">
      <a className="button quiet" href={address(path, { download: true })}>
        Download all of it
      </a>
      {"\n"}
      <Ansi text={query.data} />
    </pre>
  );
}
