import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { TenutoError } from "./errors.ts";
import { checkPayload } from "./payload.ts";

function failure(value: unknown): string {
  try {
    return checkPayload(value, "output of job a").json;
  } catch (error) {
    const { code, message, hint } = error as TenutoError;
    return `${code}: ${message}. ${hint}`;
  }
}

function nested(depth: number): unknown {
  let value: unknown = 1;
  for (let i = 0; i < depth; i++) value = { d: value };
  return value;
}

describe("what is stored comes back the same", () => {
  test.each([
    null,
    true,
    false,
    0,
    1.5,
    -7,
    1e300,
    5e-324,
    2 ** 53 - 1,
    "",
    "text",
    "😀 é ”",
    "\u0001\n",
    "\\u0000",
    [],
    {},
    [[], [null]],
    { a: { b: [1, "x"] } },
  ])("%j", (value) => {
    const { json, bytes, warn } = checkPayload(value, "it");
    expect(JSON.parse(json)).toEqual(value);
    expect(bytes).toBe(Buffer.byteLength(json));
    expect(warn).toBe(false);
  });

  test("any JSON", () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
        const storable =
          !JSON.stringify(value).match(/\\u0000|\\ud[89a-f]/i) && !/\d{16,}(?![\d.]*e)/.test(JSON.stringify(value));
        fc.pre(storable);
        const { json, bytes } = checkPayload(value, "it");
        expect(JSON.parse(json)).toEqual(JSON.parse(JSON.stringify(value)));
        expect(bytes).toBe(Buffer.byteLength(json));
      }),
      { numRuns: 500 },
    );
  });

  test("anything at all is either refused by type or stored as JSON has it", () => {
    fc.assert(
      fc.property(
        fc.anything({
          withBigInt: true,
          withDate: true,
          withMap: true,
          withSet: true,
          withNullPrototype: true,
          withSparseArray: true,
          withTypedArray: true,
        }),
        (value) => {
          try {
            const { json } = checkPayload(value, "it");
            expect(checkPayload(JSON.parse(json), "it").json).toBe(json);
          } catch (error) {
            expect((error as TenutoError).code).toBe("unsupported_value");
          }
        },
      ),
      { numRuns: 1_000 },
    );
  });

  test("normalised: -0, undefined, undefined properties", () => {
    expect([-0, undefined, { a: undefined, b: [-0] }].map((value) => checkPayload(value, "it").json)).toEqual([
      "0",
      "null",
      '{"b":[0]}',
    ]);
  });

  test("null prototypes and own __proto__ keys are data", () => {
    expect(checkPayload(Object.assign(Object.create(null), { a: 1 }), "it").json).toBe('{"a":1}');
    const json = '{"__proto__":{"polluted":true},"a":1}';
    expect(checkPayload(JSON.parse(json), "it").json).toBe(json);
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });
});

describe("what can't be stored is named with its path", () => {
  class Member {
    name = "x";
  }
  const cyclic: Record<string, unknown> = { list: [] };
  (cyclic.list as unknown[]).push({ back: cyclic });
  test.each<[string, unknown]>([
    ["NaN", { a: [1, Number.NaN] }],
    ["Infinity", Number.NEGATIVE_INFINITY],
    ["beyond 2^53", { id: 2 ** 53 }],
    ["BigInt", [10n]],
    ["Date", { at: { day: new Date(0) } }],
    ["Map", new Map()],
    ["Set", { s: new Set() }],
    ["class", { m: new Member() }],
    ["function", { f: () => 1 }],
    ["symbol", Symbol("x")],
    ["promise", { p: Promise.resolve(1) }],
    ["bytes", { b: new Uint8Array(2) }],
    ["error", { e: new Error("x") }],
    ["undefined in a list", { rows: [1, undefined] }],
    ["hole", Object.assign(new Array(3), { 0: 1, 2: 2 })],
    ["NUL", { "odd key": "a\0b" }],
    ["lone surrogate", ["ok", "\ud800"]],
    ["bad key", { "\udc00": 1 }],
    ["cycle", cyclic],
    ["boxed", [Object(1)]],
  ])("%s", (_, value) => {
    expect(failure(value)).toMatch(/^unsupported_value: output of job a can't be stored: /);
  });

  test("texts", () => {
    expect(failure({ rows: [{ price: Number.NaN }] })).toMatchInlineSnapshot(
      `"unsupported_value: output of job a can't be stored: rows[0].price is NaN. JSON has no such number: use null."`,
    );
    expect(failure({ "odd key": "a\0b" })).toMatchInlineSnapshot(
      `"unsupported_value: output of job a can't be stored: ["odd key"] holds a NUL character. PostgreSQL can't store it in text: strip it, or store the bytes as an artifact."`,
    );
    expect(failure({ m: new Member() })).toMatchInlineSnapshot(
      `"unsupported_value: output of job a can't be stored: m is an instance of Member. Hand on a plain object with what is needed of it."`,
    );
    expect(failure(cyclic)).toMatchInlineSnapshot(
      `"unsupported_value: output of job a can't be stored: list[0].back contains itself. Refer to the other by its id."`,
    );
    expect(failure(undefined)).toBe("null");
    expect(failure(() => 1)).toMatchInlineSnapshot(
      `"unsupported_value: output of job a can't be stored: it is a function. Only data can be stored; was it meant to be called?"`,
    );
  });
});

describe("bounds", () => {
  test("depth 200 is stored, 201 and 10,000 are refused", () => {
    expect(checkPayload(nested(200), "it").bytes).toBeGreaterThan(1_000);
    expect(failure(nested(201))).toContain("is nested more than 200 deep");
    expect(failure(nested(10_000))).toContain("is nested more than 200 deep");
  });

  test("0, 256 KB, 1 MB, above, 100 MB", () => {
    const ofBytes = (bytes: number): string => "x".repeat(bytes - 2);
    expect(checkPayload(ofBytes(256 * 1024), "it")).toMatchObject({ bytes: 262_144, warn: false });
    expect(checkPayload(ofBytes(256 * 1024 + 1), "it").warn).toBe(true);
    expect(checkPayload([ofBytes(1024 * 1024 - 2)], "it")).toMatchObject({ bytes: 1_048_576, warn: true });
    for (const bytes of [1024 * 1024 + 1, 2 * 1024 * 1024 + 1, 100 * 1024 * 1024]) {
      expect(failure({ text: ofBytes(bytes) })).toMatch(/^payload_too_large: .*Use an artifact/);
      expect(failure(ofBytes(bytes))).toMatch(/^payload_too_large: .*Use an artifact/);
    }
    expect(failure("é".repeat(600_000))).toMatchInlineSnapshot(
      `"payload_too_large: output of job a is 1.1 MB of JSON; at most 1 MB is stored with a job. Use an artifact: store it with ctx.artifact or ctx.dataset (a command: a file in TENUTO_ARTIFACTS) and hand on the reference."`,
    );
  });

  test("a small value that would become a huge text is refused at once", () => {
    let value: unknown = "laugh";
    for (let i = 0; i < 40; i++) value = [value, value];
    expect(failure(value)).toMatch(/^payload_too_large: /);
  });
});
