import { describe, expect, it } from "vitest";
import type { StageRow } from "../core/model.ts";
import { boardLines, phaseLine } from "./board.ts";
import { bytes, count, counted, duration, parseDuration, percent, rate } from "./figures.ts";
import { MemoryIo } from "./fixtures/memory-io.ts";
import { Output } from "./output.ts";
import type { ActiveJob, RunView } from "./run-view.ts";
import { table } from "./table.ts";
import { cut, mayAnimate, painter, plainText, signsFor, wantsColour, widthOf } from "./terminal.ts";

const stage = (ordinal: number, name: string, total: number, settled: number): StageRow => ({
  run: 1,
  ordinal,
  name,
  firstJob: 1,
  declared: total,
  total,
  settled,
  completed: settled,
  failed: 0,
  skipped: 0,
  cancelled: 0,
  tainted: 0,
});

function view(changes: object = {}): RunView {
  const job: ActiveJob = {
    id: "extract-members-of-a-very-long-name",
    stage: 1,
    since: 0,
    attempt: 1,
    waiting: null,
    fanout: true,
    done: 590,
    total: 1134,
    failed: 3,
    skipped: 1,
    message: "https://example.org/mitglieder/日本語/\u001b[2Jpage",
    perSecond: 41.3,
    samples: [],
  };
  return {
    run: {
      id: "associations-12",
      state: "running",
      createdAt: 0,
      endedAt: null,
      jobCount: 4,
      openJobs: 2,
      cancelRequestedAt: null,
    },
    stages: [stage(0, "discovery", 2, 2), stage(1, "extraction", 1, 0), stage(2, "output", 1, 0)],
    active: new Map([[job.id, job]]),
    errors: { jobs: 0, retries: 2 },
    badItems: 4,
    over: false,
    state: "running",
    phase: { ordinal: 1, of: 3, name: "extraction", percent: 52 },
    stagePercent: () => 52,
    ...changes,
  } as unknown as RunView;
}

describe("the board", () => {
  const frame = { rows: 24, now: 61_000, signs: signsFor({}), paint: painter(false) };

  it("shows stages, jobs, rate, ETA and errors in the words of the source documents", () => {
    expect(phaseLine(view())).toBe("Phase 2 of 3: extraction - 52% complete");
    expect(boardLines([view()], { ...frame, columns: 100 }).join("\n")).toMatchInlineSnapshot(`
      "associations-12  running  1 min 01 s
      ✔ discovery   ████████████████████ 100%  2/2 jobs
      ▸ extraction  ██████████░░░░░░░░░░  52%  0/1 job
          extract-members-of-a-very-long-name  594 of 1,134  41/s  ETA 13 s  3 failed  1 skipped  https:…
      · output      0/1 job
      Phase 2 of 3: extraction - 52% complete  (4 items not done, 2 retries)"
    `);
  });

  it("never is wider than the terminal, nor higher", () => {
    const many = view({ stages: Array.from({ length: 60 }, (_, index) => stage(index, `stage ${index}`, 3, 0)) });
    for (let columns = 10; columns <= 130; columns += 7) {
      for (const rows of [4, 8, 24]) {
        for (const views of [[view()], [many], Array.from({ length: 50 }, () => view())]) {
          const lines = boardLines(views, { ...frame, columns, rows });
          expect(Math.max(...lines.map(widthOf))).toBeLessThan(columns);
          expect(lines.length).toBeLessThan(Math.max(rows, 8));
        }
      }
    }
  });
});

describe("terminals", () => {
  it.each([
    [{ tty: true }, {}, undefined, true],
    [{ tty: false }, {}, undefined, false],
    [{ tty: true }, { NO_COLOR: "1" }, undefined, false],
    [{ tty: true }, { NO_COLOR: "" }, undefined, true],
    [{ tty: true }, { TERM: "dumb" }, undefined, false],
    [{ tty: false }, { FORCE_COLOR: "1" }, undefined, true],
    [{ tty: true }, { FORCE_COLOR: "0" }, undefined, false],
    [{ tty: true }, { FORCE_COLOR: "1" }, false, false],
  ])("%j with %j and flag %s: colour %s", (stream, env, flag, expected) => {
    const { stdout } = new MemoryIo("/");
    stdout.isTTY = stream.tty;
    expect(wantsColour(stdout, env, flag)).toBe(expected);
  });

  it("nothing moves with CI, TERM=dumb, or without a terminal", () => {
    const { stderr } = new MemoryIo("/");
    expect(mayAnimate(stderr, {})).toBe(false);
    stderr.isTTY = true;
    expect(mayAnimate(stderr, {})).toBe(true);
    expect(mayAnimate(stderr, { CI: "true" })).toBe(false);
    expect(mayAnimate(stderr, { TERM: "dumb" })).toBe(false);
  });

  it("talk goes above what is being redrawn", () => {
    const io = new MemoryIo("/");
    const out = new Output(io, {});
    const order: string[] = [];
    out.area = {
      above: (write) => {
        order.push("cleared");
        write();
        order.push("drawn");
      },
    };
    out.say("hello");
    expect(order).toEqual(["cleared", "drawn"]);
    expect(io.stderr.text).toBe("hello\n");
  });

  it("texts are cut by columns and cleaned of what steers a terminal", () => {
    expect(cut("日本語テキスト", 7)).toBe("日本語…");
    expect(cut("plain", 5)).toBe("plain");
    expect(plainText("a\u001b]0;title\u0007b\nc\td\u202e")).toBe("a ]0;title b\nc  d");
    const rows = table([{ title: "A", shrink: true }, { title: "B" }], [["x".repeat(90), "end"]], painter(false), 40);
    expect(rows.every((row) => widthOf(row) <= 40)).toBe(true);
  });
});

describe("figures", () => {
  it("read well", () => {
    expect([0, 400, 9_949, 9_950, 59_499, 185_000, 7_620_000, 356_400_000].map(duration)).toEqual([
      "0.0 s",
      "0.4 s",
      "9.9 s",
      "10 s",
      "59 s",
      "3 min 05 s",
      "2 h 07 min",
      "4 d 3 h",
    ]);
    expect([999, 1_000, 1_234_567].map(count)).toEqual(["999", "1,000", "1,234,567"]);
    expect([0, 999, 1_000, 999_600, 123_456_789].map(bytes)).toEqual(["0 B", "999 B", "1.0 kB", "1.0 MB", "123 MB"]);
    expect([percent(0, 0), percent(999, 1_000), percent(5, 5)]).toEqual([0, 99, 100]);
    expect([counted(1, "job"), counted(0, "job"), rate(0.25), rate(1_234)]).toEqual([
      "1 job",
      "0 jobs",
      "0.3/s",
      "1,234/s",
    ]);
    expect(["90s", "1.5h", "30d"].map((text) => parseDuration(text, "-x"))).toEqual([90_000, 5_400_000, 2_592_000_000]);
    expect(() => parseDuration("30", "--older-than")).toThrow(/--older-than: "30" is not a length of time/);
  });
});
