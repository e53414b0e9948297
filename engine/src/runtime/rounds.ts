/**
 * Programs that ask for children: a round of work ends with a list of jobs to run, the job waits for them without process and
 * slot, and the next round is told how they ended. Each round that ended so is a step, so that a crash repeats only the
 * present one, and loops are counted.
 */
import type { Agent, SpawnSpec } from "../core/agent.ts";
import { DEFAULT_ROUNDS } from "../core/document-agents.ts";
import { TenutoError } from "../core/errors.ts";
import type { Json } from "../core/model.ts";
import { checkPayload } from "../core/payload.ts";
import type { Scope } from "../core/placeholders.ts";
import { childKey, childSpec, outcomeOf } from "./children.ts";
import type { Execution } from "./execution.ts";
import { type AttemptHost, attemptWork, type Result } from "./work.ts";

/** What a round asked for, as its step keeps it. */
interface Round {
  children: { key: string; spec: SpawnSpec }[];
  /** What it had made so far; the children find it as `context.parentOutput`. */
  output: Json;
}

/** How a child of an earlier round ended, as the next round is told. */
export interface RoundChild {
  id: string;
  key: string;
  agent: string;
  round: number;
  state: string;
  output: Json;
  error: Json;
}

const stepOf = (round: number): string => `tenuto:round:${round}`;

/** Works in rounds until one ends without asking for children. */
export async function workInRounds(
  host: AttemptHost,
  execution: Execution,
  agent: Agent | null,
  input: Json,
  data: Scope,
): Promise<Result> {
  const children: RoundChild[] = [];
  for (let number = 0; ; number++) {
    let round = (await execution.recorded(stepOf(number), null)) as unknown as Round | undefined;
    if (round === undefined) {
      execution.round = { number, children };
      const startedAt = execution.parts.clock.now();
      const result = await attemptWork(host, execution, agent, input, data);
      if (result.kind !== "completed" || result.json === null) return result;
      const asked = askedFor(result.json);
      if (asked === null) return result;
      round = readRound(asked, execution, number);
      await checkLoop(execution, number);
      const { json } = checkPayload(round as unknown as Json, `round ${number} of job ${execution.facts.job.id}`);
      await execution.working(() => execution.record(stepOf(number), null, json, startedAt));
      // The same attempt goes on with the next round: what this one recorded must be found, whichever attempt it is.
      execution.facts.mayHaveSteps = true;
    }
    children.push(...(await runChildren(execution, round, number)));
  }
}

/** The list under `$spawn`, if the output asks for children. */
function askedFor(json: string): { list: Json; output: Json } | null {
  if (!json.includes('"$spawn"')) return null;
  const output = JSON.parse(json) as Json;
  if (typeof output !== "object" || output === null || Array.isArray(output) || output.$spawn === undefined)
    return null;
  return { list: output.$spawn, output: output.output ?? null };
}

const FIELDS: readonly string[] = ["key", "agent", "like", "input", "stage", "reason", "allowFailure", "priority"];

function readRound({ list, output }: { list: Json; output: Json }, execution: Execution, number: number): Round {
  const { job } = execution.facts;
  const wrong = (what: string) =>
    new TenutoError("contract_violation", `$spawn of job ${job.id} ${what}`, {
      hint: 'Write {"$spawn": [{"key": "fix", "like": "dev", "reason": "…"}]}.',
    });
  if (!Array.isArray(list) || list.length === 0) throw wrong("is no list of jobs");
  const keys = new Set<string>();
  const children = list.map((entry, at) => {
    if (typeof entry !== "object" || entry === null || Array.isArray(entry)) throw wrong(`has no object at ${at}`);
    for (const name of Object.keys(entry))
      if (!FIELDS.includes(name)) throw wrong(`has an unknown field ${JSON.stringify(name)} at ${at}`);
    if ((entry["agent"] === undefined) === (entry["like"] === undefined))
      throw wrong(`needs either agent or like at ${at}`);
    for (const name of ["key", "agent", "like", "stage", "reason"])
      if (entry[name] !== undefined && typeof entry[name] !== "string") throw wrong(`has no text as ${name} at ${at}`);
    if (entry["priority"] !== undefined && !["high", "normal", "low"].includes(String(entry["priority"])))
      throw wrong(`has the priority ${JSON.stringify(entry["priority"])} at ${at}`);
    const { key: given, ...rest } = entry as { key?: string } & Record<string, Json>;
    const key = childKey(`${number}-${given ?? at}`, execution.parts.hash);
    if (keys.has(key)) throw wrong(`uses the key ${JSON.stringify(given)} twice`);
    keys.add(key);
    const spec = { allowFailure: true, parentOutput: output, ...rest } as unknown as SpawnSpec;
    // Refused here, before anything of this round is written.
    childSpec({ ...job, children: job.children + at }, execution.facts.resolved, key, spec);
    return { key, spec };
  });
  return { children, output };
}

/** Rounds of the job's present life; a retry by a person begins to count anew. */
async function checkLoop(execution: Execution, number: number): Promise<void> {
  const { job, resolved } = execution.facts;
  const rounds = resolved.spec.spawns?.rounds ?? DEFAULT_ROUNDS;
  const since = job.firstStartedAt ?? 0;
  let before = 0;
  for (let earlier = number - 1; earlier >= 0; earlier--) {
    const step = await execution.parts.ledger.step(job.seq, -1, stepOf(earlier));
    if (step === null || step.startedAt < since) break;
    before += 1;
  }
  if (before >= rounds)
    throw new TenutoError("loop_limit", `job ${job.id} has asked for children in ${before} rounds and asks again`, {
      hint: "Look at its children; raise spawns.rounds, or retry the run to go on.",
      details: { rounds, job: job.id },
    });
}

async function runChildren(execution: Execution, round: Round, number: number): Promise<RoundChild[]> {
  const ids = await execution.working(async () => {
    const seqs: number[] = [];
    for (const { key, spec } of round.children) seqs.push(await execution.spawnOnly(key, spec));
    return seqs;
  });
  const records = await Promise.all(ids.map((seq) => execution.childEnd(seq)));
  return records.map((record, at) => {
    const outcome = outcomeOf<Json>(record, true);
    const child = round.children[at]!;
    return {
      id: outcome.id,
      key: child.key,
      agent: record.agent,
      round: number,
      state: outcome.state,
      output: outcome.output,
      error: outcome.error as unknown as Json,
    };
  });
}
