import { describe, expect, it } from "vitest";
import { jsonErrorOffset } from "./json-position.ts";

describe("the place where a text stops being JSON", () => {
  it.each([
    ["", 0],
    ["  ", 2],
    ["nope", 0],
    ['{"a":1,}', 7],
    ['{"a" 1}', 5],
    ["{a:1}", 1],
    ["[1,]", 3],
    ["[1 2]", 3],
    ["[1", 2],
    ["1 2", 2],
    ["[01]", 2],
    ["[NaN]", 1],
    ['"ab', 3],
    ['"a\nb"', 2],
    ['"a\\xb"', 2],
    ['{"a":[{"b":tru}]}', 11],
    ["]", 0],
  ])("%j is wrong at %i", (text, offset) => {
    expect(() => JSON.parse(text)).toThrow();
    expect(jsonErrorOffset(text)).toBe(offset);
  });

  it("goes to the end of what is right", () => {
    for (const text of ['{"a":[1,-2.5e3,"\\u00e9\\n",true,null,{}],"b":[]}', " [ ] ", '"x"']) {
      JSON.parse(text);
      expect(jsonErrorOffset(text)).toBe(text.length);
    }
  });

  it("stands a million brackets", () => {
    expect(jsonErrorOffset("[".repeat(1_000_000))).toBe(1_000_000);
  });
});
