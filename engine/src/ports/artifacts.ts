/**
 * Port: artifacts as the ledger knows them (who made them, who used them) and as a workspace holds them (what changed in it,
 * what was linked into it). Bytes are in ports/artifact-store.ts.
 */
import type { ArtifactPart, FoundArtifact } from "../core/artifact.ts";
import type { ArtifactRow, Consumption } from "../core/decision.ts";
import type { JobSeq, RunSeq } from "../core/model.ts";

/** An artifact with its id and the names that people know its job and run by. */
export interface ArtifactRecord extends ArtifactRow {
  id: number;
  /** Ordinal of the item that made it, -1 for a job; null for rows of an older schema. */
  item: number | null;
  superseded: 0 | 1;
  offered: 0 | 1;
  /** Id of the artifact of another run that it was taken over from. */
  source: number | null;
  jobId: string;
  /** Of its job. */
  agent: string;
  runId: string;
}

/** Which artifacts of all runs are wanted. */
export interface ArtifactSearch {
  before: number;
  limit: number;
  name?: string;
  type?: string;
  agent?: string;
  pipeline?: string;
}

export interface ConsumptionRecord extends Consumption {
  jobId: string;
  run: RunSeq;
  runId: string;
}

export interface ArtifactReads {
  /** Whether any artifact of the run is offered to dependants. */
  anyOffered(run: RunSeq): Promise<boolean>;
  /** Offered artifacts of these jobs, and unless `below` is false of all jobs below them; the first `limit` registered. */
  offeredOf(jobs: readonly JobSeq[], limit: number, below?: boolean): Promise<ArtifactRecord[]>;
  /** All artifacts of a run that are not superseded; with `all`, those as well. */
  artifactsOfRun(run: RunSeq, all?: boolean): Promise<ArtifactRecord[]>;
  /** Artifacts of these jobs and of all jobs below them that are not superseded. */
  artifactsOfJob(job: JobSeq, after: number, limit: number): Promise<ArtifactRecord[]>;
  /** Artifacts with these bytes, the newest first; with `run`, only of that run. */
  artifactsByHash(sha256: string, limit: number, run?: RunSeq): Promise<ArtifactRecord[]>;
  artifactById(id: number): Promise<ArtifactRecord | null>;
  /**
   * Of all runs, the newest first, without those that are superseded. Looks at a bounded number: with fewer than `limit`
   * found, `next` says where to go on, and is null only when there are no more.
   */
  searchArtifacts(search: ArtifactSearch): Promise<{ artifacts: ArtifactRecord[]; next: number | null }>;
  /** Who used these artifacts. */
  consumersOf(artifacts: readonly number[]): Promise<ConsumptionRecord[]>;
  /** What a job has used. */
  consumedBy(job: JobSeq): Promise<(Consumption & { record: ArtifactRecord | null })[]>;
  /** Artifacts that were taken over from these. */
  takenOverFrom(artifacts: readonly number[]): Promise<ArtifactRecord[]>;
  /** Of these hashes, those that some row or some stored value names. Reads the whole ledger, in pages. */
  namedAnywhere(hashes: ReadonlySet<string>): Promise<Set<string>>;
}

/** What an attempt of a job is about to change, remembered from the start of the job on. */
export interface Baseline {
  /** A program begins: what an earlier one wrote is not the last word. */
  beginStdout(): void;
  /** Takes the last bytes of standard output, for `stdout_final`; synchronous, bounded memory. */
  stdout(chunk: Uint8Array): void;
  /** Stores what the strategies find. The output is what `stdout_final` takes where no program wrote. */
  collect(output: string | null, leaveOut: readonly string[]): Promise<Collected>;
  /** Gives up what is held open; the memory of the start stays for the next attempt. */
  close(): void;
}

export interface Collected {
  artifacts: FoundArtifact[];
  /** Files that were not stored, with the reason. */
  skipped: { path: string; reason: string }[];
}

export interface WorkspaceJob {
  run: string;
  job: string;
  workspace: string;
}

export interface InputLink {
  job: string;
  name: string;
  sha256: string;
  bytes: number;
}

export interface Workspaces {
  /**
   * Remembers the state of the folders that the parts look at, unless an earlier attempt has. `resolve` gives the folder of a
   * part that names one. @throws invalid_config where `git_diff` finds no worktree of its own
   */
  begin(job: WorkspaceJob, parts: readonly (ArtifactPart & { folder: string })[]): Promise<Baseline>;
  /** Makes `<workspace>/inputs` anew with these objects; gives their paths in the same order. Verified as they are linked. */
  link(workspace: string, inputs: readonly InputLink[]): Promise<string[]>;
}
