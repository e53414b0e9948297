/** What every screen is made of: its head, and what is shown instead of content: loading, empty, an error. */
import type { UseQueryResult } from "@tanstack/react-query";
import { type ReactNode, useEffect } from "react";
import { ProblemError } from "../api/client.ts";

export function useTitle(title: string): void {
  useEffect(() => {
    document.title = title === "" ? "Tenuto" : `${title} · Tenuto`;
  }, [title]);
}

export function Head({ title, children, under }: { title: ReactNode; children?: ReactNode; under?: ReactNode }) {
  return (
    <header className="head">
      <div className="head-line">
        <h1>{title}</h1>
        <div className="head-actions">{children}</div>
      </div>
      {under}
    </header>
  );
}

export function Fault({ error, again }: { error: unknown; again?: () => void }) {
  const problem = error instanceof ProblemError ? error.problem : null;
  return (
    <div className="fault" role="alert">
      <strong>{problem?.detail ?? (error instanceof Error ? error.message : String(error))}</strong>
      {problem?.errors?.map((one) => (
        <div key={`${one.path} ${one.message}`}>
          <code>{one.path}</code> {one.message}
        </div>
      ))}
      {problem?.hint !== undefined && <div>{problem.hint}</div>}
      <div className="fault-foot">
        {problem !== null && <code>{problem.code}</code>}
        {again !== undefined && (
          <button type="button" onClick={again}>
            Try again
          </button>
        )}
      </div>
    </div>
  );
}

export function Loading({ lines = 6 }: { lines?: number }) {
  return (
    <div className="loading" role="status" aria-label="Loading">
      {Array.from({ length: lines }, (_, line) => (
        <span key={line} style={{ width: `${92 - ((line * 37) % 50)}%` }} />
      ))}
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <strong>{title}</strong>
      <div>{children}</div>
    </div>
  );
}

/** The content of a query once it is there; what was there stays while it is read again. */
export function Loaded<T>({ query, children }: { query: UseQueryResult<T>; children: (data: T) => ReactNode }) {
  if (query.data !== undefined) return <>{children(query.data)}</>;
  if (query.error !== null) return <Fault error={query.error} again={() => void query.refetch()} />;
  return <Loading />;
}

interface UnreadProps {
  error: unknown;
  /** What was looked for, as `run`, and its name. */
  what: string;
  name: string;
  back: ReactNode;
  again: () => void;
}

/** In the place of a whole screen: what is not there, or could not be read. */
export function Unread({ error, what, name, back, again }: UnreadProps) {
  const missing = error instanceof ProblemError && error.problem.status === 404;
  return (
    <div className="screen">
      <Head title={missing ? "Nothing here" : `${what} ${name}`} />
      {missing ? (
        <Empty title={`There is no ${what} ${name}.`}>
          <p>It may have been removed, or its name is another one.</p>
          {back}
        </Empty>
      ) : (
        <Fault error={error} again={again} />
      )}
    </div>
  );
}

export function Facts({ list }: { list: readonly (readonly [string, ReactNode])[] }) {
  return (
    <dl className="facts">
      {list.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
