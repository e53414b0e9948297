/** One transaction of SQLite: decides a batch and saves it. Synchronous from BEGIN to COMMIT, as SQLite is. */
import type { RowCache } from "../../core/row-cache.ts";
import type { Numbers } from "../../core/run.ts";
import { Unit } from "../../core/unit.ts";
import { type Batch, type Committed, decideBatch } from "../decide.ts";
import { save } from "./save.ts";
import { SqliteSource } from "./source.ts";
import { SQL } from "./sql.ts";
import type { Statements } from "./statements.ts";

export interface SqliteBatch extends Batch {
  at: number;
  cache: RowCache;
  numbers: NumberMemory;
}

/** Numbers of runs and jobs that earlier commits of this process have left. */
export class NumberMemory {
  /** Numbers of jobs that this process has taken and not used yet. */
  block: { next: number; end: number } | null = null;
  /** The next run's number, past the last row; as long as nobody else writes. */
  nextRun: number | null = null;
}

/** Runs the batch inside the transaction that the caller has begun. */
export function execute(statements: Statements, batch: SqliteBatch, failpoint: (point: string) => void): Committed {
  const unit = new Unit(batch.at, batch.cache);
  const source = new SqliteSource(statements);
  const decided = decideBatch(source, numberSource(statements, batch.numbers), unit, batch);
  failpoint("save");
  for (const seq of decided.resumed) statements.of(SQL.dropPropagation).run(seq);
  save(statements, unit);
  if (unit.hints.ready) batch.memory.nothingFor.clear();
  const unfinished = decided.postponed || (batch.resume !== false && source.propagations(1).length > 0);
  return { ...decided, hints: unit.hints, unfinished };
}

/** Jobs are numbered from blocks that a process takes at once; what it does not use up stays unused. */
const BLOCK = 1_000;

function numberSource(statements: Statements, memory: NumberMemory): Numbers {
  const take = (name: string, count: number): number => {
    const row = statements.of(SQL.takeNumbers).get(count, name, count) as Record<string, number>;
    return Object.values(row)[0]!;
  };
  return {
    run: () => {
      const next = memory.nextRun ?? (statements.of(SQL.nextRun).get() as { next: number }).next;
      memory.nextRun = next + 1;
      return next;
    },
    jobs: (count) => {
      if (memory.block === null || memory.block.end - memory.block.next < count) {
        const size = Math.max(BLOCK, count);
        const next = take("job", size);
        memory.block = { next, end: next + size };
      }
      memory.block.next += count;
      return memory.block.next - count;
    },
  };
}
