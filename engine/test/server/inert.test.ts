/** S-15, S-16: what people and jobs write is data: no template of another language is carried out, no shell reads an argument. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { z } from "zod";
import { defineAgent, definePipeline, openTenuto, type Tenuto } from "../../src/index.ts";

const EXPRESSIONS = [
  ...[
    "7*7",
    "constructor",
    "__proto__",
    "constructor.constructor('return process')()",
    "this",
    "process.env",
    "globalThis",
  ],
  ...[
    "require('child_process').execSync('id')",
    "$jmespath",
    "params.constructor",
    "params.__proto__.x",
    "params.toString",
  ],
  ...[
    "[].filter.constructor('return 1')()",
    "''.__class__.__mro__",
    "config.items()",
    "self._TemplateReference__context",
  ],
  ...[
    "request.application.__globals__",
    "T(java.lang.Runtime).getRuntime().exec('id')",
    "_self.env.display('x')",
    "system('id')",
  ],
  ...["include('/etc/passwd')", "range.constructor", "lipsum.__globals__", "cycler.__init__.__globals__", "dump(app)"],
];
const WRAPS = [
  (text: string) => `{{ ${text} }}`,
  (text: string) => `{{{ ${text} }}}`,
  (text: string) => `\${${text}}`,
  (text: string) => `<%= ${text} %>`,
  (text: string) => `#{${text}}`,
  (text: string) => `{% ${text} %}`,
  (text: string) => `[[${text}]]`,
  (text: string) => `={{ ${text} }}`,
];
const PAYLOADS = EXPRESSIONS.flatMap((text) => WRAPS.map((wrap) => wrap(text)));

const META = [
  "; id",
  "| id",
  "& id",
  "&& id",
  "$(id)",
  "`id`",
  "> /tmp/x",
  "< /etc/passwd",
  "\n id",
  "\t",
  "'",
  '"',
  "\\",
  "*",
  "?",
  "~",
];
const MORE = [
  "$HOME",
  // biome-ignore lint/suspicious/noTemplateCurlyInString: what a shell would read is the test
  "${PATH}",
  "!!",
  "#",
  "%PATH%",
  "^",
  "(",
  ")",
  "{a,b}",
  "[a-z]",
  "-rf",
  "--help",
  "-",
  "",
  " ",
  "\u0001",
  "é\u202e",
  "a\rb",
];
const ARGUMENTS = [...META, ...MORE].flatMap((text) => [
  text,
  `a${text}`,
  `${text}b`,
  `'${text}'`,
  `"${text}"`,
  `\\${text}`,
  `$(${text})`,
  `-x=${text}`,
  `${text}${text}`,
]);

let home: string;
let tenuto: Tenuto;
const fields = Object.fromEntries(ARGUMENTS.map((text, at) => [`a${at}`, text]));

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), "tenuto-inert-"));
  const say = defineAgent({ name: "test/say", run: ({ all }: { all: string[] }) => all });
  tenuto = await openTenuto({
    home,
    cwd: home,
    pipelines: [
      definePipeline({
        name: "say",
        params: z.object({ all: z.array(z.string()) }),
        agents: [say],
        jobs: [{ id: "say", agent: "test/say", input: { all: "{{ params.all }}" } }],
      }),
      definePipeline({
        name: "argue",
        params: z.record(z.string(), z.string()),
        jobs: [
          {
            id: "argue",
            command: {
              argv: [
                process.execPath,
                "-e",
                "process.stdout.write(JSON.stringify(process.argv.slice(1)))",
                "--",
                ...Object.keys(fields).map((name) => `{{ params.${name} }}`),
              ],
              output: "stdout-json",
            },
          },
        ],
      }),
    ],
  });
});
afterAll(async () => {
  await tenuto.close();
  rmSync(home, { recursive: true, force: true });
});

it("S-15: 200 templates of other languages, and of ours, in values stay what they are", async () => {
  expect(PAYLOADS).toHaveLength(200);
  const { output } = await (await tenuto.start("say", { all: PAYLOADS })).wait();
  expect(output).toEqual(PAYLOADS);
});

it("S-15: in a pipeline they are text, or refused before anything is written; none is carried out", async () => {
  const done: string[] = [];
  for (const [at, text] of PAYLOADS.entries()) {
    const document = {
      name: `inert-${at}`,
      kind: "graph",
      stages: [{ name: "s", jobs: [{ id: "say", agent: "test/say", input: { all: [text] } }] }],
    };
    try {
      await tenuto.templates.push(document as never);
    } catch (error) {
      if (!["invalid_definition", "invalid_input"].includes((error as { code: string }).code))
        done.push(`${text}: ${error}`);
      continue;
    }
    const known = await tenuto.templates.known(`inert-${at}`);
    const run = await tenuto.client.startKnown(known as never, {});
    const end = await run.wait();
    const literal = JSON.stringify(end.output) === JSON.stringify([text]);
    if (end.state === "completed" ? !literal : end.error?.category !== "permanent")
      done.push(`${text}: ${JSON.stringify(end.output)}`);
  }
  expect(done).toEqual([]);
});

it("S-16: 300 arguments full of metacharacters arrive as they were", async () => {
  expect(ARGUMENTS.length).toBeGreaterThanOrEqual(300);
  const { output, error } = await (await tenuto.start("argue", fields)).wait();
  expect(error).toBeNull();
  expect(output).toEqual(ARGUMENTS);
});
