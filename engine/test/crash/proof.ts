/** Proof by journal: what the ledger holds as results against what was executed. */
import { query } from "./audit.ts";
import { byKey, readJournal } from "./journal.ts";

export interface Proof {
  problems: string[];
  checked: number;
  /** Executions beyond one per key. */
  repeated: number;
}

/** Each committed result must be the last effect that the journal has of its key. */
export function proveResults(database: string, path: string): Proof {
  const keys = byKey(readJournal(path));
  const problems: string[] = [];
  let checked = 0;
  const prove = (key: string, nonce: unknown) => {
    checked += 1;
    const known = keys.get(key);
    if (known === undefined) problems.push(`${key}: committed without an execution`);
    else if (known.last !== nonce) problems.push(`${key}: committed ${String(nonce)}, executed last ${known.last}`);
  };
  const jobs = query<{ run: string; id: string; output: string }>(
    database,
    "SELECT run.id AS run, job.id, output FROM job JOIN run ON run.seq = job.run WHERE job.state = 'completed' AND output LIKE '{\"nonce\"%'",
  );
  for (const { run, id, output } of jobs) prove(`${run}/${id}`, JSON.parse(output).nonce);
  const items = query<{ run: string; id: string; ordinal: number; result: string }>(
    database,
    "SELECT run.id AS run, job.id, ordinal, result FROM item JOIN job ON job.seq = item.job JOIN run ON run.seq = job.run WHERE item.state = 'completed'",
  );
  for (const { run, id, ordinal, result } of items) prove(`${run}/${id}/${ordinal}`, JSON.parse(result).nonce);
  const codes = query<{ run: string; id: string; output: string }>(
    database,
    "SELECT run.id AS run, job.id, output FROM job JOIN run ON run.seq = job.run WHERE job.id = 'code' AND job.state = 'completed'",
  );
  for (const { run, id, output } of codes)
    for (const [step, nonce] of Object.entries(JSON.parse(output).steps)) prove(`${run}/${id}/${step}`, nonce);
  let repeated = 0;
  for (const { begins } of keys.values()) repeated += begins.length - 1;
  return { problems, checked, repeated };
}
