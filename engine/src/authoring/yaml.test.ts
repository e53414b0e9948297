import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { z } from "zod";
import type { TenutoError } from "../core/errors.ts";
import { definePipeline } from "./define.ts";
import { parseParams } from "./params.ts";
import { loadYamlPipeline, type PlacedProblem } from "./yaml.ts";

const load = (text: string) => loadYamlPipeline(text, { file: "pipelines/demo.yaml" });

function failure(text: string): string {
  try {
    load(text);
    return "no error";
  } catch (error) {
    const { code, message } = error as TenutoError;
    return `${code}: ${message}`;
  }
}

const SOUND = `# a comment
name: directory
description: reads a directory
params:
  site: {type: text, description: address, pattern: "^https?:"}
  limit: 10
  mode: {enum: [extract, full], default: extract}
  note: {type: text, required: false}
runId: "dir-{timestamp}-{seq}"
limiters:
  "host:*": {rate: {count: 2, perSeconds: 1}}
defaults: &defaults
  retry: {maxRetries: 2}
requires:
  - {command: python3, hint: install it}
  - {env: API_KEY}
stages:
  - name: map
    jobs:
      - id: map
        command: [python3, map.py, "{{ params.site }}"]
        <<: *defaults
  - name: extract
    jobs:
      - id: pages
        agent: extraction/html_parser
        forEach: {source: "{{ jobs.map.output.pages }}", concurrency: 3}
        limits: ["host:{{ item.host }}"]
        when: {gt: ["{{ params.limit }}", 0]}
      - id: report
        needs: [{job: pages, on: always}]
        shell: |
          echo "$STATE" >> report.txt
        env:
          STATE: "{{ jobs.pages.state }}"
`;

describe("a sound file", () => {
  test("is the same pipeline as in TypeScript", () => {
    const yaml = load(SOUND);
    const typescript = definePipeline({
      name: "directory",
      description: "reads a directory",
      params: z.strictObject({
        site: z.string().regex(/^https?:/),
        limit: z.number().default(10),
        mode: z.enum(["extract", "full"]).default("extract"),
        note: z.string().optional(),
      }),
      runId: "dir-{timestamp}-{seq}",
      limiters: { "host:*": { rate: { count: 2, perSeconds: 1 } } },
      defaults: { retry: { maxRetries: 2 } },
      requires: [{ command: "python3", hint: "install it" }, { env: "API_KEY" }],
      stages: [
        {
          name: "map",
          jobs: [{ id: "map", command: ["python3", "map.py", "{{ params.site }}"], retry: { maxRetries: 2 } }],
        },
        {
          name: "extract",
          jobs: [
            {
              id: "pages",
              agent: "extraction/html_parser",
              forEach: { source: "{{ jobs.map.output.pages }}", concurrency: 3 },
              limits: ["host:{{ item.host }}"],
              when: { gt: ["{{ params.limit }}", 0] },
            },
            {
              id: "report",
              needs: [{ job: "pages", on: "always" }],
              shell: 'echo "$STATE" >> report.txt\n',
              env: { STATE: "{{ jobs.pages.state }}" },
            },
          ],
        },
      ],
    });
    const withoutParams = ({ params: _, ...document }: typeof yaml.document) => document;
    expect(withoutParams(yaml.document)).toEqual(withoutParams(typescript.document));
    const given = { site: "https://x.org" };
    expect(parseParams(yaml, given)).toEqual(parseParams(typescript, given));
    expect(yaml.file).toBe("pipelines/demo.yaml");
  });

  test("its params are checked like any other", () => {
    const pipeline = load(SOUND);
    expect(parseParams(pipeline, { site: "http://x", limit: 3, note: "n" })).toEqual({
      site: "http://x",
      limit: 3,
      mode: "extract",
      note: "n",
    });
    expect(() => parseParams(pipeline, { site: "ftp://x" })).toThrow(/site: /);
    expect(() => parseParams(pipeline, {})).toThrow(/site: is missing/);
    expect(() => parseParams(pipeline, { site: "http://x", lmit: 3 })).toThrow(/Did you mean "limit"/);
  });

  test("a plain JSON Schema, jobs without stages, and JSON as YAML", () => {
    const document = {
      name: "j",
      params: { type: "object", properties: { n: { type: "integer", default: 2 } } },
      jobs: [{ id: "a", agent: "x/y", input: "{{ params.n }}" }],
    };
    expect(parseParams(load(JSON.stringify(document)), {})).toEqual({ n: 2 });
    expect(load(stringify(document)).version).toBe(load(JSON.stringify(document)).version);
  });
});

describe("problems have their place", () => {
  test("form: unknown keys, types, words", () => {
    expect(
      failure(`name: demo
stages:
  - name: one
    jobs:
      - id: a
        agnt: x/y
        needs: b
        priority: hihg
      - id: c
        command: python3 x.py
        timeoutSeconds: fast
        retry:
          maxRetries: -1
stagse: []
`),
    ).toMatchInlineSnapshot(`
      "invalid_definition: demo.yaml has 7 problems:
      pipelines/demo.yaml:6:9: stages[0].jobs[0].agnt: unknown key "agnt". Did you mean "agent"?
        6 |         agnt: x/y
          |         ^
      pipelines/demo.yaml:7:16: stages[0].jobs[0].needs: must be a list, not the text "b". Write a list of job ids: [a, b].
        7 |         needs: b
          |                ^
      pipelines/demo.yaml:8:19: stages[0].jobs[0].priority: can't be "hihg". Did you mean "high"?
        8 |         priority: hihg
          |                   ^
      pipelines/demo.yaml:10:18: stages[0].jobs[1].command: must be a list or a map, not the text "python3 x.py". Write a list such as ["python3", "x.py"], or use shell: for text with pipes and variables.
        10 |         command: python3 x.py
           |                  ^
      pipelines/demo.yaml:11:25: stages[0].jobs[1].timeoutSeconds: must be a number, not the text "fast". Give a number.
        11 |         timeoutSeconds: fast
           |                         ^
      pipelines/demo.yaml:13:23: stages[0].jobs[1].retry.maxRetries: can't be -1. Give a whole number from 0 to 1000.
        13 |           maxRetries: -1
           |                       ^
      pipelines/demo.yaml:14:1: stagse: unknown key "stagse". Did you mean "stages"?
        14 | stagse: []
           | ^"
    `);
  });

  test("meaning: needs, cycles, placeholders, shell text", () => {
    expect(
      failure(`name: demo
params: {site: {type: text}}
jobs:
  - id: a
    agent: x/y
    needs: [b, cc]
  - id: b
    command: [echo, "{{ params.sit }}"]
    needs: [{job: a}]
  - id: c
    shell: echo $X
    env:
      X: "{{ item }}"
    forEach:
      source: "{{ jobs.zz.output }}"
    limits: [all]
`),
    ).toMatchInlineSnapshot(`
      "invalid_definition: demo.yaml has 5 problems:
      pipelines/demo.yaml:6:12: jobs[0].needs: jobs wait for each other: a → b → a. Remove one of these needs.
        6 |     needs: [b, cc]
          |            ^
      pipelines/demo.yaml:6:16: jobs[0].needs[1]: there is no job "cc". Known: a, b, c.
        6 |     needs: [b, cc]
          |                ^
      pipelines/demo.yaml:8:21: jobs[1].command.argv[1]: {{ params.sit }} refers to no param of this pipeline. Did you mean "site"?
        8 |     command: [echo, "{{ params.sit }}"]
          |                     ^
      pipelines/demo.yaml:15:15: jobs[2].forEach.source: {{ jobs.zz.output }} refers to no job of this pipeline. Known: a, b, c.
        15 |       source: "{{ jobs.zz.output }}"
           |               ^
      pipelines/demo.yaml:16:14: jobs[2].limits[0]: there is no limiter "all". No limiter is declared.
        16 |     limits: [all]
           |              ^"
    `);
    expect(
      failure(
        "name: demo\njobs:\n  - {id: a, shell: 'rm {{ params.x }}'}\n  - {id: b, command: [sh, -c, 'rm {{ params.x }}']}\n",
      ),
    ).toMatchInlineSnapshot(`
      "invalid_definition: demo.yaml has 1 problem:
      pipelines/demo.yaml:3:20: jobs[0].shell: has a placeholder inside shell text. Text in it would be run as code. Set env: {NAME: "{{ … }}"} and use "$NAME", or read the input from the file in $TENUTO_INPUT.
        3 |   - {id: a, shell: 'rm {{ params.x }}'}
          |                    ^"
    `);
  });

  test("syntax: duplicate keys, tabs, brackets, placeholders without quotes, tags, two documents", () => {
    expect(failure("name: a\njobs: []\nname: b\n")).toMatchInlineSnapshot(`
      "invalid_definition: demo.yaml has 1 problem:
      pipelines/demo.yaml:3:1: this key is there twice in one map. Keep one of them.
        3 | name: b
          | ^"
    `);
    expect(failure("name: a\njobs:\n\t- id: a\n")).toMatchInlineSnapshot(`
      "invalid_definition: demo.yaml has 1 problem:
      pipelines/demo.yaml:3:1: a tab is used for indentation. Indent with spaces.
        3 |  - id: a
          | ^"
    `);
    expect(failure("name: a\njobs: [{id: a\n")).toMatch(/demo\.yaml:3:1: /);
    expect(failure("name: a\njobs:\n  - id: a\n    input: {{ params.x }}\n    agent: x/y\n")).toMatchInlineSnapshot(`
      "invalid_definition: demo.yaml has 1 problem:
      pipelines/demo.yaml:4:12: a map or list can't be a key. Put a placeholder in quotes: "{{ params.x }}".
        4 |     input: {{ params.x }}
          |            ^"
    `);
    expect(failure("name: !!js/function 'x'\n")).toMatchInlineSnapshot(`
      "invalid_definition: demo.yaml has 1 problem:
      pipelines/demo.yaml:1:7: unknown tag tag:yaml.org,2002:js/function. Tags are not used here; remove it.
        1 | name: !!js/function 'x'
          |       ^"
    `);
    expect(failure("name: a\n---\nname: b\n")).toMatchInlineSnapshot(`
      "invalid_definition: demo.yaml has 1 problem:
      pipelines/demo.yaml:2:1: there is more than one document in the file. Write one pipeline per file.
        2 | ---
          | ^"
    `);
    expect(failure("name: a\njobs: *nobody\n")).toMatch(/demo\.yaml:2:7: there is no anchor "nobody"/);
  });

  test("params", () => {
    expect(
      failure(`name: demo
jobs: [{id: a, agent: x/y}]
params:
  n: {type: integer, default: many}
  m: {typ: text}
  "odd name": 1
  o: {type: text, pattern: "("}
  p: [1]
`),
    ).toMatchInlineSnapshot(`
      "invalid_definition: demo.yaml has 5 problems:
      pipelines/demo.yaml:4:31: params.n.default: does not fit the param: expected number, received string. Correct the default or the type.
        4 |   n: {type: integer, default: many}
          |                               ^
      pipelines/demo.yaml:5:7: params.m.typ: unknown key "typ". Did you mean "type"?
        5 |   m: {typ: text}
          |       ^
      pipelines/demo.yaml:6:15: params["odd name"]: "odd name" can't be the name of a param. Use letters, digits, '_' and '-'.
        6 |   "odd name": 1
          |               ^
      pipelines/demo.yaml:7:6: params.o: the params schema can't be used: Invalid regular expression: /(/: Unterminated group. Use JSON Schema (draft 2020-12), or the short form name: {type, default, description, enum, required}.
        7 |   o: {type: text, pattern: "("}
          |      ^
      pipelines/demo.yaml:8:6: params.p: must be a map or text or a number or true or false, not a list. Write {type: text, default: …} or only the default.
        8 |   p: [1]
          |      ^"
    `);
  });

  test("empty, a list, a text", () => {
    expect(failure("")).toMatchInlineSnapshot(`
      "invalid_definition: demo.yaml has 1 problem:
      pipelines/demo.yaml:1:1: is empty. Begin with name: and stages:.
        1 | 
          | ^"
    `);
    expect(failure("- a\n")).toContain("demo.yaml:1:1: must be a map of keys");
    expect(failure("hello")).toContain("demo.yaml:1:1: must be a map of keys");
    expect(failure("name:\n")).toContain("name: must be text, not empty");
  });

  test("long lines are cut around the place", () => {
    const text = `name: demo\njobs: [{id: a, agent: x/y, summary: "${"x".repeat(300)}", unknown: 1, description: "${"y".repeat(300)}"}]\n`;
    const line = failure(text)
      .split("\n")
      .find((one) => one.includes(" | "))!;
    const caret = failure(text)
      .split("\n")
      .find((one) => one.endsWith("^"))!;
    expect(line.length).toBeLessThan(140);
    expect(line.slice(caret.length - 1)).toMatch(/^unknown: 1/);
  });

  test("problems are data too", () => {
    try {
      load("name: demo\njobs: [{id: a, agnt: x}]\n");
      expect.unreachable();
    } catch (error) {
      const [first] = (error as TenutoError).details.problems as PlacedProblem[];
      expect(first).toEqual({
        file: "pipelines/demo.yaml",
        line: 2,
        column: 16,
        path: "jobs[0].agnt",
        message: 'unknown key "agnt"',
        hint: 'Did you mean "agent"?',
        excerpt: "  2 | jobs: [{id: a, agnt: x}]\n    |                ^",
      });
    }
  });
});

describe("hostile files", () => {
  test("alias bombs, deep nesting, huge files, prototype keys", () => {
    const bomb = [
      "a: &a [x,x,x,x,x,x,x,x,x,x]",
      "b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]",
      "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]",
      "d: [*c,*c,*c]",
    ].join("\n");
    expect(failure(bomb)).toContain("expands more than 100 aliases");
    expect(failure(`name: ${"[".repeat(20_000)}`)).toContain("nested too deeply");
    expect(failure(`name: demo\njobs: [{id: a, agent: x/y, input: ${"[".repeat(300)}${"]".repeat(300)}}]`)).toContain(
      "nested more than 200 deep",
    );
    expect(failure(`name: ${"x".repeat(11 * 1024 * 1024)}`)).toContain("is larger than 10 MB");
    expect(failure("name: demo\n__proto__: {polluted: true}\njobs: [{id: a, agent: x/y}]\n")).toContain(
      'unknown key "__proto__"',
    );
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });

  test("no text makes it throw anything but its own errors", () => {
    const piece = fc.constantFrom(
      "name",
      ": ",
      "\n",
      "  ",
      "- ",
      "[",
      "]",
      "{",
      "}",
      "&a ",
      "*a",
      "<<",
      "jobs",
      "stages",
      "params",
      "id",
      "agent",
      "x/y",
      "!t ",
      '"',
      "'",
      "|\n",
      "#",
      "null",
      "1",
      "\t",
      "---\n",
      "? ",
      ",",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        const text = pieces.join("");
        try {
          load(text);
        } catch (error) {
          expect((error as Error).name).toBe("TenutoError");
          expect((error as TenutoError).code).toBe("invalid_definition");
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
