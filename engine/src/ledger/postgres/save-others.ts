/** Statements of rare effects, each on its own, in the order in which they were decided. */
import type { ArtifactRow, Effect } from "../../core/decision.ts";
import { invariant } from "../../core/errors.ts";
import { recordValues } from "../records.ts";
import type { Statement } from "./connection.ts";
import { RECORD_SQL } from "./records.ts";

const statement = (name: string, sql: string, values: readonly unknown[]): Statement => ({ name, sql, values });

const REOPEN =
  "UPDATE item SET state = 'pending', attempts = 0, error = NULL, due_at = NULL, ended_at = NULL WHERE job = $1 AND state IN ('failed', 'skipped', 'cancelled') AND attempts > 0";

export function saveOthers(effects: readonly Effect[], at: number): Statement[] {
  return effects.flatMap((effect) => statementsOf(effect, at));
}

function statementsOf(effect: Effect, at: number): Statement[] {
  switch (effect.type) {
    case "reopenItems":
      return reopenItems(effect);
    case "itemKeys":
      return [
        statement(
          "item_keys",
          "INSERT INTO item_key (scope, hash, job, ordinal) SELECT $1::bigint, hash, $2::bigint, ordinal FROM unnest($3::bytea[], $4::bigint[]) k (hash, ordinal) ON CONFLICT DO NOTHING",
          [effect.scope, effect.job, effect.keys.map(({ hash }) => hash), effect.keys.map(({ ordinal }) => ordinal)],
        ),
      ];
    case "clearItemKeys":
      return [
        statement("clear_item_keys", "DELETE FROM item_key WHERE scope = $1 AND job = $2", [effect.scope, effect.job]),
        statement(
          "drop_loose_items",
          "DELETE FROM item WHERE job = $1 AND NOT EXISTS (SELECT 1 FROM fanout WHERE job = $1)",
          [effect.job],
        ),
      ];
    case "putLimiter":
      return [
        statement(
          "put_limiter",
          "INSERT INTO limiter (name, key, data) VALUES ($1, $2, $3) ON CONFLICT (name, key) DO UPDATE SET data = excluded.data",
          [effect.row.name, effect.row.key, effect.row.data],
        ),
      ];
    case "put":
      return [
        statement(`put_${effect.table}`, RECORD_SQL[effect.table].put, recordValues(effect.table, effect.row as never)),
      ];
    case "drop":
      return [statement(`drop_${effect.table}`, RECORD_SQL[effect.table].drop, [effect.id])];
    case "closeApprovals":
      return [
        statement(
          "close_approvals",
          "UPDATE approval SET state = 'cancelled', decided_at = $1 WHERE job = $2 AND state = 'open'",
          [at, effect.job],
        ),
      ];
    case "voidApprovals":
      return [
        statement("void_approvals", "UPDATE approval SET voided = 1 WHERE job = $1 AND state <> 'approved'", [
          effect.job,
        ]),
      ];
    case "hold":
      return [
        statement(
          "hold",
          "INSERT INTO hold (limiter, key, job, epoch, item) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
          [effect.limiter, effect.key, effect.job, effect.epoch, effect.item],
        ),
      ];
    case "release":
      return [
        statement(
          "release",
          `DELETE FROM hold WHERE job = $1 AND ($2::bigint IS NULL OR epoch = $2) AND ($3::text IS NULL OR limiter = $3)
           AND ($4::text IS NULL OR key = $4) AND ($5::bigint IS NULL OR item = $5)`,
          [effect.job, effect.epoch, effect.limiter, effect.key, effect.item],
        ),
      ];
    default:
      return rarer(effect, at);
  }
}

function rarer(effect: Effect, at: number): Statement[] {
  switch (effect.type) {
    case "cachePut":
      return [
        statement(
          "put_cache",
          "INSERT INTO cache (pipeline, key, job, at, output) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (pipeline, key) DO UPDATE SET job = excluded.job, at = excluded.at, output = excluded.output",
          [effect.pipeline, effect.key, effect.job, effect.at, effect.output],
        ),
      ];
    case "process":
      return [
        statement(
          "add_process",
          "INSERT INTO process (marker, boot, pid, pid_start, job, epoch) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
          [effect.row.marker, effect.row.boot, effect.row.pid, effect.row.pidStart, effect.row.job, effect.row.epoch],
        ),
      ];
    case "processEnded":
      return [statement("drop_process", "DELETE FROM process WHERE marker = $1", [effect.marker])];
    case "artifact":
      return putArtifact(effect.row);
    case "consume":
      return effect.rows.map((row) =>
        statement(
          "consume",
          "INSERT INTO consumption (job, artifact, how, at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
          [row.job, row.artifact, row.how, row.at],
        ),
      );
    case "dataset":
      return [
        statement(
          "put_dataset",
          "INSERT INTO dataset (sha256, count, bytes, stride, offsets, created_at) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
          [effect.sha256, effect.count, effect.bytes, effect.stride, effect.offsets, at],
        ),
      ];
    default:
      return invariant(false, `effect ${effect.type} has no row`) as never;
  }
}

function reopenItems(effect: Effect & { type: "reopenItems" }): Statement[] {
  const { job, ordinals } = effect;
  return [
    // Items of windows that nobody finished get rows, so that the retry cursor finds them.
    statement(
      "uncover_items",
      `INSERT INTO item (job, ordinal, state, attempts) SELECT w.job, o.ordinal, 'pending', 0 FROM item_window w
       CROSS JOIN LATERAL generate_series(w.start, w.stop - 1) o (ordinal) WHERE w.job = $1 ON CONFLICT DO NOTHING`,
      [job],
    ),
    statement("drop_all_windows", "DELETE FROM item_window WHERE job = $1", [job]),
    ordinals === null
      ? statement("reopen_items", REOPEN, [job])
      : statement("reopen_these_items", `${REOPEN} AND ordinal = ANY ($2::bigint[])`, [job, ordinals]),
  ];
}

/** The same bytes under the same name are one row, whatever the number of attempts; other bytes take their place. */
function putArtifact(row: ArtifactRow): Statement[] {
  const item = row.item ?? -1;
  return [
    statement(
      "supersede_artifacts",
      "UPDATE artifact SET superseded = 1 WHERE job = $1 AND name = $2 AND item = $3 AND sha256 <> $4 AND superseded = 0",
      [row.job, row.name, item, row.sha256],
    ),
    statement(
      "put_artifact",
      `INSERT INTO artifact (run, job, attempt, name, type, sha256, bytes, media_type, at, item, offered, source) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
       ON CONFLICT (job, name, item, sha256) DO UPDATE SET superseded = 0, attempt = excluded.attempt, type = excluded.type, media_type = excluded.media_type, at = excluded.at, offered = excluded.offered`,
      [
        row.run,
        row.job,
        row.attempt,
        row.name,
        row.type,
        row.sha256,
        row.bytes,
        row.mediaType,
        row.at,
        item,
        row.offered ?? 0,
        row.source ?? null,
      ],
    ),
  ];
}
