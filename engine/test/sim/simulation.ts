/**
 * A small world of runs, workers and faults on a real ledger. Actions are plain data; which run, job or lease an action
 * means follows from its numbers and from what is there, so that any list of actions can be played and shrunk.
 */
import * as changes from "../../src/core/changes.ts";
import { checkInvariants } from "../../src/core/invariants.ts";
import { passLimiter } from "../../src/core/limiting.ts";
import type { BootSeq, JobSeq, RunSeq } from "../../src/core/model.ts";
import type { Ledger } from "../../src/ports/ledger.ts";
import { errorOf } from "../../src/testing/builders.ts";
import { type Held, World } from "../../src/testing/world.ts";
import { answerAll, ask, decide, retry } from "./people.ts";
import { type Action, GRAPHS, type Stage, stillHeld } from "./stage.ts";

const LIMITER = { name: "db", key: "", spec: { concurrency: 2 } };
const MAX_OPEN_RUNS = 4;
const MAX_CRASHES = 1_000;

export class Simulation {
  readonly ledger: Ledger;
  private readonly stage: Stage;
  readonly world: World;
  readonly log: string[] = [];
  private workers: BootSeq[] = [];
  private dead: BootSeq[] = [];
  private runs: RunSeq[] = [];
  private held: Held[] = [];
  /** Leases whose holder has reported an end, or has been declared dead. */
  private past: Held[] = [];
  private closing = new Map<string, string>();
  private spawned = 0;

  constructor(stage: Stage) {
    this.stage = stage;
    this.ledger = stage.ledger;
    this.world = new World(this.ledger, stage.clock);
  }

  async play(actions: readonly Action[]): Promise<void> {
    await this.ledger.putDefinition("v1", "test", "{}");
    this.workers = [await this.world.boot(), await this.world.boot()];
    let batch: Promise<void>[] = [];
    for (const action of actions) {
      if (!action.together && batch.length > 0) {
        await Promise.all(batch);
        batch = [];
        if (this.stage.quick) await this.check();
      }
      batch.push(this.act(action));
    }
    await Promise.all(batch);
    await this.check();
  }

  async check(): Promise<void> {
    const problems = checkInvariants(await this.stage.dump());
    if (problems.length > 0) throw new Error(`${problems.join("\n")}\nafter ${this.log.slice(-12).join("; ")}`);
  }

  /** Faults off: what is dead is taken over, one good worker works. Everything must end. */
  async settle(): Promise<void> {
    for (const boot of [...this.workers, ...this.dead]) await this.world.bury(boot, MAX_CRASHES);
    const boot = await this.world.boot();
    // Leases of boots that had been taken over before: the sweeper comes again.
    for (const { seq } of await this.ledger.abandoned()) await this.world.bury(seq, MAX_CRASHES);
    for (let round = 0; round < 20; round++) {
      await this.world.finish(boot);
      await answerAll(this.world);
      for (const run of await this.ledger.standing(100)) await this.ledger.apply(changes.breakDeadlock(run));
      const states = await this.ledger.runStates();
      if (states.pending + states.running + states.waiting === 0) break;
    }
    await this.check();
    const dump = await this.stage.dump();
    const open = dump.runs.filter((run) => run.endedAt === null);
    const details = await Promise.all(
      open.map(async (run) => `${run.id} ${run.state}: ${await this.world.states(run.seq)}`),
    );
    if (open.length > 0) throw new Error(`these runs never end: ${details.join("\n")}`);
    if (dump.holds.length > 0) throw new Error(`limiters are held for ever: ${JSON.stringify(dump.holds)}`);
    if (dump.propagations.length > 0) throw new Error("consequences are left");
  }

  private pick<T>(list: readonly T[], at: number): T | undefined {
    return list.length === 0 ? undefined : list[at % list.length];
  }

  /** A rejection is an answer; anything that the engine calls its own fault is not. */
  private async attempt(what: string, work: Promise<unknown>): Promise<unknown> {
    try {
      const answer = await work;
      this.log.push(`${what}: ok`);
      return answer;
    } catch (error) {
      // Two reports of one item in one batch: the second is refused, alone.
      if (/item \d+ of job \d+ has ended already/.test(String(error))) return undefined;
      const code = String((error as { code?: unknown }).code ?? error);
      this.log.push(`${what}: ${code}`);
      if (["internal", "ledger_unavailable", "not_found"].includes(code) || !(error as { code?: unknown }).code)
        throw error;
      return undefined;
    }
  }

  private async act({ kind, x, y }: Action): Promise<void> {
    switch (kind) {
      case "start":
        return await this.start(x, y);
      case "claim":
        return await this.claim(x, y);
      case "settle":
      case "window":
      case "release":
        return await this.onWindow(kind, x, y);
      case "late":
        return await this.late(x, y);
      case "again":
        return await this.again(x);
      case "cancel":
      case "halt":
      case "retry":
        return await this.onRun(kind, x, y);
      case "die":
      case "bury":
        return await this.lose(kind, x);
      case "decide":
        return await decide(this.world, (what, work) => this.attempt(what, work), x, y);
      case "time":
        return await this.time(x);
      case "standing":
        for (const run of await this.ledger.standing(10))
          await this.attempt("standing", this.ledger.apply(changes.breakDeadlock(run)));
        return;
      default:
        return await this.onJob(kind, x, y);
    }
  }

  private async start(x: number, y: number): Promise<void> {
    const states = await this.ledger.runStates();
    if (states.pending + states.running + states.waiting >= MAX_OPEN_RUNS) return;
    const onConflict = (["queue", "refuse", "replace"] as const)[y % 3] ?? "queue";
    const priority = (["high", "normal", "low"] as const)[y % 3] ?? "normal";
    const concurrency = y % 4 === 0 ? { key: `k${y % 2}`, onConflict } : null;
    const idempotencyKey = y % 11 === 0 ? `i${x % 3}` : undefined;
    const graph = this.pick(GRAPHS, x) as string;
    const settings = {
      priority,
      concurrency,
      ...(idempotencyKey === undefined ? {} : { idempotencyKey, requestHash: graph }),
    };
    const run = (await this.attempt(`start ${graph}`, this.world.start(graph, settings))) as
      | { seq: RunSeq }
      | undefined;
    if (run !== undefined) this.runs.push(run.seq);
  }

  private async claim(x: number, y: number): Promise<void> {
    const boot = this.pick(this.workers, x) as BootSeq;
    const claim = this.world.claim(boot, 1 + (y % 4), { itemSlots: 1 + (y % 3), suspects: y % 5 !== 0 });
    const held = (await this.attempt(`claim ${boot}`, claim)) as Held[] | undefined;
    this.held.push(...(held ?? []));
  }

  /** Moves a lease to the past; its next report must be refused. */
  private close(held: Held, how: string): void {
    const key = `${held.job}.${held.window === null ? "job" : held.window.start}.${held.lease.epoch}`;
    const before = this.closing.get(key);
    if (before !== undefined)
      throw new Error(`lease ${key} of job ${held.id} was closed by ${before} and again by ${how}`);
    this.closing.set(key, how);
    this.held = this.held.filter((one) => one !== held);
    this.past.push(held);
  }

  private async onJob(kind: Action["kind"], x: number, y: number): Promise<void> {
    const held = this.pick(
      this.held.filter((one) => one.window === null),
      x,
    );
    if (held === undefined) return;
    const job = await this.ledger.job(held.job);
    const fanout = job === null || job.kind === "single" ? null : await this.ledger.fanout(held.job);
    if (kind === "end" && fanout !== null && fanout.completed + fanout.failed + fanout.skipped < fanout.total) {
      if (job?.kind === "map") return;
      // Its items have not all ended: too many failed, or it was woken too early.
      if (fanout.stopped === 1) await this.attempt(`conclude ${held.id}`, this.world.fail(held, errorOf("permanent")));
      else await this.attempt(`back to items ${held.id}`, this.world.park(held, null, "items"));
      this.held = this.held.filter((one) => one !== held);
      return;
    }
    if (kind === "end" && job !== null && job.kind !== "single" && fanout === null) {
      const total = [0, 1, 5, 9][y % 4] as number;
      const answer = await this.attempt(
        `expand ${held.id} ${total}`,
        this.world.expand(held, total, { window: 1 + (y % 4), errorRate: [0, 0.5, 1][y % 3] as number }),
      );
      if (answer !== undefined && job.kind === "fanout" && total > 0) this.close(held, "expand");
      return;
    }
    if (job?.kind !== "single" && ["spawn", "map", "park", "ask"].includes(kind)) return;
    if (kind === "spawn" || kind === "map") return await this.spawn(held, kind, y);
    if (kind === "ask") {
      if (await ask(this.world, (what, work) => this.attempt(what, work), held, y)) this.close(held, "ask");
      return;
    }
    if (kind === "limit")
      return void (await this.attempt(
        `limit ${held.id}`,
        this.ledger.apply(passLimiter(LIMITER, { job: held.job, lease: held.lease, item: -1 }, false)),
      ));
    const answer = await this.attempt(
      `${kind} ${held.id} ${y % 5}`,
      this.report(kind, held, y, job?.openChildren ?? 0),
    );
    if (answer !== "rejected" && answer !== undefined && answer !== "missed") this.close(held, kind);
    else this.held = this.held.filter((one) => one !== held || answer === "missed");
  }

  private async report(kind: Action["kind"], held: Held, y: number, openChildren: number): Promise<unknown> {
    const { world, ledger } = this;
    const policy = {
      maxRetries: 2,
      delayMs: 1_000 * (y % 3),
      onExhausted: y % 2 === 0 ? ("fail" as const) : ("skip" as const),
    };
    if (kind === "fail") {
      const category =
        (["permanent", "retryable", "skippable", "retryable", "critical"] as const)[y % 5] ?? "permanent";
      return (await world.fail(held, errorOf(category), policy)) ?? "done";
    }
    if (kind === "giveBack")
      return (
        (await ledger.apply(changes.giveBack(held.job, held.lease, y % 2 === 0 ? null : 5_000, "stopped"))) ?? "done"
      );
    if (kind === "park")
      return y % 2 === 0 && (await this.waitsForOthers(held))
        ? await world.park(held, null, "children", openChildren)
        : await world.park(held, 1_000 * (y % 7));
    if (y % 6 === 0) return (await world.skip(held)) ?? "done";
    if (y % 7 === 0) return (await ledger.apply(changes.cancelledJob(held.job, held.lease))) ?? "done";
    return (await world.complete(held, String(y))) ?? "done";
  }

  /** Durable code works on a map itself; it parks only for children that others run. */
  private async waitsForOthers(held: Held): Promise<boolean> {
    return (await this.ledger.children(held.job)).some((child) => child.endedAt === null && child.kind !== "map");
  }

  private async spawn(held: Held, kind: "spawn" | "map", y: number): Promise<void> {
    if (this.spawned > 12) return;
    this.spawned += 1;
    const settings = {
      kind: kind === "map" ? ("map" as const) : y % 3 === 0 ? ("fanout" as const) : ("single" as const),
      allowFailure: y % 2 === 0,
    };
    const child = (await this.attempt(
      `${kind} ${held.id}`,
      this.world.spawn(held, `${settings.kind}${y % 2}`, settings),
    )) as { seq: JobSeq; id: string } | undefined;
    if (child === undefined || kind !== "map") return;
    const before = await this.ledger.job(child.seq);
    if (before?.state !== "ready") return;
    const claimed = await this.attempt(
      `claimChild ${child.id}`,
      this.ledger.apply(changes.claimChild(child.seq, held.lease.boot)),
    );
    if (claimed === "claimed")
      this.held.push({
        job: child.seq,
        id: child.id,
        lease: { epoch: before.epoch + 1, boot: held.lease.boot },
        window: null,
      });
  }

  private async onWindow(kind: "settle" | "window" | "release", x: number, y: number): Promise<void> {
    const { world } = this;
    const held = this.pick(
      this.held.filter((one) => one.window !== null),
      x,
    );
    const map = this.pick(
      this.held.filter((one) => one.window === null),
      x,
    );
    if (kind === "window" && (held === undefined || y % 2 === 0)) {
      if (map === undefined) return;
      const lease = (await this.attempt(
        `lease ${map.id}`,
        world.leaseWindow(map.job, map.lease.boot, null, 1 + (y % 2)),
      )) as Held | null | undefined;
      if (lease != null) this.held.push(lease);
      return;
    }
    if (held === undefined || held.window === null) return;
    if (kind === "window") {
      const next = (await this.attempt(
        `lease on ${held.id}`,
        world.leaseWindow(held.job, held.lease.boot, held.window.start),
      )) as Held | null | undefined;
      if (next != null) this.held.push(next);
      return;
    }
    if (kind === "release") {
      const released = await this.attempt(`release ${held.id} ${held.window.start}`, world.release(held));
      if (released === true) this.close(held, "release");
      return;
    }
    if (y % 9 === 0) {
      const holder = { job: held.job, lease: held.lease, item: held.window.start, window: held.window.start };
      await this.attempt(`limit item of ${held.id}`, this.ledger.apply(passLimiter(LIMITER, holder, false)));
    }
    await this.settleSome(held, held.window, y);
  }

  private async settleSome(held: Held, window: { start: number; stop: number }, y: number): Promise<void> {
    const known = await this.ledger.items(held.job, { from: window.start, to: window.stop, limit: 100 });
    const done = new Map(known.map((row) => [row.ordinal, row]));
    const rows = [];
    for (let ordinal = window.start; ordinal < window.stop; ordinal++) {
      const before = done.get(ordinal);
      if ((before !== undefined && before.state !== "pending") || (y + ordinal) % 4 === 0) continue;
      const state =
        (["completed", "completed", "failed", "skipped", "pending", "completed"] as const)[(y + ordinal) % 6] ??
        "completed";
      rows.push(this.world.item(held.job, ordinal, state, (before?.attempts ?? 0) + 1));
    }
    const settled = (await this.attempt(
      `settle ${held.id} ${rows.map((row) => row.ordinal).join()}`,
      this.world.settle(held, rows),
    )) as { open: number } | undefined;
    if (settled?.open === 0 || settled === undefined) this.held = this.held.filter((one) => one !== held);
  }

  /** A report from a lease that is over: refused, whatever it says. */
  private async late(x: number, y: number): Promise<void> {
    const held = this.pick(this.past, x);
    if (held === undefined) return;
    const report =
      held.window === null
        ? this.world.complete(held, '"late"')
        : this.world.settle(held, [this.world.item(held.job, held.window.start, y % 2 === 0 ? "completed" : "failed")]);
    try {
      await report;
    } catch (error) {
      if ((error as { code?: unknown }).code !== "lease_lost") throw error;
      return;
    }
    throw new Error(`a late report of job ${held.id} under epoch ${held.lease.epoch} was accepted`);
  }

  /** One report sent twice in one batch: a lost answer makes a worker ask again. */
  private async again(x: number): Promise<void> {
    const held = this.pick(
      this.held.filter((one) => one.window === null),
      x,
    );
    if (held === undefined || (await this.ledger.job(held.job))?.kind !== "single") return;
    const answers = await Promise.allSettled([this.world.complete(held), this.world.complete(held)]);
    if (answers.every((answer) => answer.status === "fulfilled")) throw new Error(`job ${held.id} completed twice`);
    if (answers.some((answer) => answer.status === "fulfilled")) this.close(held, "again");
    else this.held = this.held.filter((one) => one !== held);
  }

  private async onRun(kind: "cancel" | "halt" | "retry", x: number, y: number): Promise<void> {
    const run = this.pick(this.runs, x);
    if (run === undefined) return;
    if (kind === "cancel") await this.attempt(`cancel ${run}`, this.world.cancel(run));
    else if (kind === "halt")
      await this.attempt(`halt ${run}`, this.ledger.apply(changes.haltRun(run, errorOf("critical"))));
    else await this.attempt(`retry ${run} by ${y}`, retry(this.world, run, y));
  }

  /** A worker falls silent: it is declared dead, and taken over now or later. Another one comes. */
  private async lose(kind: "die" | "bury", x: number): Promise<void> {
    if (kind === "bury") {
      const boot = this.dead.pop();
      if (boot !== undefined) await this.attempt(`bury ${boot}`, this.world.bury(boot, x % 3 === 0 ? 1 : MAX_CRASHES));
      return;
    }
    const index = x % this.workers.length;
    const boot = this.workers[index] as BootSeq;
    this.workers[index] = await this.world.boot();
    await this.ledger.endBoot(boot, "dead");
    if (x % 2 === 0) this.dead.push(boot);
    else await this.attempt(`lose ${boot}`, this.world.bury(boot, MAX_CRASHES));
    const mine = this.held.filter((one) => one.lease.boot === boot);
    this.held = this.held.filter((one) => one.lease.boot !== boot);
    if (x % 2 === 1) for (const one of mine) if (!(await stillHeld(this.ledger, one))) this.past.push(one);
    this.log.push(`die ${boot}`);
  }

  private async time(x: number): Promise<void> {
    this.world.clock.advance([10, 1_000, 7_000, 400_000][x % 4] as number);
    await this.attempt("time", this.world.due());
  }
}
