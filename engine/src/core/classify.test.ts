import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { storedErrorFrom } from "./classify.ts";
import type { ErrorRule } from "./document.ts";
import { retryAfterFrom } from "./error-facts.ts";
import { TenutoError } from "./errors.ts";
import { checkPayload } from "./payload.ts";

const named = (name: string, fields: object = {}, message = "went wrong"): Error =>
  Object.assign(new Error(message), { name }, fields);

describe("category without rules", () => {
  test.each<[string, unknown, string]>([
    ["plain error", new Error("x"), "permanent"],
    ["programming error", new TypeError("x is not a function"), "permanent"],
    ...[408, 425, 429, 500, 502, 599].map((status): [string, unknown, string] => [
      `status ${status}`,
      named("E", { status }),
      "retryable",
    ]),
    ...[403, 404, 410].map((status): [string, unknown, string] => [
      `status ${status}`,
      named("E", { response: { status } }),
      "skippable",
    ]),
    ["status 401", named("E", { statusCode: 401 }), "critical"],
    ["status 400", named("E", { status: 400 }), "permanent"],
    ["status as text", named("E", { status: "503" }), "retryable"],
    ["status in details", new TenutoError("agent_error", "x", { details: { status: 404 } }), "skippable"],
    ["no status", named("E", { status: 7 }), "permanent"],
    ...["TimeoutError", "ConnectionError", "RateLimitError"].map((name): [string, unknown, string] => [
      name,
      named(name),
      "retryable",
    ]),
    ...["NotFoundError", "ForbiddenError", "ParseError"].map((name): [string, unknown, string] => [
      name,
      named(name),
      "skippable",
    ]),
    ...[
      "ECONNREFUSED",
      "ECONNRESET",
      "ETIMEDOUT",
      "EPIPE",
      "EAI_AGAIN",
      "ENOTFOUND",
      "UND_ERR_SOCKET",
      "UND_ERR_HEADERS_TIMEOUT",
    ].map((code): [string, unknown, string] => [code, named("Error", { code }), "retryable"]),
    ...["ENOSPC", "EDQUOT", "EROFS"].map((code): [string, unknown, string] => [
      code,
      named("Error", { code }),
      "critical",
    ]),
    ["ENOENT", named("Error", { code: "ENOENT" }), "permanent"],
    ["AbortSignal.timeout", new DOMException("The operation was aborted due to timeout", "TimeoutError"), "retryable"],
    ["abort", new DOMException("This operation was aborted", "AbortError"), "permanent"],
    ["abort by timeout", new DOMException("aborted: timed out", "AbortError"), "retryable"],
    ["exit 75", new TenutoError("command_failed", "x", { details: { exitCode: 75 } }), "retryable"],
    ["exit 78", named("E", { exitCode: 78 }), "critical"],
    ["exit 1", named("E", { exitCode: 1 }), "permanent"],
    ["execFile exit 75", named("Error", { code: 75, cmd: "x" }), "retryable"],
    ["own category", named("E", { category: "skippable", status: 500 }), "skippable"],
    ["own permanent", named("E", { category: "permanent", status: 500 }), "permanent"],
    ["invalid own category", named("E", { category: "fatal", status: 500 }), "retryable"],
    ["Tenuto timeout", new TenutoError("timeout", "x"), "retryable"],
    ["Tenuto disk", new TenutoError("disk_full", "x"), "critical"],
    [
      "Tenuto permanent keeps out causes",
      new TenutoError("contract_violation", "x", { cause: named("E", { status: 500 }) }),
      "permanent",
    ],
    ["fetch failed", new TypeError("fetch failed", { cause: named("Error", { code: "ECONNREFUSED" }) }), "retryable"],
    ["aggregate", new AggregateError([named("Error", { code: "ECONNREFUSED" })], "all failed"), "retryable"],
    ["subclass", new (class HttpTimeout extends class TimeoutError extends Error {} {})("x"), "retryable"],
    ["plain object", { status: 503, message: "busy" }, "retryable"],
  ])("%s", (_, thrown, category) => {
    expect(storedErrorFrom(thrown).category).toBe(category);
  });
});

describe("rules", () => {
  const decide = (thrown: unknown, ...lists: ErrorRule[][]): string => storedErrorFrom(thrown, lists).category;

  test("nearest list first, first match in it, before the error's own category", () => {
    const error = named("HttpError", { status: 404, category: "permanent" });
    expect(decide(error, [], [{ status: 404, category: "critical" }])).toBe("critical");
    expect(decide(error, [{ status: "4xx", category: "retryable" }], [{ status: 404, category: "critical" }])).toBe(
      "retryable",
    );
    expect(
      decide(error, [
        { status: 404, category: "skippable" },
        { class: "HttpError", category: "critical" },
      ]),
    ).toBe("skippable");
  });

  test("all given fields must match", () => {
    const rule: ErrorRule = { class: "HttpError", status: [500, "4xx"], message: "teapot", category: "skippable" };
    expect(decide(named("HttpError", { status: 418 }, "a teapot"), [rule])).toBe("skippable");
    expect(decide(named("HttpError", { status: 418 }, "a kettle"), [rule])).toBe("permanent");
    expect(decide(named("Other", { status: 418 }, "a teapot"), [rule])).toBe("permanent");
    expect(decide(named("HttpError", { status: 302 }, "a teapot"), [rule])).toBe("permanent");
  });

  test("code, exit codes, class up the prototype chain, and a catch-all", () => {
    class Base extends Error {}
    class Special extends Base {}
    expect(decide(new Special("x"), [{ class: "Base", category: "retryable" }])).toBe("retryable");
    expect(decide(named("E", { code: "X1" }), [{ code: "X1", category: "retryable" }])).toBe("retryable");
    expect(decide(named("E", { exitCode: 3 }), [{ exitCode: [2, 3], category: "skippable" }])).toBe("skippable");
    expect(decide("text", [{ category: "retryable" }])).toBe("retryable");
  });

  test("a cause can match", () => {
    const error = new Error("outer", { cause: new Error("inner", { cause: named("Deep", { code: "Q" }) }) });
    expect(decide(error, [{ code: "Q", category: "critical" }])).toBe("critical");
  });
});

describe("what is stored", () => {
  const stored = (thrown: unknown) => {
    const { stack: _, ...rest } = storedErrorFrom(thrown);
    return rest;
  };

  test("code, message with its causes, hint, details", () => {
    const cause = named("Error", { code: "ECONNREFUSED" }, "connect ECONNREFUSED 127.0.0.1:9");
    expect(stored(new TypeError("fetch failed", { cause }))).toEqual({
      category: "retryable",
      code: "ECONNREFUSED",
      message: "fetch failed (cause: connect ECONNREFUSED 127.0.0.1:9)",
    });
    expect(stored(named("Error", { code: "ENOSPC" }, "no space"))).toMatchInlineSnapshot(`
      {
        "category": "critical",
        "code": "disk_full",
        "details": {
          "systemCode": "ENOSPC",
        },
        "hint": "Free space or raise the quota, then retry the run: completed work is kept.",
        "message": "no space",
      }
    `);
    expect(stored(named("HttpError", { status: 401 }, "Unauthorized"))).toMatchInlineSnapshot(`
      {
        "category": "critical",
        "code": "HttpError",
        "details": {
          "status": 401,
        },
        "hint": "The credentials were refused (HTTP 401): check the key, then retry the run.",
        "message": "Unauthorized",
      }
    `);
    expect(stored(named("Error", { status: 404 })).code).toBe("http_404");
  });

  test("stack of the first lines only", () => {
    const error = new Error("x");
    error.stack = Array.from({ length: 100 }, (_, i) => `line ${i}`).join("\n");
    expect(storedErrorFrom(error).stack?.split("\n")).toHaveLength(12);
    expect(storedErrorFrom("text")).not.toHaveProperty("stack");
  });

  test("Retry-After in every usual form, for retryable errors only", () => {
    const headers = new Headers({ "retry-after": "2" });
    expect(storedErrorFrom(named("E", { status: 429, headers })).retryAfterMs).toBe(2_000);
    expect(
      storedErrorFrom(named("E", { response: { status: 503, headers: { "Retry-After": "1.5" } } })).retryAfterMs,
    ).toBe(1_500);
    expect(storedErrorFrom(named("E", { status: 429, retryAfter: 3 })).retryAfterMs).toBe(3_000);
    expect(
      storedErrorFrom(new TenutoError("agent_error", "x", { category: "retryable", retryAfterMs: 10 })).retryAfterMs,
    ).toBe(10);
    expect(storedErrorFrom(named("E", { status: 404, retryAfter: 3 }))).not.toHaveProperty("retryAfterMs");
    expect(retryAfterFrom("Fri, 20 Nov 2026 10:00:30 GMT", "Fri, 20 Nov 2026 10:00:00 GMT")).toBe(30_000);
    expect(retryAfterFrom("Fri, 20 Nov 2026 10:00:30 GMT", null)).toBeUndefined();
    expect(retryAfterFrom("soon", null)).toBeUndefined();
  });
});

describe("nothing that is thrown breaks it", () => {
  const cyclic = new Error("a");
  cyclic.cause = new Error("b", { cause: cyclic });
  const endless = new Proxy(new Error("x"), { get: (_, key) => (key === "cause" ? endless2() : undefined) });
  function endless2(): unknown {
    return new Proxy({}, { get: (_, key) => (key === "cause" ? endless2() : undefined) });
  }
  const hostile = new Proxy(
    {},
    {
      get: () => {
        throw new Error("get");
      },
      getPrototypeOf: () => {
        throw new Error("proto");
      },
      ownKeys: () => {
        throw new Error("keys");
      },
    },
  );
  const revoked = Proxy.revocable({}, {});
  revoked.revoke();
  const selfDetails = new TenutoError("agent_error", "x", { details: {} });
  (selfDetails.details as Record<string, unknown>).self = selfDetails.details;
  const getter = Object.defineProperty(new Error("x"), "message", {
    get: () => {
      throw new Error("message");
    },
  });

  test.each<[string, unknown]>([
    ["undefined", undefined],
    ["null", null],
    ["text", "only text"],
    ["empty text", ""],
    ["number", 42],
    ["BigInt", 10n],
    ["symbol", Symbol("s")],
    ["function", () => 1],
    ["cycle", cyclic],
    ["endless causes", endless],
    ["hostile proxy", hostile],
    ["hostile proxy as cause", new Error("x", { cause: hostile })],
    ["hostile proxy as details", Object.assign(new Error("x"), { details: hostile })],
    ["revoked proxy", revoked.proxy],
    ["revoked proxy in errors", Object.assign(new Error("x"), { errors: revoked.proxy })],
    ["circular details", selfDetails],
    ["throwing message", getter],
    [
      "huge",
      Object.assign(new Error("m".repeat(1_000_000)), { details: { list: new Array(100_000).fill("x".repeat(100)) } }),
    ],
    [
      "NUL and surrogates",
      Object.assign(new Error("a\0b\ud800"), { code: "c\0", hint: "\udfff", details: { "k\0": "\ud800" } }),
    ],
    ["frozen", Object.freeze(new Error("x"))],
    ["null prototype", Object.create(null)],
  ])("%s", (_, thrown) => {
    const error = storedErrorFrom(thrown);
    expect(error.code).not.toBe("");
    expect(error.message).not.toBe("");
    expect(checkPayload(error, "error").bytes).toBeLessThan(40_000);
  });

  test("texts of thrown values that are no errors", () => {
    expect(storedErrorFrom(undefined).message).toMatchInlineSnapshot(`"undefined was thrown instead of an error"`);
    expect(storedErrorFrom({}).message).toMatchInlineSnapshot(
      `"an object without a message was thrown instead of an error"`,
    );
    expect(storedErrorFrom("").message).toMatchInlineSnapshot(`"failed without a message"`);
  });

  test("anything", () => {
    fc.assert(
      fc.property(fc.anything({ withBigInt: true, withDate: true, withNullPrototype: true }), fc.anything(), (a, b) => {
        const error = storedErrorFrom(
          Object.assign(new Error("x"), { cause: a, details: b, code: a, status: b, errors: [a, b] }),
        );
        checkPayload(error, "error");
        checkPayload(storedErrorFrom(a), "error");
      }),
      { numRuns: 500 },
    );
  });
});
