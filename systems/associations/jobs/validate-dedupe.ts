/**
 * validation/dedupe: each company once, with what all its records said.
 *
 * Records are read three times rather than held: once for their profiles, once for the members of groups, once to write. Only members of
 * groups are in memory as records. Computing lets others run every few milliseconds.
 */
import { setImmediate } from "node:timers/promises";
import type { Context } from "tenuto";
import { z } from "zod";
import type { AnyRecord, RecordSource } from "../adapters/records.ts";
import { collect, datasetSchema, enrichedFiles, fromFiles, openRecords, recordsSchema } from "../adapters/records.ts";
import type { Duplicates } from "../domain/matching/find-duplicates.ts";
import { DEFAULT_SLACK, findDuplicates } from "../domain/matching/find-duplicates.ts";
import { mergeRecords } from "../domain/matching/merge.ts";
import type { Profiles } from "../domain/matching/profiles.ts";
import { ProfileBuilder } from "../domain/matching/profiles.ts";
import type { Evidence, Weights } from "../domain/matching/score.ts";
import { DEFAULT_THRESHOLD, DEFAULT_WEIGHTS, explainPair, FIELDS } from "../domain/matching/score.ts";
import { isWanted } from "./enrich-batch.ts";
import type { Services } from "./web.ts";

const weightSchema = z
  .strictObject({ agree: z.number().min(0).max(100), differ: z.number().min(0).max(100) })
  .refine(({ agree, differ }) => agree >= differ, "agree must not be less than differ");

export const dedupeInput = z
  .object({
    records: recordsSchema.optional(),
    /** JSONL files, instead of `records`. */
    paths: z.array(z.string()).optional(),
    /** What enrichment wrote below this folder, instead of `records`: of these associations, or of all. */
    dataDir: z.string().optional(),
    associations: z.array(z.string()).default([]),
    /** Another kind than `dedupe` or `all`: every record stays as it is. */
    validation: z.enum(["all", "dedupe", "crossref", "score"]).default("all"),
    threshold: z.number().gt(0).max(1).default(DEFAULT_THRESHOLD),
    /** Instead of the default weights, field by field. */
    weights: z.partialRecord(z.enum(FIELDS), weightSchema).default({}),
    slack: z.number().min(0).max(1).default(DEFAULT_SLACK),
  })
  .refine(
    ({ records, paths, dataDir }) => [records, paths, dataDir].filter((one) => one !== undefined).length === 1,
    "give one of records, paths and dataDir",
  );

const groupSchema = z.object({
  group: z.string(),
  size: z.number(),
  /** The first of them. */
  members: z.array(
    z.object({
      record: z.number(),
      company_name: z.string().nullable(),
      association: z.string().nullable(),
      source_url: z.string().nullable(),
    }),
  ),
  /** Why: the pairs at or above the threshold, best first. */
  pairs: z.array(
    z.object({ left: z.number(), right: z.number(), score: z.number(), evidence: z.array(z.custom<Evidence>()) }),
  ),
});
export type DuplicateGroup = z.infer<typeof groupSchema>;

export const dedupeOutput = z.object({
  success: z.literal(true),
  records: recordsSchema,
  records_processed: z.number(),
  unreadable: z.number(),
  /** Records that went into another one. */
  duplicates_found: z.number(),
  duplicate_groups: z.number(),
  groups: z.union([z.array(groupSchema), datasetSchema]),
  /** Pairs alike enough that were kept apart, because their groups contradict each other. */
  refused_pairs: z.number(),
  comparisons: z.number(),
});

const PAIRS_SHOWN = 20;
const MEMBERS_SHOWN = 200;

export function dedupe(services: Pick<Services, "now">) {
  return {
    name: "validation/dedupe",
    description: "Finds records of one company by name, phone, address and website, and merges them",
    version: "1",
    timeoutSeconds: 3600,
    input: dedupeInput,
    output: dedupeOutput,
    run: (input: Input, ctx: Context) => run(input, ctx, services),
  };
}

type Input = z.infer<typeof dedupeInput>;

async function run(input: Input, ctx: Context, services: Pick<Services, "now">): Promise<z.infer<typeof dedupeOutput>> {
  const source = await sourceOf(input, ctx);
  const weights = { ...DEFAULT_WEIGHTS, ...input.weights } as Weights;
  const { threshold, slack, validation } = input;
  // Nothing scores above 1, so nothing is merged.
  const reached = isWanted(validation, "dedupe") ? threshold : 1.5;
  const found = await searchDuplicates(source, { threshold: reached, slack, weights, signal: ctx.signal });
  const { groups, refused, stats } = found.duplicates;
  const mergedAt = services.now().toISOString();
  const held = await holdMembers(source, groups);
  const unique = () => uniqueRecords(source, { groups, held, mergedAt });
  const described = () => describeGroups(found, held, weights);
  const merged = groups.reduce((sum, group) => sum + group.length - 1, 0);
  const count = found.profiles.count;
  ctx.log.info(
    `${count} records, ${merged} of them duplicates in ${groups.length} groups; ${stats.candidates} comparisons`,
  );
  const unreadable = source.unreadable();
  if (unreadable > 0) ctx.log.warn(`${unreadable} lines are no records and were left out`);
  const isList = Array.isArray(input.records);
  return {
    success: true,
    records: isList ? await collect(unique()) : await ctx.dataset("deduplicated", unique()),
    records_processed: count,
    unreadable,
    duplicates_found: merged,
    duplicate_groups: groups.length,
    groups: isList ? [...described()] : await ctx.dataset("duplicate-groups", described()),
    refused_pairs: refused.length,
    comparisons: stats.candidates,
  };
}

async function sourceOf({ records, paths, dataDir, associations }: Input, ctx: Context): Promise<RecordSource> {
  if (records !== undefined) return openRecords(ctx, records);
  return fromFiles(paths ?? (await enrichedFiles(dataDir ?? "data", associations)));
}

export interface SearchOptions {
  threshold?: number;
  slack?: number;
  weights?: Weights;
  signal?: AbortSignal;
}

export interface Found {
  profiles: Profiles;
  duplicates: Duplicates;
}

/** The duplicates of a source of records; the event loop runs on meanwhile. */
export async function searchDuplicates(source: AsyncIterable<AnyRecord>, options: SearchOptions = {}): Promise<Found> {
  const builder = new ProfileBuilder();
  let seen = 0;
  for await (const record of source) {
    builder.add(record);
    if (++seen % 2_000 === 0) await pause(options.signal);
  }
  const profiles = builder.seal();
  const work = findDuplicates(profiles, options);
  for (let step = work.next(); ; step = work.next()) {
    if (step.done === true) return { profiles, duplicates: step.value };
    await pause(options.signal);
  }
}

async function pause(signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  await setImmediate();
}

/** The members of groups, by number. */
export async function holdMembers(
  source: AsyncIterable<AnyRecord>,
  groups: readonly number[][],
): Promise<Map<number, AnyRecord>> {
  const wanted = new Set(groups.flat());
  const held = new Map<number, AnyRecord>();
  let at = 0;
  if (wanted.size > 0) {
    for await (const record of source) {
      if (wanted.has(at)) held.set(at, record);
      at++;
    }
  }
  return held;
}

export interface Merging {
  groups: readonly number[][];
  held: ReadonlyMap<number, AnyRecord>;
  mergedAt: string;
}

/** Every company once, where its first record stood. */
export async function* uniqueRecords(
  source: RecordSource,
  { groups, held, mergedAt }: Merging,
): AsyncGenerator<AnyRecord> {
  const groupAt = new Map(groups.map((group, number) => [group[0]!, number]));
  let at = -1;
  for await (const record of source) {
    at++;
    const number = groupAt.get(at);
    if (number === undefined) {
      if (!held.has(at)) yield mergeRecords([record], { mergedAt, group: "" });
      continue;
    }
    const members = groups[number]!.map((member) => held.get(member)!);
    yield mergeRecords(members, { mergedAt, group: groupName(number) });
  }
}

function groupName(number: number): string {
  return `dup-${String(number + 1).padStart(6, "0")}`;
}

function* describeGroups(
  { profiles, duplicates: { groups, pairs } }: Found,
  held: ReadonlyMap<number, AnyRecord>,
  weights: Weights,
): Generator<DuplicateGroup> {
  const groupOf = new Map(groups.flatMap((group, number) => group.map((member) => [member, number] as const)));
  const pairsOf = new Map<number, number[]>();
  for (let at = 0; at < pairs.left.length; at++) {
    const number = groupOf.get(pairs.left[at]!);
    if (number === undefined || groupOf.get(pairs.right[at]!) !== number) continue;
    const known = pairsOf.get(number);
    if (known === undefined) pairsOf.set(number, [at]);
    else known.push(at);
  }
  const text = (value: unknown) => (typeof value === "string" ? value : null);
  for (const [number, group] of groups.entries()) {
    const best = (pairsOf.get(number) ?? []).sort((a, b) => pairs.score[b]! - pairs.score[a]!).slice(0, PAIRS_SHOWN);
    yield {
      group: groupName(number),
      size: group.length,
      members: group.slice(0, MEMBERS_SHOWN).map((member) => {
        const { company_name, association, source_url } = held.get(member) ?? {};
        return {
          record: member,
          company_name: text(company_name),
          association: text(association),
          source_url: text(source_url),
        };
      }),
      pairs: best.map((at) => {
        const [left, right] = [pairs.left[at]!, pairs.right[at]!];
        return { left, right, ...explainPair(profiles, left, right, weights) };
      }),
    };
  }
}
