/**
 * What PgBouncer in transaction mode does to its clients, at its worst: each transaction of a client gets another server
 * connection than the one before, start-up parameters are refused, prepared statements are not followed.
 */
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";

/** Messages of either side: a letter, a length, the rest. */
class Messages {
  private rest = Buffer.alloc(0);

  /** Whole messages of what has come so far. */
  take(chunk: Buffer): Buffer[] {
    this.rest = Buffer.concat([this.rest, chunk]);
    const found: Buffer[] = [];
    while (this.rest.length >= 5) {
      const length = this.rest.readUInt32BE(1) + 1;
      if (this.rest.length < length) break;
      found.push(this.rest.subarray(0, length));
      this.rest = this.rest.subarray(length);
    }
    return found;
  }
}

const message = (letter: string, body: Buffer): Buffer => {
  const head = Buffer.alloc(5);
  head.write(letter);
  head.writeUInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
};

function startup(parameters: Record<string, string>): Buffer {
  const text = `${Object.entries(parameters).flat().join("\0")}\0\0`;
  const body = Buffer.concat([Buffer.from([0, 3, 0, 0]), Buffer.from(text)]);
  const head = Buffer.alloc(4);
  head.writeUInt32BE(body.length + 4);
  return Buffer.concat([head, body]);
}

const REFUSAL = message("E", Buffer.from("SFATAL\0C08P01\0Munsupported startup parameter: options\0\0"));
const WELCOME = Buffer.concat([
  message("R", Buffer.alloc(4)),
  message("K", Buffer.from([0, 0, 0, 1, 0, 0, 0, 2])),
  message("Z", Buffer.from("I")),
]);

interface Far {
  socket: Socket;
  onMessage: (whole: Buffer) => void;
}

/** A server connection that is ready. */
async function openFar(url: URL): Promise<Far> {
  const socket = connect(Number(url.port), url.hostname);
  await once(socket, "connect");
  const far: Far = { socket, onMessage: () => {} };
  const messages = new Messages();
  const ready = new Promise<void>((resolve) => {
    far.onMessage = (whole) => {
      if (whole[0] === 0x5a) resolve();
    };
  });
  socket.on("error", () => {});
  socket.on("data", (chunk) => {
    for (const whole of messages.take(chunk)) far.onMessage(whole);
  });
  socket.write(startup({ user: decodeURIComponent(url.username), database: url.pathname.slice(1) }));
  await ready;
  return far;
}

export class Pooler {
  private readonly target: URL;
  private listener: Server | null = null;
  private readonly free: Far[] = [];
  private readonly waiting: (() => void)[] = [];
  private readonly sockets = new Set<Socket>();
  /** Transactions that went to another server connection than the one before of the same client. */
  switches = 0;

  constructor(url: string) {
    this.target = new URL(url);
  }

  async listen(connections = 3): Promise<string> {
    for (let n = 0; n < connections; n++) this.free.push(await openFar(this.target));
    this.listener = createServer((near) => this.serve(near)).listen(0, "127.0.0.1");
    await once(this.listener, "listening");
    const url = new URL(this.target);
    url.port = String((this.listener.address() as { port: number }).port);
    return url.href;
  }

  async close(): Promise<void> {
    this.listener?.close();
    for (const socket of this.sockets) socket.destroy();
    for (const far of this.free) far.socket.destroy();
  }

  private serve(near: Socket): void {
    this.sockets.add(near);
    near.on("error", () => {});
    const messages = new Messages();
    let started = false;
    let group: Buffer[] = [];
    let work = Promise.resolve();
    const lease: Lease = { far: null, last: null };
    near.on("data", (chunk) => {
      if (!started) {
        started = !chunk.includes("options\0");
        if (!started) return void near.end(REFUSAL);
        near.write(WELCOME);
        return;
      }
      for (const whole of messages.take(chunk)) {
        if (whole[0] === 0x58) return void near.end();
        group.push(whole);
        // Sync, or a simple query.
        if (whole[0] !== 0x53 && whole[0] !== 0x51) continue;
        const sent = Buffer.concat(group);
        group = [];
        work = work.then(() => this.forward(near, sent, lease));
      }
    });
  }

  private async forward(near: Socket, sent: Buffer, lease: Lease): Promise<void> {
    const far = lease.far ?? (await this.take(lease.last));
    if (lease.last !== null && lease.last !== far) this.switches += 1;
    lease.last = far;
    const status = await new Promise<number>((resolve) => {
      far.onMessage = (whole) => {
        if (!near.destroyed) near.write(whole);
        if (whole[0] === 0x5a) resolve(whole[5] as number);
      };
      far.socket.write(sent);
    });
    // Idle: the transaction is over, somebody else may have the connection.
    lease.far = status === 0x49 ? null : far;
    if (lease.far !== null) return;
    this.free.push(far);
    this.waiting.shift()?.();
  }

  /** Another one than the last, if there is any. */
  private async take(last: Far | null): Promise<Far> {
    while (this.free.length === 0) await new Promise<void>((resolve) => this.waiting.push(resolve));
    const at = this.free.findIndex((far) => far !== last);
    return this.free.splice(Math.max(at, 0), 1)[0] as Far;
  }
}

interface Lease {
  far: Far | null;
  last: Far | null;
}
