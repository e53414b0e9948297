import { describe, expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import type { TenutoError } from "../core/errors.ts";
import { defineAgent } from "./define.ts";

function failure(make: () => unknown): string {
  try {
    make();
    return "no error";
  } catch (error) {
    const { code, message } = error as TenutoError;
    return `${code}: ${message}`;
  }
}

describe("defineAgent", () => {
  test("types follow the schemas", () => {
    const agent = defineAgent({
      name: "enrich/clearbit",
      input: z.object({ domain: z.string() }),
      output: z.object({ size: z.number() }),
      timeoutSeconds: 20,
      retry: { maxRetries: 5 },
      run: async (input) => {
        expectTypeOf(input).toEqualTypeOf<{ domain: string }>();
        return { size: input.domain.length };
      },
    });
    expect(agent).toMatchObject({ kind: "function", name: "enrich/clearbit", timeoutSeconds: 20 });
    expectTypeOf(agent.run).parameter(0).toEqualTypeOf<{ domain: string }>();
    // @ts-expect-error: the output schema wants a number
    defineAgent({ name: "a/b", output: z.object({ size: z.number() }), run: async () => ({ size: "big" }) });
  });

  test("commands", () => {
    expect(defineAgent({ name: "py/clean", command: ["python3", "clean.py", "{{ params.x }}"] })).toEqual({
      kind: "command",
      name: "py/clean",
      command: { argv: ["python3", "clean.py", "{{ params.x }}"] },
    });
    expect(defineAgent({ name: "sh/count", shell: "wc -l", version: "1" })).toMatchObject({
      command: { argv: ["/bin/sh", "-c", "wc -l"] },
    });
  });

  test("problems", () => {
    expect(failure(() => defineAgent({ name: "parser", run: () => 1 }))).toMatchInlineSnapshot(`
      "invalid_definition: agent "parser" has 1 problem:
        name: "parser" is not the name of an agent. Use layer/name, for example extraction/html_parser."
    `);
    expect(
      failure(() =>
        defineAgent({
          name: "pipeline/x",
          run: () => 1,
          retry: { max: 1 },
          timeoutSeconds: 0,
          isolation: "thread",
        } as never),
      ),
    ).toMatchInlineSnapshot(`
      "invalid_definition: agent "pipeline/x" has 4 problems:
        retry.max: unknown key "max". Known: maxRetries, baseSeconds, factor, capSeconds, jitter.
        timeoutSeconds: can't be 0. Give a number above 0 to 2147483.
        name: "pipeline/x" is in a layer of the engine. Use another layer than command and pipeline.
        module: is missing. A thread loads the agent anew: add module: import.meta.url."
    `);
    expect(failure(() => defineAgent({ name: "a/b", shell: "rm {{ item }}" }))).toMatchInlineSnapshot(`
      "invalid_definition: agent "a/b" has 1 problem:
        shell: has a placeholder inside shell text. Text in it would be run as code. Set env: {NAME: "{{ … }}"} and use "$NAME", or read the input from the file in $TENUTO_INPUT."
    `);
    expect(
      failure(() => defineAgent({ name: "a/b", command: ["bash", "-c", "rm {{ item }}"], env: {} } as never)),
    ).toMatchInlineSnapshot(`
      "invalid_definition: agent "a/b" has 2 problems:
        env: unknown key "env". Known: retry, timeoutSeconds, jobTimeoutSeconds, errors, onExhausted, maxCrashes, effects.
        command.argv[2]: has a placeholder inside shell text. Text in a shell command would be run as code. Set env: {NAME: "{{ … }}"} and use "$NAME", or read the input file."
    `);
    expect(failure(() => defineAgent({ name: "a/b", input: {}, version: 2 } as never))).toMatchInlineSnapshot(`
      "invalid_definition: agent "a/b" has 3 problems:
        input: is not a schema. Use zod, or any Standard Schema.
        version: must be a short text. Write version: "2".
        needs either run or command. Give run: async (input, ctx) => …, or command: [program, …]."
    `);
  });
});
