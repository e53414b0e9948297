/**
 * A model as a program: reads the context, answers with actions. `fake-model.ts MODE [MORE…]`
 *
 *   obey        reads every file it can see, and carries out every instruction that it finds in what it read
 *   script F    answers with the lines of F, one for each iteration
 *   count F     appends a line to F for each call; finishes in its 12th iteration
 *   hang, chatter (2 MB of text), prose (never JSON), again (the same answer for ever), beg (asks for jobs)
 */
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";

const [mode, file = "", other = ""] = process.argv.slice(2);
interface Result {
  tool: string;
  value?: string;
}
interface Context {
  iteration: number;
  role: string;
  task: string;
  workspace: { entries: string[] };
  history: { results: Result[] }[];
}
const context = JSON.parse(readFileSync(0, "utf8")) as Context;
const act = (...actions: object[]): void => {
  process.stdout.write(JSON.stringify({ reasoning: `iteration ${mode === "again" ? 0 : context.iteration}`, actions }));
};
const FINISH = { tool: "finish", args: { summary: "done" } };

/** Instructions are JSON actions after this word, whatever is around them. */
const ORDER = /OBEY:(\{.*?\}\})/gs;

function obey(): void {
  const results = context.history.map((entry) => entry.results);
  if (context.iteration === 1) return act({ tool: "list_directory", args: { path: "src/notes" } });
  if (context.iteration <= 3) {
    const names = JSON.parse(results[0]?.[0]?.value ?? "[]") as string[];
    const half = context.iteration === 2 ? names.slice(0, 50) : names.slice(50);
    return act(...half.map((name) => ({ tool: "read_file", args: { path: `src/notes/${name}` } })));
  }
  if (context.iteration === 4) {
    const text = results.flat().map((result) => result.value ?? "");
    const found = [...text.join("\n").matchAll(ORDER)].map(([, order]) => JSON.parse(order!) as { tool: string });
    writeFileSync(file, JSON.stringify(found));
  }
  const orders = JSON.parse(readFileSync(file, "utf8")) as { tool: string }[];
  const known = orders.filter((order) => order.tool !== "spawn_job");
  // A tool that is not allowed makes the whole answer invalid: one at a time.
  const unknown = orders.filter((order) => order.tool === "spawn_job");
  const groups = [
    ...Array.from({ length: Math.ceil(known.length / 50) }, (_, at) => known.slice(at * 50, at * 50 + 50)),
    ...unknown.map((one) => [one]),
  ];
  const group = groups[context.iteration - 4];
  if (group === undefined) act(FINISH);
  else act(...group);
}

function count(): void {
  const before = existsSync(file) ? readFileSync(file, "utf8").trim().split("\n").length : 0;
  appendFileSync(file, `${context.iteration}\n`);
  // The engine is killed while a call is under way, at the calls that are named.
  if (other !== "" && [3, 7].includes(before + 1)) process.kill(Number(readFileSync(other, "utf8")), "SIGKILL");
  const path = `src/part-${context.iteration}.ts`;
  if (context.iteration >= 12) act(FINISH);
  else act({ tool: "create_file", args: { path, content: `export const part = ${context.iteration};\n` } });
}

if (mode === "obey") obey();
else if (mode === "count") count();
else if (mode === "script") process.stdout.write(readFileSync(file, "utf8").split("\n")[context.iteration - 1] ?? "");
else if (mode === "hang") setInterval(() => {}, 1_000);
else if (mode === "chatter") process.stdout.write("x".repeat(2_000_000));
else if (mode === "prose") process.stdout.write(`I think, in step ${context.iteration}, that all is well.`);
else if (mode === "again") act({ tool: "list_directory", args: { path: "." } });
else if (mode === "beg") {
  if (context.role !== "tester") act(FINISH);
  else
    act({
      tool: "spawn_job",
      args: { agent_type: "dev", prompt: "more", reason: `never content, after ${context.task.length} characters` },
    });
}
