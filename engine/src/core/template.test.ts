import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { graph } from "../testing/builders.ts";
import type { JobSpec, PipelineDocument } from "./document.ts";
import { jobGraph, upstreamPairs } from "./job-graph.ts";
import type { DependencyType } from "./model.ts";
import { validateDocument } from "./pipeline.ts";
import { type Excluded, type Exclusion, excludeJobs } from "./template.ts";

const pipeline = (text: string): PipelineDocument => ({ ...graph(text, "demo"), kind: "graph" });

/** A document in the short form of the builders; `+` after the id: waits for the stage before as well. */
function shown(document: PipelineDocument): string {
  const job = (spec: JobSpec): string => {
    const needs = spec.needs?.map((need) => need.job + (need.on === "success" ? "" : `:${need.on}`)).join(",");
    return `${spec.id}${spec.allowFailure === true ? "!" : ""}${spec.afterStage === true ? "+" : ""}${needs === undefined ? "" : `(${needs})`}`;
  };
  return document.stages.map((stage) => stage.jobs.map(job).join(" ")).join(" | ");
}

const without = (text: string, ...jobs: string[]): string => shown(excludeJobs(pipeline(text), { jobs }).document);
const error = (document: PipelineDocument, exclusion: Exclusion): string => {
  try {
    excludeJobs(document, exclusion);
    return "no error";
  } catch (caught) {
    return (caught as Error).message;
  }
};

describe("excluding jobs", () => {
  test("a follower of an excluded job depends on what that one depended on", () => {
    expect(without("a b(a) c(b)", "b")).toBe("a c(a)");
    expect(without("a b(a) c(b) d(c)", "b", "c")).toBe("a d(a)");
    expect(without("a b c(a,b) d(c) e(c)", "c")).toBe("a b d(a,b) e(a,b)");
    expect(without("a b() c(b)", "b")).toBe("a c");
  });

  test("types: success takes over, always stays always, failure can never be met", () => {
    expect(without("a b(a:failure) c(b)", "b")).toBe("a c(a:failure)");
    expect(without("a b(a:always) c(b)", "b")).toBe("a c(a:always)");
    expect(without("a b(a) c(b:always)", "b")).toBe("a c(a:always)");
    const { document, jobs, implied } = excludeJobs(pipeline("a b(a) c(b:failure) d(c) e(c:always) f(b)"), {
      jobs: ["b"],
    });
    expect(shown(document)).toBe("a e(a:always) f(a)");
    expect(jobs).toEqual(["b"]);
    expect(implied).toEqual([
      { job: "c", reason: 'it runs only when "b" has failed' },
      { job: "d", reason: 'it needs "c", which can\'t start' },
    ]);
  });

  test("conditions on one job are joined", () => {
    expect(without("a b(a:always) c(a,b)", "b")).toBe("a c(a)");
    expect(without("a b(a:always) c(a:failure,b)", "b")).toBe("a c(a:failure)");
    const { document, implied } = excludeJobs(pipeline("a b(a:failure) c(a,b) d"), { jobs: ["b"] });
    expect(shown(document)).toBe("a d");
    expect(implied).toEqual([{ job: "c", reason: 'it would need "a" to succeed and to fail' }]);
  });

  test("a stage that becomes empty is gone, and the next follows the one before", () => {
    expect(shown(excludeJobs(pipeline("a | b c | d"), { stages: ["s2"] }).document)).toBe("a | d");
    expect(shown(excludeJobs(pipeline("a | b(a) | d"), { stages: ["s2"] }).document)).toBe("a | d");
    expect(shown(excludeJobs(pipeline("a | b | c | d"), { stages: ["s2"], jobs: ["c"] }).document)).toBe("a | d");
    expect(shown(excludeJobs(pipeline("a | b | c"), { stages: ["s1"] }).document)).toBe("b | c");
  });

  test("a barrier that an excluded job waited for is kept", () => {
    // Between neighbours as a barrier, otherwise as needs.
    expect(without("a | b c(b)", "b")).toBe("a | c");
    expect(without("a | b x() c(b,x)", "b")).toBe("a | x() c+(x)");
    expect(without("p! q | dev1 dev2 | test1(dev1) test2(dev2)", "dev1")).toBe(
      "p! q | dev2 | test1(p:always,q) test2(dev2)",
    );
    expect(without("a | b | c(b)", "b")).toBe("a | c");
  });

  test("what a barrier implied through an excluded job still comes first", () => {
    // c waited for stage 2, and so, through b, for a.
    expect(without("a | b x() | c", "b")).toBe("a | x() | c+(a)");
    expect(without("a | b x | c", "b")).toBe("a | x | c");
    expect(without("a n | b(n) x(a) | c", "b")).toBe("a n | x(a) | c+(n:always)");
  });

  test("names that are not there, and nothing left", () => {
    expect(error(pipeline("a | b"), { stages: ["s33"], jobs: ["build"] })).toBe(
      'pipeline demo can\'t be started like this:\n  there is no stage "s33". Known: s1, s2.\n  there is no job "build". Known: a, b.',
    );
    expect(error(pipeline("a | b"), { stages: ["s1"], jobs: ["b"] })).toContain("nothing is left of its 2 jobs");
    expect(error(pipeline("a b(a:failure)"), { jobs: ["a"] })).toContain("nothing is left");
  });

  test("references to what is left out are named, all at once", () => {
    const document = pipeline("a b(a) c(b) d(c)");
    const [, b, c, d] = document.stages[0]!.jobs as [JobSpec, JobSpec, JobSpec, JobSpec];
    c.input = { text: "{{ jobs.b.output.text }}", first: "{{ jobs.a.output }}" };
    c.when = { eq: ["{{ jobs.b.state }}", "completed"] };
    d.input = "{{ jobs.c.output }}";
    b.input = "{{ jobs.a.output }}";
    expect(error(document, { jobs: ["b"] })).toMatchInlineSnapshot(`
      "pipeline demo can't be started like this:
        job "c" refers to {{ jobs.b.output.text }} in input.text, but job "b" is left out
        job "c" refers to {{ jobs.b.state }} in when.eq.0, but job "b" is left out"
    `);
    expect(error(document, { jobs: ["b", "c"] })).toContain('job "d" refers to {{ jobs.c.output }}');
    expect(shown(excludeJobs(document, { jobs: ["b", "c", "d"] }).document)).toBe("a");
  });

  test("an artifact of what is left out, and the right to run it again", () => {
    const document = pipeline("a b c(b)");
    const [, b, c] = document.stages[0]!.jobs as [JobSpec, JobSpec, JobSpec];
    b.multiply = { source: { job: "a", artifact: "list.json" } };
    c.spawns = { jobs: ["a", "b"], rounds: 2 };
    expect(error(document, { jobs: ["a"] })).toContain(
      'job "b" is multiplied by an artifact of job "a", which is left out',
    );
    delete b.multiply;
    const { document: reduced, rights } = excludeJobs(document, { jobs: ["b"] });
    expect(rights).toEqual([{ job: "c", spawns: "b" }]);
    expect(reduced.stages[0]!.jobs[1]!.spawns).toEqual({ jobs: ["a"], rounds: 2 });
    expect(c.spawns.jobs).toEqual(["a", "b"]);
  });

  test("the document that came in is not changed", () => {
    const document = pipeline("a b(a) c(b) | d");
    const before = JSON.stringify(document);
    excludeJobs(document, { jobs: ["b"] });
    expect(JSON.stringify(document)).toBe(before);
  });

  test("large stages cost what barriers cost", () => {
    const stage = (name: string, count: number, need = "") =>
      Array.from({ length: count }, (_, i) => `${name}${i}${need === "" ? "" : `(${need}${i})`}`).join(" ");
    const document = pipeline(
      [stage("a", 5_000), stage("b", 5_000), stage("c", 5_000, "b"), stage("d", 5_000)].join(" | "),
    );
    const middle = excludeJobs(document, { stages: ["s2"] }).document;
    expect(middle.stages.map((kept) => kept.jobs.length)).toEqual([5_000, 5_000, 5_000]);
    expect(middle.stages[1]!.jobs[7]).toEqual({ id: "c7", agent: "test/agent" });
  });
});

// ---------------------------------------------------------------------------------------------------------------------
// Properties: what remains behaves as the whole would if the excluded jobs did nothing and succeeded.

type Outcome = "completed" | "failed";

const TYPES: readonly DependencyType[] = ["success", "failure", "always"];

/** Graphs of explicit needs, each job only on earlier ones. */
const explicit = fc
  .array(
    fc.record({
      needs: fc.array(fc.tuple(fc.nat(), fc.constantFrom(...TYPES)), { maxLength: 3 }),
      fails: fc.boolean(),
      out: fc.boolean(),
    }),
    { minLength: 2, maxLength: 12 },
  )
  .map((jobs) => {
    const specs: JobSpec[] = jobs.map(({ needs }, at) => ({
      id: `j${at}`,
      agent: "test/agent",
      needs:
        at === 0
          ? []
          : [...new Map(needs.map(([to, on]) => [to % at, on])).entries()].map(([to, on]) => ({ job: `j${to}`, on })),
    }));
    const document: PipelineDocument = { name: "demo", kind: "graph", stages: [{ name: "main", jobs: specs }] };
    return {
      document,
      outcomes: new Map(jobs.map(({ fails }, at): [string, Outcome] => [`j${at}`, fails ? "failed" : "completed"])),
      out: jobs.flatMap(({ out }, at) => (out ? [`j${at}`] : [])),
    };
  });

/** How each job ends; jobs of `nothing` do nothing and succeed if they start. */
function simulate(document: PipelineDocument, outcomes: ReadonlyMap<string, Outcome>, nothing: ReadonlySet<string>) {
  const ends = new Map<string, Outcome | "skipped">();
  for (const spec of document.stages.flatMap((stage) => stage.jobs)) {
    const met = (spec.needs ?? []).every(({ job, on }) => {
      const end = ends.get(job)!;
      return on === "always" || (on === "success" ? end === "completed" : end === "failed");
    });
    ends.set(spec.id, !met ? "skipped" : nothing.has(spec.id) ? "completed" : outcomes.get(spec.id)!);
  }
  return ends;
}

/** The exclusion, or null where nothing is left. */
function attempt(document: PipelineDocument, exclusion: Exclusion): Excluded | null {
  try {
    return excludeJobs(document, exclusion);
  } catch (caught) {
    expect((caught as Error).message).toContain("nothing is left");
    return null;
  }
}

/** Several stages; some jobs wait for the stage before, some for jobs before them, some for nothing. */
const staged = fc
  .array(
    fc.array(fc.record({ kind: fc.nat(2), needs: fc.array(fc.nat(), { maxLength: 2 }), out: fc.boolean() }), {
      minLength: 1,
      maxLength: 3,
    }),
    { minLength: 2, maxLength: 5 },
  )
  .map((stages) => {
    let count = 0;
    const out: string[] = [];
    const document: PipelineDocument = {
      name: "demo",
      kind: "graph",
      stages: stages.map((jobs, stage) => ({
        name: `s${stage}`,
        jobs: jobs.map((job): JobSpec => {
          const at = count++;
          if (job.out) out.push(`j${at}`);
          const needs =
            at === 0
              ? []
              : [...new Set(job.needs.map((to) => to % at))].map((to) => ({ job: `j${to}`, on: "success" as const }));
          return {
            id: `j${at}`,
            agent: "test/agent",
            ...(job.kind === 0 ? {} : { needs }),
            ...(job.kind === 2 && stage > 0 ? { afterStage: true } : {}),
          };
        }),
      })),
    };
    return { document, out };
  });

describe("properties of exclusion", () => {
  test("the same jobs run, whatever fails", () => {
    fc.assert(
      fc.property(explicit, ({ document, outcomes, out }) => {
        const reduced = attempt(document, { jobs: out });
        const whole = simulate(document, outcomes, new Set(out));
        const gone = new Set(out);
        if (reduced === null) {
          // Then nothing else could have run either.
          for (const [id, end] of whole) if (!gone.has(id)) expect(end).toBe("skipped");
          return;
        }
        const kept = simulate(reduced.document, outcomes, new Set());
        for (const [id, end] of kept) expect([id, end]).toEqual([id, whole.get(id)]);
        for (const { job } of reduced.implied) expect([job, whole.get(job)]).toEqual([job, "skipped"]);
        expect(kept.size + reduced.implied.length + out.length).toBe(whole.size);
      }),
      { numRuns: 3_000, seed: 7 },
    );
  });

  test("what came before still comes before, and nothing else is invented", () => {
    fc.assert(
      fc.property(staged, ({ document, out }) => {
        const reduced = attempt(document, { jobs: out });
        if (reduced === null) return;
        expect(validateDocument(reduced.document)).toEqual([]);
        const before = jobGraph(document);
        const after = jobGraph(reduced.document);
        const ids = [...after.byId.keys()];
        const pairs = ids.flatMap((a) => ids.map((b) => [a, b] as const));
        const was = upstreamPairs(
          before,
          pairs.map(([a, b]) => [before.byId.get(a)!, before.byId.get(b)!] as const),
        );
        const is = upstreamPairs(
          after,
          pairs.map(([a, b]) => [after.byId.get(a)!, after.byId.get(b)!] as const),
        );
        pairs.forEach(([a, b], i) => {
          if (was[i] && !is[i]) expect(`${a} no longer waits for ${b}`).toBe("");
        });
      }),
      { numRuns: 3_000, seed: 11 },
    );
  });

  test("without exclusions everything stays as it is", () => {
    fc.assert(
      fc.property(staged, ({ document }) => {
        const { document: same, jobs, implied } = excludeJobs(document, {});
        expect([jobs, implied]).toEqual([[], []]);
        const normal = (one: PipelineDocument) =>
          shown(one)
            .replaceAll("+()", "")
            .split(" | ")
            .map((stage, i) => (i === 0 ? stage.replaceAll("()", "") : stage))
            .join(" | ");
        expect(normal(same)).toBe(normal(document));
      }),
      { numRuns: 300, seed: 13 },
    );
  });

  test("in two steps or in one", () => {
    fc.assert(
      fc.property(explicit, fc.nat(), ({ document, outcomes, out }, split) => {
        const first = out.slice(0, out.length === 0 ? 0 : split % out.length);
        const once = attempt(document, { jobs: out });
        const half = attempt(document, { jobs: first });
        if (once === null || half === null) return;
        const left = new Set(half.document.stages[0]!.jobs.map((spec) => spec.id));
        const twice = attempt(half.document, { jobs: out.filter((id) => !first.includes(id) && left.has(id)) });
        if (twice === null) return;
        const ends = (one: PipelineDocument) => simulate(one, outcomes, new Set());
        const [a, b] = [ends(once.document), ends(twice.document)];
        for (const [id, end] of a) expect([id, b.get(id) ?? "skipped"]).toEqual([id, end]);
      }),
      { numRuns: 1_000, seed: 17 },
    );
  });
});
