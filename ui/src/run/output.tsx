/** The last part of the raw output of a command. */
import { useQuery } from "@tanstack/react-query";
import { useLayoutEffect, useRef } from "react";
import { address, jobPath, ProblemError, textOf } from "../api/client.ts";
import { Ansi } from "../parts/ansi.tsx";
import { Empty, Fault, Loading } from "../parts/screen.tsx";

const NEAR_END = 24;
const TAIL_BYTES = 262_144;

export function Output({ run, job, ended }: { run: string; job: string; ended: boolean }) {
  const path = jobPath(run, job, "/output");
  const query = useQuery({
    queryKey: ["job", run, job, "output"],
    queryFn: ({ signal }) => textOf(address(path, { tail: TAIL_BYTES }), signal),
    retry: false,
    refetchInterval: ended ? false : 1_000,
  });
  const box = useRef<HTMLPreElement>(null);
  // While it grows its end is shown, unless somebody has scrolled up.
  const atEnd = useRef(true);
  // biome-ignore lint/correctness/useExhaustiveDependencies: whenever there is more of it
  useLayoutEffect(() => {
    if (atEnd.current) box.current?.scrollTo(0, box.current.scrollHeight);
  }, [query.data]);
  if (query.error instanceof ProblemError && query.error.problem.status === 404) return <Wrote ended={ended} />;
  if (query.error !== null) return <Fault error={query.error} />;
  if (query.data === undefined) return <Loading />;
  if (query.data === "") return <Wrote ended={ended} />;
  return (
    <>
      <p className="note">
        What its program wrote.{" "}
        <a className="button quiet" href={address(path, { download: true })}>
          Download all of it
        </a>
      </p>
      <pre
        ref={box}
        className="text output"
        role="region"
        tabIndex={0}
        aria-label="Raw output"
        onScroll={({ currentTarget }) => {
          const { scrollTop, scrollHeight, clientHeight } = currentTarget;
          atEnd.current = scrollHeight - scrollTop - clientHeight < NEAR_END;
        }}
      >
        <Ansi text={query.data} />
      </pre>
    </>
  );
}

function Wrote({ ended }: { ended: boolean }) {
  return (
    <Empty title={ended ? "Nothing was logged." : "Nothing was logged yet."}>
      {!ended && "What it logs, and what its program writes, appears here."}
    </Empty>
  );
}
