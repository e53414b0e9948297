/** A relay on loopback between a client and the server, whose connections can be cut, or held up. */
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";

export class Relay {
  private readonly sockets = new Set<Socket>();
  private listener: Server | null = null;
  private readonly target: { host: string; port: number };
  frozen = false;
  port = 0;

  constructor(url: string) {
    const { hostname, port } = new URL(url);
    this.target = { host: hostname, port: Number(port) };
  }

  async listen(): Promise<void> {
    this.listener = createServer((near) => {
      const far = connect(this.target);
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        this.sockets.add(from);
        from.on("error", () => {});
        from.on("close", () => to.destroy());
        from.on("data", (chunk) => {
          if (!this.frozen) to.write(chunk);
        });
      }
    }).listen(this.port, "127.0.0.1");
    await once(this.listener, "listening");
    this.port = (this.listener.address() as { port: number }).port;
  }

  cut(): void {
    for (const socket of this.sockets) socket.destroy();
    this.sockets.clear();
  }

  async close(): Promise<void> {
    this.listener?.close();
    this.cut();
  }

  url(of: string): string {
    const url = new URL(of);
    url.port = String(this.port);
    return url.href;
  }
}
