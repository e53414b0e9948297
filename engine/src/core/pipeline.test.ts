import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Dependency, JobSpec, PipelineDocument, StageSpec } from "./document.ts";
import { jobGraph, upstreamPairs } from "./job-graph.ts";
import type { Json } from "./model.ts";
import { canonicalJson, definitionError, validateDocument } from "./pipeline.ts";
import { pathSegments, pathText } from "./shape.ts";

const job = (id: string, more: Partial<JobSpec> = {}): JobSpec => ({ id, agent: "test/agent", ...more });
const needs = (...ids: string[]): Dependency[] => ids.map((id) => ({ job: id, on: "success" }));
const pipeline = (stages: JobSpec[][], more: Partial<PipelineDocument> = {}): PipelineDocument => ({
  name: "demo",
  kind: "graph",
  stages: stages.map((jobs, i): StageSpec => ({ name: `s${i}`, jobs })),
  ...more,
});

/** The problems as lines. */
function problems(document: unknown, known?: Parameters<typeof validateDocument>[1]): string {
  return validateDocument(document as PipelineDocument, known)
    .map(({ path, message, hint }) => `${path}: ${message}. ${hint}`)
    .join("\n");
}

describe("validateDocument", () => {
  test("a sound document has no problems", () => {
    const params = { type: "object", properties: { url: { type: "string" } } };
    const document = pipeline(
      [
        [job("map", { input: "{{ params.url }}" }), job("free", { needs: [] })],
        [
          job("crawl", {
            forEach: { source: "{{ jobs.map.output.urls }}", concurrency: 5, errorRate: 0.1, key: "{{ item.id }}" },
            input: { url: "{{ item }}", n: "{{ index }}", run: "{{ run.id }}" },
            limits: ["host:{{ item.host }}", "all"],
          }),
          job("report", {
            needs: [{ job: "crawl", on: "always" }],
            input: "{{ jobs.map.output }}{{ jobs.crawl.state }}",
          }),
          job("cleanup", { needs: [{ job: "crawl", on: "failure" }], input: "{{ jobs.crawl.error }}" }),
        ],
      ],
      {
        params,
        limiters: { "host:*": { rate: { count: 1, perSeconds: 1 } }, all: { concurrency: 3 } },
        runId: "x-{seq}",
      },
    );
    expect(problems(document)).toBe("");
  });

  test("names", () => {
    const document = pipeline([[job("a"), job("a b")], [job("a")]], { name: "" });
    document.stages[1]!.name = "s0";
    expect(problems(document)).toMatchInlineSnapshot(`
      "name: "" can't be the name of a pipeline. Use 1 to 100 letters, digits, '.', '_' or '-', starting with a letter or digit.
      stages[1].name: stage "s0" is there twice, first as stages[0]. Give each stage its own name.
      stages[0].jobs[1].id: "a b" can't be the id of a job. Use 1 to 100 letters, digits, '.', '_' or '-', starting with a letter or digit.
      stages[1].jobs[0].id: job "a" is there twice, first as stages[0].jobs[0]. Ids are unique in the whole pipeline."
    `);
  });

  test("needs", () => {
    const document = pipeline([[job("extract"), job("load", { needs: needs("extarct", "extract", "extract") })]]);
    expect(problems(document)).toMatchInlineSnapshot(`
      "stages[0].jobs[1].needs[0]: there is no job "extarct". Did you mean "extract"?
      stages[0].jobs[1].needs[2]: job "extract" is needed twice. Keep one; \`always\` covers success and failure."
    `);
  });

  test("cycles: by needs, of one, through a stage barrier", () => {
    const document = pipeline([
      [
        job("a", { needs: needs("c") }),
        job("b", { needs: needs("a") }),
        job("c", { needs: needs("b") }),
        job("self", { needs: needs("self") }),
      ],
      [job("late")],
    ]);
    expect(problems(document)).toMatchInlineSnapshot(`
      "stages[0].jobs[0].needs: jobs wait for each other: a → c → b → a. Remove one of these needs.
      stages[0].jobs[3].needs: a job waits for itself: self → self. Remove one of these needs."
    `);
    expect(problems(pipeline([[job("a", { needs: needs("z") })], [job("z")]]))).toMatchInlineSnapshot(
      `"stages[0].jobs[0].needs: jobs wait for each other: a → z → (stage s0) → a. A job without needs waits for the whole stage before; give it needs, or move the job that needs it."`,
    );
    expect(problems(pipeline([[job("a", { needs: needs("z") })], [job("z", { needs: [] })]]))).toBe("");
  });

  test("placeholders", () => {
    const params = { type: "object", properties: { limit: { type: "integer" } } };
    const document = pipeline(
      [
        [job("a"), job("b", { input: ["{{ jobs.a.output }}", "{{ params.limt }}", "{{ item }}"] })],
        [
          job("c", { needs: needs("a"), input: "{{ jobs.b.output }}", summary: "{{ nope }}" }),
          job("d", {
            needs: [{ job: "a", on: "failure" }],
            input: "{{ jobs.a.output.x }} {{ jobs.d.output }} {{ jobs.aa.output }}",
          }),
          job("e", {
            forEach: { source: "{{ item }}", concurrency: 1, errorRate: 0 },
            when: { eq: ["{{ index }}", 1] },
            input: "{{ item }}",
          }),
        ],
      ],
      { params, concurrency: { key: "{{ run.id }}", onConflict: "queue" } },
    );
    expect(problems(document)).toMatchInlineSnapshot(`
      "concurrency.key: {{ run.id }} is not known yet here. Only params can be used.
      stages[0].jobs[1].input[1]: {{ params.limt }} refers to no param of this pipeline. Did you mean "limit"?
      stages[0].jobs[1].input[2]: {{ item }} has no item here. Only jobs with forEach or multiply have items.
      stages[1].jobs[0].summary: {{ nope }} does not begin with params, jobs, item, index, run, context, attempt, input, output. A placeholder is a path such as {{ params.x }}, {{ jobs.a.output.rows[0]["odd key"] }}, {{ item }}, {{ index }} or {{ run.id }}; a literal {{ is written {{ "{{" }}.
      stages[1].jobs[1].input: {{ jobs.a.output.x }} is never there: the job runs only when "a" failed. Refer to jobs.a.error.
      stages[1].jobs[1].input: {{ jobs.aa.output }} refers to no job of this pipeline. Known: a, b, c, d, e.
      stages[1].jobs[2].when.eq[0]: {{ index }} has no index here. This place belongs to the whole job; items are known in input, command, limits and the forEach key.
      stages[1].jobs[2].forEach.source: {{ item }} has no item here. This place belongs to the whole job; items are known in input, command, limits and the forEach key.
      stages[0].jobs[1].input[0]: {{ jobs.a.output }}: "a" may not have ended before "b" starts. Add "a" to the needs of "b".
      stages[1].jobs[0].input: {{ jobs.b.output }}: "b" may not have ended before "c" starts. Add "b" to the needs of "c".
      stages[1].jobs[1].input: {{ jobs.d.output }} refers to the job itself. Refer to a job before it."
    `);
  });

  test("figures, rules, commands, limiters", () => {
    const document = pipeline(
      [
        [
          job("a", {
            agent: "command/inline",
            command: { argv: ["/bin/bash", "-ec", "echo {{ params.x }}"], env: { "A-B": "1", TENUTO_URL: "x" } },
            retry: { baseSeconds: 10, capSeconds: 5 },
            timeoutSeconds: 60,
            jobTimeoutSeconds: 30,
            errors: [{ status: ["5xx", "6xx"], category: "retryable" }],
            limits: ["hots:x", "host", "one:x"],
            when: { all: [{ eq: [1] } as never, {} as never, { in: [1, 2] }] },
          }),
          job("b", { agent: "html", command: { argv: ["x"] } }),
          job("c", { agent: "command/inline" }),
          job("d", { input: { at: new Date(0) } as never }),
        ],
      ],
      {
        params: { type: "object", additionalProperties: true },
        limiters: { "host:*": { concurrency: 1 }, one: { quota: {} }, "b d": {} },
        runId: "same",
        requires: [{ file: "a", env: "B" } as never],
        agents: { wrong: "1" },
      },
    );
    expect(problems(document)).toMatchInlineSnapshot(`
      "runId: run id pattern "same" makes the same id for every run. Put {seq} or {random} into it, for example {pipeline}-{seq}.
      requires[0]: must name exactly one of file, env, command, agent. Write one entry for each.
      limiters.one.quota: limits nothing. Give day or month.
      limiters["b d"]: "b d" can't be the name of a limiter. Use 1 to 100 letters, digits, '.', '_' or '-', starting with a letter or digit; end it with :* for one limiter per key.
      limiters["b d"]: limits nothing. Give rate, concurrency, quota, budget or breaker.
      agents.wrong: "wrong" is not the name of an agent. Use layer/name, for example extraction/html_parser.
      stages[0].jobs[0].retry.baseSeconds: is above capSeconds (5). Raise capSeconds or lower baseSeconds.
      stages[0].jobs[0].jobTimeoutSeconds: is below timeoutSeconds (60) of a single attempt. The job's limit includes all its attempts.
      stages[0].jobs[0].errors[0].status: can't be "6xx". Use a status such as 429 or a class such as 5xx.
      stages[0].jobs[0].command.argv[2]: has a placeholder inside shell text. Text in a shell command would be run as code. Set env: {NAME: "{{ … }}"} and use "$NAME", or read the input file.
      stages[0].jobs[0].command.env.A-B: "A-B" is not the name of a variable. Use letters, digits and '_'.
      stages[0].jobs[0].command.env.TENUTO_URL: TENUTO_URL is set by the engine. Choose a name without TENUTO_.
      stages[0].jobs[0].limits[0]: there is no limiter "hots:*". Did you mean "host:*"?
      stages[0].jobs[0].limits[1]: limiter "host" needs a key. Write host:key; it is declared as host:*.
      stages[0].jobs[0].limits[2]: limiter "one" has no keys. Declare it as "one:*", or write one.
      stages[0].jobs[0].when.all[0].eq: has 1 operands. Write eq: [left, right].
      stages[0].jobs[0].when.all[1]: has no operator. Use one of eq, ne, gt, lt, in, exists, all, any, not; join several with all: or any:.
      stages[0].jobs[0].when.all[2].in[1]: must be a list. Write in: [value, [one, two]], or a placeholder that yields a list.
      stages[0].jobs[1].agent: "html" is not the name of an agent. Use layer/name, for example extraction/html_parser.
      stages[0].jobs[1].command: is given beside the agent "html". Keep the agent or the command.
      stages[0].jobs[2]: has the agent command/inline but no command. Add command: [program, argument, …].
      stages[0].jobs[3].input: it can't be stored: at is a Date. Use date.toISOString()."
    `);
  });

  test("form", () => {
    const document = {
      name: 5,
      kind: "graf",
      stages: [
        {
          name: "s",
          jobs: [
            { id: "a", agnt: "x/y", timeoutSeconds: "5", needs: "b", priority: "hihg", retry: { maxRetries: 1.5 } },
          ],
        },
        { name: "t", jobs: [] },
      ],
      extra: undefined,
    };
    expect(problems(document)).toMatchInlineSnapshot(`
      "name: must be text, not 5. Give text.
      kind: can't be "graf". Use one of: graph, code.
      stages[0].jobs[0]: lacks "agent". Add agent: …
      stages[0].jobs[0].agnt: unknown key "agnt". Did you mean "agent"?
      stages[0].jobs[0].timeoutSeconds: must be a number, not the text "5". Give a number.
      stages[0].jobs[0].needs: must be a list, not the text "b". Give a list.
      stages[0].jobs[0].priority: can't be "hihg". Did you mean "high"?
      stages[0].jobs[0].retry.maxRetries: can't be 1.5. Give a whole number from 0 to 1000.
      stages[1].jobs: is empty. Give at least 1.
      extra: unknown key "extra". Known: name, description, runId, priority, display, requires, limiters, modelBudget, defaults, kind, params, concurrency, and 2 more."
    `);
  });

  test("known agents", () => {
    const document = pipeline([[job("a", { agent: "extraction/htlm" })]]);
    expect(problems(document, { agents: new Set(["extraction/html"]) })).toMatchInlineSnapshot(
      `"stages[0].jobs[0].agent: there is no agent "extraction/htlm". Did you mean "extraction/html"?"`,
    );
  });

  test("nothing crashes it", () => {
    let deep: Json = 1;
    for (let i = 0; i < 10_000; i++) deep = i % 2 === 0 ? [deep] : { d: deep };
    const cyclic: Record<string, unknown> = {};
    cyclic.all = [cyclic, cyclic];
    expect(problems(pipeline([[job("a", { input: deep })]]))).toContain("nested more than 200 deep");
    expect(problems(pipeline([[job("a", { when: cyclic as never })]]))).toContain("contains itself");
    fc.assert(
      fc.property(fc.anything(), fc.anything(), (stages, more) => {
        for (const document of [
          stages,
          { name: "x", kind: "graph", stages },
          pipeline([[{ id: "a", agent: "a/b", input: more, when: more } as never]]),
        ]) {
          expect(Array.isArray(validateDocument(document as never))).toBe(true);
        }
      }),
      { numRuns: 500 },
    );
  });

  test("10,000 jobs: refused cycle and its path in under 100 ms, no stack, stages without edges", () => {
    const count = 10_000;
    const ring = pipeline([
      Array.from({ length: count }, (_, i) => job(`j${i}`, { needs: needs(`j${(i + 1) % count}`) })),
    ]);
    expect(problems(ring)).toMatchInlineSnapshot(
      `"stages[0].jobs[0].needs: jobs wait for each other: j0 → j1 → j2 → j3 → j4 → j5 → j6 → j7 → j8 → j9 → j10 → j11 → (9979 more) → j9991 → j9992 → j9993 → j9994 → j9995 → j9996 → j9997 → j9998 → j9999 → j0. Remove one of these needs."`,
    );
    const chain = pipeline([
      Array.from({ length: count }, (_, i) =>
        job(`j${i}`, { needs: i === 0 ? [] : needs(`j${i - 1}`), input: i === 0 ? 0 : `{{ jobs.j${i >> 1}.output }}` }),
      ),
    ]);
    chain.stages[0]!.jobs[1]!.input = "{{ jobs.j0.output }}";
    const half = (prefix: string): JobSpec[] =>
      Array.from({ length: count / 2 }, (_, i) =>
        job(prefix + i, prefix === "b" ? { input: `{{ jobs.a${i}.output }}` } : {}),
      );
    for (const document of [chain, pipeline([half("a"), half("b")])]) expect(problems(document)).toBe("");
    // The figure of R-34, in time of this thread: other work shares the machine.
    const times = Array.from({ length: 5 }, () => {
      const start = process.threadCpuUsage();
      validateDocument(ring);
      const { user, system } = process.threadCpuUsage(start);
      return (user + system) / 1_000;
    });
    expect(Math.min(...times)).toBeLessThan(100);
  });
});

describe("jobGraph against a reference", () => {
  const arbitrary = fc.array(
    fc.record({ stage: fc.nat(3), explicit: fc.boolean(), needs: fc.array(fc.nat(11), { maxLength: 3 }) }),
    { minLength: 1, maxLength: 12 },
  );

  function build(given: readonly { stage: number; explicit: boolean; needs: number[] }[]): PipelineDocument {
    const stages: JobSpec[][] = [[], [], [], []];
    given.forEach((one, i) => {
      const targets = [...new Set(one.needs)].filter((target) => target < given.length);
      stages[one.stage]!.push(
        job(`j${i}`, one.explicit ? { needs: needs(...targets.map((target) => `j${target}`)) } : {}),
      );
    });
    return pipeline(stages.filter((jobs) => jobs.length > 0));
  }

  /** Everything that must end first, with barriers as plain edges: quadratic, obvious. */
  function reachable(document: PipelineDocument): Map<string, Set<string>> {
    const direct = new Map<string, string[]>();
    document.stages.forEach((stage, s) => {
      for (const spec of stage.jobs) {
        const before = spec.needs?.map((need) => need.job) ?? document.stages[s - 1]?.jobs.map((one) => one.id) ?? [];
        direct.set(spec.id, before);
      }
    });
    return new Map(
      [...direct.keys()].map((id) => {
        const seen = new Set<string>();
        const queue = [...direct.get(id)!];
        for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
          if (seen.has(next)) continue;
          seen.add(next);
          queue.push(...direct.get(next)!);
        }
        return [id, seen];
      }),
    );
  }

  test("a cycle is found exactly when there is one, every reported one exists, upstream is exact", () => {
    fc.assert(
      fc.property(arbitrary, (given) => {
        const document = build(given);
        const graph = jobGraph(document);
        const above = reachable(document);
        const id = (at: number): string => graph.nodes[at]!.spec.id;
        const cyclic = [...above].some(([own, set]) => set.has(own));
        expect(graph.cycles.length > 0).toBe(cyclic);
        for (const cycle of graph.cycles) {
          cycle.forEach((at, i) => {
            const next = cycle[(i + 1) % cycle.length]!;
            const node = graph.nodes[at]!;
            const waits =
              node.needs.includes(next) || (node.barrier === 1 && graph.nodes[next]!.stage === node.stage - 1);
            expect(waits).toBe(true);
          });
        }
        if (cyclic) return;
        expect(graph.order).toHaveLength(graph.nodes.length);
        const pairs = graph.nodes.flatMap((_, a) => graph.nodes.map((__, b) => [a, b] as const));
        expect(upstreamPairs(graph, pairs)).toEqual(pairs.map(([a, b]) => above.get(id(a))!.has(id(b))));
      }),
      { numRuns: 1_000 },
    );
  });

  test("upstream works beyond one chunk of targets", () => {
    const count = 2_500;
    const document = pipeline([
      Array.from({ length: count }, (_, i) => job(`j${i}`, { needs: i === 0 ? [] : needs(`j${i - 1}`) })),
    ]);
    const graph = jobGraph(document);
    const pairs = Array.from({ length: count }, (_, i) => [count - 1, i] as const);
    expect(upstreamPairs(graph, pairs).filter(Boolean)).toHaveLength(count - 1);
  });
});

describe("canonicalJson", () => {
  test("does not depend on the order of keys, and is JSON", () => {
    const shuffled = (value: Json): Json => {
      if (Array.isArray(value)) return value.map(shuffled);
      if (typeof value !== "object" || value === null) return value;
      return Object.fromEntries(
        Object.entries(value)
          .reverse()
          .map(([key, part]) => [key, shuffled(part)]),
      );
    };
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = canonicalJson(value as Json);
        expect(canonicalJson(shuffled(value as Json))).toBe(text);
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  test("differs where content differs, leaves out undefined, refuses what is no JSON", () => {
    expect(canonicalJson({ b: [1, "1"], a: { d: null, c: undefined as never } })).toBe('{"a":{"d":null},"b":[1,"1"]}');
    for (const bad of [Number.NaN, () => 1, 1n, [undefined]])
      expect(() => canonicalJson(bad as never)).toThrow(/is no JSON/);
    const cyclic: Json[] = [];
    cyclic.push(cyclic);
    expect(() => canonicalJson(cyclic)).toThrow(/contains itself/);
  });
});

test("one error for all problems", () => {
  const error = definitionError(validateDocument(pipeline([[job("a", { needs: needs("b") })]])), 'pipeline "demo"');
  expect(`${error.code}: ${error.message}`).toMatchInlineSnapshot(`
    "invalid_definition: pipeline "demo" has 1 problem:
      stages[0].jobs[0].needs[0]: there is no job "b". Known: a."
  `);
  expect(error.details.problems).toHaveLength(1);
});

test("paths are read back as they were written", () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.nat(99), fc.string({ minLength: 1 })), { maxLength: 6 }), (path) => {
      expect(pathSegments(pathText(path))).toEqual(path);
    }),
  );
});
