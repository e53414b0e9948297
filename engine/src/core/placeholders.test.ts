import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { TenutoError } from "./errors.ts";
import type { Json } from "./model.ts";
import { expand, expandIfPresent, expandText, references, requiredOutputs, type Scope } from "./placeholders.ts";

const scope: Scope = {
  params: { url: "https://x.org", limit: 10, "odd key": [1, { y: 2 }], nothing: null },
  jobs: { map: { output: { rows: [{ id: "a" }, { id: "b" }], "x.y": true }, state: "completed" } },
  item: { id: 7, tags: ["p", "q"] },
  index: 0,
  run: { id: "demo-1" },
};

function failure(value: Json, place = "input"): string {
  try {
    expand(value, scope, place);
  } catch (error) {
    const { code, message, hint } = error as TenutoError;
    return `${code}: ${message} (${hint})`;
  }
  return "no error";
}

describe("expand", () => {
  test.each<[string, Json]>([
    ["{{ params.limit }}", 10],
    ["{{params.limit}}", 10],
    ["{{ item }}", { id: 7, tags: ["p", "q"] }],
    ["{{ index }}", 0],
    ["{{ params.nothing }}", null],
    ["{{ params['odd key'][1].y }}", 2],
    ['{{ jobs.map.output["x.y"] }}', true],
    ["{{ jobs.map.output.rows[1].id }}", "b"],
    ["{{ jobs.map.output.rows.length }}", 2],
    ["{{ jobs.map.state }}", "completed"],
    ["{{ params.url }}/{{ item.id }}", "https://x.org/7"],
    ["n={{ params.nothing }} t={{ item.tags }}", 'n=null t=["p","q"]'],
    [' {{ index }}"', ' 0"'],
    ['{{ "{{" }} {{ "a\\"}}" }}', '{{ a"}}'],
    ["no { placeholder } }}", "no { placeholder } }}"],
    ["", ""],
  ])("%s", (template, expected) => {
    expect(expand(template, scope)).toEqual(expected);
  });

  test("goes through lists and maps, leaves keys alone, keeps what has nothing to expand", () => {
    const fixed = { a: [1, { b: "text" }] };
    expect(expand(fixed, scope)).toBe(fixed);
    expect(expand({ "{{ index }}": ["{{ index }}", fixed] }, scope)).toEqual({ "{{ index }}": [0, fixed] });
  });

  test("never expands what was put in", () => {
    const evil = { params: { x: "{{ run.id }}", y: ["{{ item }}"] }, run: { id: "secret" } };
    expect(expand("{{ params.x }}", evil)).toBe("{{ run.id }}");
    expect(expand("{{ params.x }}!", evil)).toBe("{{ run.id }}!");
    expect(expand("{{ params.y }}", evil)).toEqual(["{{ item }}"]);
  });

  test("a key __proto__ in data stays a key", () => {
    const template = JSON.parse('{"__proto__": {"a": "{{ index }}"}, "b": 1}');
    const result = expand(template, scope) as Record<string, unknown>;
    expect(Object.getPrototypeOf(result)).toBe(Object.prototype);
    expect(JSON.stringify(result)).toBe('{"__proto__":{"a":0},"b":1}');
    expect(({} as Record<string, unknown>).a).toBeUndefined();
  });

  test("own keys only", () => {
    expect(failure("{{ params.constructor }}")).toContain('no "constructor"');
    expect(failure("{{ params.toString }}")).toContain("leads nowhere");
    expect(failure("{{ params.__proto__ }}")).toContain("asks for __proto__");
    expect(failure("{{ params['__proto__'] }}")).toContain("asks for __proto__");
    expect(expand("{{ item.constructor }}", { item: { constructor: "Ferrari" } })).toBe("Ferrari");
  });

  test("errors name placeholder, place and what was there", () => {
    expect(failure({ urls: ["x", "{{ params.ulr }}"] })).toMatchInlineSnapshot(
      `"invalid_input: input.urls[1]: {{ params.ulr }} leads nowhere: no "ulr", params has "url", "limit", "odd key", "nothing" (Did you mean "url"?)"`,
    );
    expect(failure("{{ jobs.map.output.rows[2] }}")).toMatchInlineSnapshot(
      `"invalid_input: input: {{ jobs.map.output.rows[2] }} leads nowhere: no 2, jobs.map.output.rows is a list of 2 (Lists are read by [number], from 0, or .length.)"`,
    );
    expect(failure("{{ params.nothing.x }}")).toMatchInlineSnapshot(
      `"invalid_input: input: {{ params.nothing.x }} leads nowhere: no "x", params.nothing is null (Check what the job before really returned.)"`,
    );
    expect(failure("{{ params.limit + 1 }}")).toMatchInlineSnapshot(
      `"invalid_definition: input: {{ params.limit + 1 }} can't be read from " + 1" on (A placeholder is a path such as {{ params.x }}, {{ jobs.a.output.rows[0]["odd key"] }}, {{ item }}, {{ index }} or {{ run.id }}; a literal {{ is written {{ "{{" }}.)"`,
    );
    for (const bad of ["{{ open", "{{}}", "{{ env.HOME }}", "{{ jobs.a }}", "{{ jobs.a.secret }}", "{{ item() }}"]) {
      expect(failure(bad)).toMatch(/^invalid_definition: input: /);
    }
  });

  test("depth is refused, not overflowed", () => {
    let deep: Json = "{{ index }}";
    for (let i = 0; i < 10_000; i++) deep = [deep];
    expect(failure(deep)).toContain("nested more than 200 deep");
  });

  test("any value comes back through its path, whatever its keys", () => {
    const key = fc.string({ minLength: 1 }).filter((name) => name !== "__proto__");
    fc.assert(
      fc.property(fc.array(key, { minLength: 1, maxLength: 6 }), fc.jsonValue(), (path, value) => {
        const inner = path.reduceRight<Json>((below, name) => Object.fromEntries([[name, below]]), value as Json);
        const text = path.map((name) => `[${JSON.stringify(name)}]`).join("");
        expect(expand(`{{ item${text} }}`, { item: inner })).toEqual(value);
      }),
    );
  });

  test("text around a placeholder is kept to the letter", () => {
    const text = fc.string().filter((piece) => !piece.includes("{"));
    fc.assert(
      fc.property(text, text, fc.string(), (before, after, value) => {
        expect(expandText(`${before}{{ item }}${after}`, { item: value })).toBe(before + value + after);
      }),
    );
  });

  test("no text makes it throw anything but its own errors", () => {
    const piece = fc.constantFrom(
      "{{",
      "}}",
      "item",
      ".",
      "[",
      "]",
      '"',
      "'",
      "\\",
      "0",
      " ",
      "a",
      "__proto__",
      "jobs.a.output",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        try {
          expand(pieces.join(""), scope);
        } catch (error) {
          expect((error as TenutoError).name).toBe("TenutoError");
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

test("expandIfPresent is undefined where a path leads nowhere", () => {
  expect(expandIfPresent("{{ params.zz }}", scope)).toBeUndefined();
  expect(expandIfPresent("{{ params.nothing }}", scope)).toBeNull();
  expect(expandIfPresent(["{{ index }}"], scope)).toEqual([0]);
});

test("references and required outputs", () => {
  const value = { a: "{{ jobs.b.output.x }} and {{ jobs.c.output }}", d: ["{{ jobs.b.error }}", "{{ item }}"] };
  expect(references(value, "input").map(({ place, text }) => `${place} ${text}`)).toEqual([
    "input.a jobs.b.output.x",
    "input.a jobs.c.output",
    "input.d[0] jobs.b.error",
    "input.d[1] item",
  ]);
  expect(requiredOutputs(value)).toEqual(["b", "c"]);
});
