import { describe, expect, test } from "vitest";
import { z } from "zod";
import type { TenutoError } from "../core/errors.ts";
import { definePipeline, type Pipeline, pipelineFromDocument } from "./define.ts";
import { paramsFromText, parseParams } from "./params.ts";

const pipeline = definePipeline({
  name: "leads",
  params: z.object({
    association: z.string().min(2).describe("short name, see associations.yaml"),
    limit: z.number().int().positive().default(10),
    mode: z.enum(["extract", "full"]).default("extract"),
    tags: z.array(z.string()).optional(),
    nested: z.object({ deep: z.number() }).optional(),
  }),
  jobs: [{ id: "a", agent: "x/y" }],
});
/** The same as a template from the ledger: no zod, only JSON Schema. */
const stored = pipelineFromDocument(JSON.parse(JSON.stringify(pipeline.document)));

function failure(given: unknown, one: Pipeline = pipeline): string {
  try {
    return JSON.stringify(parseParams(one, given));
  } catch (error) {
    const { code, message } = error as TenutoError;
    return `${code}: ${message}`;
  }
}

describe("parseParams", () => {
  test("defaults are filled in, by code and by the stored document alike", () => {
    const expected = { association: "NEMA", limit: 10, mode: "extract" };
    expect(parseParams(pipeline, { association: "NEMA" })).toEqual(expected);
    expect(parseParams(stored, { association: "NEMA" })).toEqual(expected);
  });

  test("every issue with its path", () => {
    const wrong = { asociation: "x", association: "N", limit: 1.5, mode: "ful", tags: ["a", 1], nested: { deep: "x" } };
    expect(failure(wrong)).toMatchInlineSnapshot(`
      "invalid_params: params of "leads" are not valid:
        asociation: there is no such param. Did you mean "association"?
        association: Too small: expected string to have >=2 characters. association: short name, see associations.yaml
        limit: expected int, received number
        mode: expected one of "extract"|"full"
        tags[1]: expected string, received number
        nested.deep: expected number, received string"
    `);
    expect(failure(wrong, stored)).toMatchInlineSnapshot(`
      "invalid_params: params of "leads" are not valid:
        asociation: there is no such param. Did you mean "association"?
        association: Too small: expected string to have >=2 characters. association: short name, see associations.yaml
        limit: expected int, received number
        mode: expected one of "extract"|"full"
        tags[1]: expected string, received number
        nested.deep: expected number, received string"
    `);
    expect(failure(undefined)).toMatchInlineSnapshot(`
      "invalid_params: params of "leads" are not valid:
        association: is missing (expected string). association: short name, see associations.yaml"
    `);
    expect(failure([1])).toContain("params must be an object");
  });

  test("a pipeline without params takes none; an open schema takes any", () => {
    const none = definePipeline({ name: "none", jobs: [{ id: "a", agent: "x/y" }] });
    expect(failure({}, none)).toBe("{}");
    expect(failure({ x: 1 }, none)).toContain("x: there is no such param");
    const open = definePipeline({
      name: "open",
      params: z.looseObject({}),
      jobs: [{ id: "a", agent: "x/y", input: "{{ params.any }}" }],
    });
    expect(failure({ any: 1 }, open)).toBe('{"any":1}');
  });

  test("params must be storable, and schemas must not wait", () => {
    const dates = definePipeline({
      name: "dates",
      params: z.object({ at: z.coerce.date() }),
      jobs: [{ id: "a", agent: "x/y" }],
    });
    expect(failure({ at: "2026-01-01" }, dates)).toMatchInlineSnapshot(
      `"invalid_params: params can't be stored: at is a Date"`,
    );
    const slow = definePipeline({
      name: "slow",
      params: z.object({ a: z.string().refine(async () => true) }),
      jobs: [{ id: "a", agent: "x/y" }],
    });
    expect(failure({ a: "x" }, slow)).toContain('the params schema of "slow" is asynchronous');
  });

  test("prototype keys are data or refused, never followed", () => {
    expect(failure(JSON.parse('{"association":"NEMA","__proto__":{"limit":1}}'))).toContain("there is no such param");
    expect(failure({ association: "NEMA", constructor: 1 })).toContain("constructor: there is no such param");
  });
});

test("texts of a command line are typed by the schema", () => {
  expect(
    paramsFromText(pipeline.document, {
      association: "12",
      limit: "5",
      tags: "a,b",
      nested: '{"deep":1}',
      unknown: "7",
    }),
  ).toEqual({
    association: "12",
    limit: 5,
    tags: ["a", "b"],
    nested: { deep: 1 },
    unknown: 7,
  });
  expect(paramsFromText(pipeline.document, { limit: "many", tags: '["x"]' })).toEqual({ limit: "many", tags: ["x"] });
});
