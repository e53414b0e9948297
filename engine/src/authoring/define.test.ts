import { pathToFileURL } from "node:url";
import { describe, expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import type { Schema } from "../core/agent.ts";
import type { TenutoError } from "../core/errors.ts";
import { bindAgents, defineAgent, definePipeline, pipelineFromDocument, versionOf } from "./define.ts";

function failure(make: () => unknown): string {
  try {
    make();
    return "no error";
  } catch (error) {
    const { code, message } = error as TenutoError;
    return `${code}: ${message}`;
  }
}

describe("definePipeline, graph", () => {
  const parser = defineAgent({
    name: "extraction/parser",
    version: "3",
    run: async (page: { html: string }) => page.html.length,
  });

  test("the friendly form becomes a complete document", () => {
    const pipeline = definePipeline({
      name: "directory",
      params: z.object({ site: z.url(), limit: z.number().int().default(10) }),
      concurrency: "{{ params.site }}",
      stages: [
        { name: "map", jobs: [{ id: "map", command: ["python3", "map.py", "{{ params.site }}"] }] },
        {
          name: "extract",
          jobs: [
            { id: "pages", agent: parser, forEach: "{{ jobs.map.output.pages }}" },
            { id: "few", agent: "extraction/parser", forEach: ["a", "b"], input: { x: "{{ item }}" } },
            { id: "file", agent: parser, forEach: { file: "{{ params.site }}.jsonl", concurrency: 2, batch: 100 } },
            {
              id: "notify",
              shell: 'curl -d "$BODY" example.org',
              env: { BODY: "{{ jobs.pages.state }}" },
              needs: ["pages", { job: "few", on: "always" }],
            },
            {
              id: "raw",
              command: { shell: "true", graceSeconds: 1, env: { A: "1" } },
              env: { B: "2" },
              needs: [{ job: "few" }],
            },
          ],
        },
      ],
    });
    expect(pipeline.document).toMatchInlineSnapshot(`
      {
        "agents": {
          "extraction/parser": "3",
        },
        "concurrency": {
          "key": "{{ params.site }}",
          "onConflict": "queue",
        },
        "kind": "graph",
        "name": "directory",
        "params": {
          "properties": {
            "limit": {
              "default": 10,
              "type": "integer",
            },
            "site": {
              "format": "uri",
              "type": "string",
            },
          },
          "required": [
            "site",
          ],
          "type": "object",
        },
        "stages": [
          {
            "jobs": [
              {
                "agent": "command/inline",
                "command": {
                  "argv": [
                    "python3",
                    "map.py",
                    "{{ params.site }}",
                  ],
                },
                "id": "map",
              },
            ],
            "name": "map",
          },
          {
            "jobs": [
              {
                "agent": "extraction/parser",
                "forEach": {
                  "concurrency": 5,
                  "errorRate": 0.1,
                  "source": "{{ jobs.map.output.pages }}",
                },
                "id": "pages",
                "input": "{{ item }}",
              },
              {
                "agent": "extraction/parser",
                "forEach": {
                  "concurrency": 5,
                  "errorRate": 0.1,
                  "source": [
                    "a",
                    "b",
                  ],
                },
                "id": "few",
                "input": {
                  "x": "{{ item }}",
                },
              },
              {
                "agent": "extraction/parser",
                "forEach": {
                  "batch": 100,
                  "concurrency": 2,
                  "errorRate": 0.1,
                  "source": {
                    "file": "{{ params.site }}.jsonl",
                  },
                },
                "id": "file",
                "input": "{{ item }}",
              },
              {
                "agent": "command/inline",
                "command": {
                  "argv": [
                    "/bin/sh",
                    "-c",
                    "curl -d "$BODY" example.org",
                  ],
                  "env": {
                    "BODY": "{{ jobs.pages.state }}",
                  },
                },
                "id": "notify",
                "needs": [
                  {
                    "job": "pages",
                    "on": "success",
                  },
                  {
                    "job": "few",
                    "on": "always",
                  },
                ],
              },
              {
                "agent": "command/inline",
                "command": {
                  "argv": [
                    "/bin/sh",
                    "-c",
                    "true",
                  ],
                  "env": {
                    "A": "1",
                    "B": "2",
                  },
                  "graceSeconds": 1,
                },
                "id": "raw",
                "needs": [
                  {
                    "job": "few",
                    "on": "success",
                  },
                ],
              },
            ],
            "name": "extract",
          },
        ],
      }
    `);
    expect(pipeline.agents).toEqual([parser]);
    expect(pipeline.version).toBe(versionOf(JSON.parse(JSON.stringify(pipeline.document))));
  });

  test("jobs alone are one stage", () => {
    const { document } = definePipeline({ name: "one", jobs: [{ id: "a", command: ["true"] }] });
    expect(document.stages).toEqual([
      { name: "main", jobs: [{ id: "a", agent: "command/inline", command: { argv: ["true"] } }] },
    ]);
  });

  test("the version follows the data and the declared versions of agents, not the order of keys or code", () => {
    const make = (version: string, run: () => number, swap = false) =>
      definePipeline({
        name: "v",
        jobs: [
          swap
            ? { agent: defineAgent({ name: "a/b", version, run }), id: "x" }
            : { id: "x", agent: defineAgent({ name: "a/b", version, run }) },
        ],
      }).version;
    const base = make("1", () => 1);
    expect(make("1", () => 2, true)).toBe(base);
    expect(make("2", () => 1)).not.toBe(base);
    const named = definePipeline({ name: "v", jobs: [{ id: "x", agent: "a/b" }] });
    expect(named.version).not.toBe(base);
    expect(
      bindAgents(named, [
        defineAgent({ name: "a/b", version: "1", run: () => 1 }),
        defineAgent({ name: "not/used", version: "1", run: () => 1 }),
      ]).version,
    ).toBe(base);
    expect(bindAgents(named, []).version).toBe(named.version);
  });

  test("all problems of a definition at once", () => {
    const cyclic: Record<string, unknown> = {};
    cyclic.self = cyclic;
    expect(
      failure(() =>
        definePipeline({
          name: "bad",
          jobs: [
            { id: "a", shell: "echo {{ params.x }}" },
            { id: "b" },
            { id: "c", agent: "x/y", command: ["a"] },
            { id: "d", command: { argv: ["a"], shell: "b" } },
            { id: "e", agent: "x/y", forEach: { concurrency: 3 } },
            { id: "f", agent: "x/y", env: { A: "b" } },
          ],
        }),
      ),
    ).toMatchInlineSnapshot(`
      "invalid_definition: pipeline "bad" has 6 problems:
        jobs[0].shell: has a placeholder inside shell text. Text in it would be run as code. Set env: {NAME: "{{ … }}"} and use "$NAME", or read the input from the file in $TENUTO_INPUT.
        jobs[1]: says no work. Give agent: layer/name, command: [program, …] or shell: text.
        jobs[2]: has the agent "x/y" and a command. Keep one of them.
        jobs[3].command: names more than one program. Give argv or shell, once.
        jobs[4].forEach: has no source. Give source: a placeholder or list, or file: "records.jsonl".
        jobs[5].env: is given without a command. Only commands have variables; hand values to agents in input."
    `);
    expect(
      failure(() => definePipeline({ name: "bad", jobs: [{ id: "a", command: "python3 x.py" } as never] })),
    ).toMatchInlineSnapshot(`
      "invalid_definition: pipeline "bad" has 1 problem:
        jobs[0].command: must be a list or a map, not the text "python3 x.py". Write a list such as ["python3", "x.py"], or use shell: for text with pipes and variables."
    `);
    expect(failure(() => definePipeline({ name: "bad" }))).toMatchInlineSnapshot(`
      "invalid_definition: pipeline "bad" has 1 problem:
        has no stages. Give stages: [{name, jobs}], or jobs: alone for one stage."
    `);
    expect(
      failure(() => definePipeline({ name: "bad", jobs: [{ id: "a", agent: "x/y", input: cyclic }] })),
    ).toMatchInlineSnapshot(`
      "invalid_definition: pipeline "bad" has 1 problem:
        jobs[0].input: is nested more than 200 deep, or contains itself. Flatten it, or put it into a file."
    `);
    expect(
      failure(() => definePipeline({ name: "bad", params: z.string(), jobs: [{ id: "a", agent: "x/y" }] })),
    ).toMatchInlineSnapshot(`"invalid_definition: params of pipeline "bad" must be a schema of an object"`);
    expect(failure(() => definePipeline("bad" as never))).toMatchInlineSnapshot(
      `"invalid_definition: definePipeline takes one object"`,
    );
    expect(failure(() => definePipeline({ name: "bad", run: 5 } as never))).toMatchInlineSnapshot(`
      "invalid_definition: pipeline "bad" has 1 problem:
        run: must be a function. Write run: async (ctx, params) => { … }."
    `);
  });

  test("undefined is absent", () => {
    const { document } = definePipeline({
      name: "u",
      priority: undefined as never,
      jobs: [{ id: "a", agent: "x/y", when: undefined as never, input: { a: undefined, b: 1 } }],
    });
    expect(document).toEqual({
      name: "u",
      kind: "graph",
      stages: [{ name: "main", jobs: [{ id: "a", agent: "x/y", input: { b: 1 } }] }],
    });
  });

  test("a file URL becomes a path", () => {
    const file = "/tmp/some folder/p.ts";
    expect(definePipeline({ name: "u", file: pathToFileURL(file).href, jobs: [{ id: "a", agent: "x/y" }] }).file).toBe(
      file,
    );
  });
});

describe("definePipeline, code", () => {
  test("a document of one job, an agent that runs the code, typed params", async () => {
    const pipeline = definePipeline({
      name: "crawl",
      version: "2",
      params: z.object({ site: z.string(), depth: z.number().default(2) }),
      run: async (ctx, params) => {
        expectTypeOf(params).toEqualTypeOf<{ site: string; depth: number }>();
        return `${ctx.runId} ${params.site}`;
      },
    });
    expect(pipeline.document).toMatchInlineSnapshot(`
      {
        "agents": {
          "pipeline/crawl": "2",
        },
        "kind": "code",
        "name": "crawl",
        "params": {
          "properties": {
            "depth": {
              "default": 2,
              "type": "number",
            },
            "site": {
              "type": "string",
            },
          },
          "required": [
            "site",
          ],
          "type": "object",
        },
        "stages": [
          {
            "jobs": [
              {
                "agent": "pipeline/crawl",
                "id": "main",
                "timeoutSeconds": 86400,
              },
            ],
            "name": "main",
          },
        ],
      }
    `);
    expectTypeOf(pipeline.paramsSchema).toEqualTypeOf<Schema<{ site: string; depth: number }> | undefined>();
    const agent = pipeline.agents[0]!;
    expect(agent.name).toBe("pipeline/crawl");
    const context = { runId: "r1", params: { site: "x" } };
    expect(agent.kind === "function" && (await agent.run(null, context as never))).toBe("r1 x");
  });

  test("without params there are none", () => {
    definePipeline({ name: "c", run: (_ctx, params) => expectTypeOf(params).toEqualTypeOf<Record<string, never>>() });
  });

  test("a stored document is a pipeline again", () => {
    const made = definePipeline({ name: "d", params: z.object({ n: z.number() }), jobs: [{ id: "a", agent: "x/y" }] });
    const again = pipelineFromDocument(JSON.parse(JSON.stringify(made.document)));
    expect(again.version).toBe(made.version);
    expect(failure(() => pipelineFromDocument({ name: "d", kind: "graph", stages: [] }))).toContain("stages: is empty");
  });
});
