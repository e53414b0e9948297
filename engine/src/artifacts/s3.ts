/**
 * Bytes of objects in a bucket of an S3-compatible service, each upload under a key of its own: `prefix/ab/cdef…/upload`.
 *
 * Owner: artifacts. Invariants:
 * 1. What is sent carries its hash in the signature, so the service refuses bytes that changed on the way.
 * 2. Memory is bounded by one part; larger objects are sent in parts that become visible together, or never.
 * 3. Keys with credentials come from the environment, never from an address that is shown or stored.
 */
import { hash } from "node:crypto";
import { TenutoError } from "../core/errors.ts";
import type { StoredObject } from "../ports/artifact-store.ts";
import type { Blobs } from "../ports/objects.ts";
import { inChunks } from "./database.ts";

const PART_BYTES = 16 * 1024 * 1024;
/** Services take at most 10,000 parts. */
const MAX_PARTS = 9_000;
const TRIES = 4;
/** For a part of 16 MiB over a slow line, and for a service that takes its time. */
const ANSWER_MS = 120_000;

export interface S3Options {
  /** `s3://bucket/prefix?endpoint=https://…&region=…` */
  address: string;
  env: { [name: string]: string | undefined };
  /** Bytes sent at once; objects above it go in parts. Default 16 MiB; services refuse parts below 5 MiB. */
  partBytes?: number;
  /** How long an answer, or more of its body, is waited for. Default two minutes. */
  answerMs?: number;
  /** Pause before the n-th try again. */
  pause?: (attempt: number) => Promise<void>;
}

/** What signs and sends; of `aws4fetch`. */
interface Signing {
  fetch(url: string, init: RequestInit & { headers: Record<string, string> }): Promise<Response>;
}

/** @throws invalid_config, missing_prerequisites */
export async function s3Blobs(options: S3Options): Promise<Blobs> {
  const { bucket, prefix, endpoint, region } = parseAddress(options.address);
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = options.env;
  if (!accessKeyId || !secretAccessKey)
    throw new TenutoError("invalid_config", `there are no credentials for s3://${bucket}`, {
      hint: "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN for those that expire).",
    });
  const sessionToken = options.env["AWS_SESSION_TOKEN"];
  const { AwsClient } = await load();
  const client = new AwsClient({
    accessKeyId,
    secretAccessKey,
    service: "s3",
    region,
    retries: 0,
    ...(sessionToken === undefined || sessionToken === "" ? {} : { sessionToken }),
  });
  const place = `s3://${bucket}${prefix === "" ? "" : `/${prefix}`}`;
  return new S3Blobs(client, place, `${endpoint}/${bucket}/${prefix === "" ? "" : `${prefix}/`}`, options);
}

async function load(): Promise<typeof import("aws4fetch")> {
  try {
    return await import("aws4fetch");
  } catch (cause) {
    throw new TenutoError("missing_prerequisites", "artifacts in S3 need the package aws4fetch", {
      hint: "npm install aws4fetch",
      cause,
    });
  }
}

export function parseAddress(address: string): { bucket: string; prefix: string; endpoint: string; region: string } {
  const wrong = (why: string) =>
    new TenutoError("invalid_config", `${JSON.stringify(address)} is no place for artifacts: ${why}`, {
      hint: "Write s3://bucket/prefix, with ?endpoint=https://… for services other than Amazon's and &region=… if it has some.",
    });
  let url: URL;
  try {
    url = new URL(address);
  } catch {
    throw wrong("it is no address");
  }
  if (url.protocol !== "s3:" || url.host === "") throw wrong("it does not begin with s3://bucket");
  if (url.username !== "" || url.password !== "") throw wrong("credentials belong into the environment");
  const known = new Set(["endpoint", "region"]);
  for (const name of url.searchParams.keys()) if (!known.has(name)) throw wrong(`it has no option ${name}`);
  const region = url.searchParams.get("region") ?? "us-east-1";
  const endpoint = (url.searchParams.get("endpoint") ?? `https://s3.${region}.amazonaws.com`).replace(/\/+$/, "");
  if (!/^https?:\/\//.test(endpoint)) throw wrong("its endpoint must begin with https:// or http://");
  return { bucket: url.host, prefix: url.pathname.replace(/^\/+|\/+$/g, ""), endpoint, region };
}

class S3Blobs implements Blobs {
  readonly place: string;
  readonly #client: Signing;
  readonly #base: string;
  readonly #partBytes: number;
  readonly #answerMs: number;
  readonly #pause: (attempt: number) => Promise<void>;

  constructor(client: Signing, place: string, base: string, { partBytes, answerMs, pause }: S3Options) {
    this.#client = client;
    this.place = place;
    this.#base = base;
    this.#partBytes = partBytes ?? PART_BYTES;
    this.#answerMs = answerMs ?? ANSWER_MS;
    this.#pause = pause ?? ((attempt) => new Promise((done) => setTimeout(done, 200 * 4 ** attempt)));
  }

  async put(upload: string, object: StoredObject, content: AsyncIterable<Uint8Array>): Promise<void> {
    const url = this.#url(upload, object.sha256);
    const size = Math.max(this.#partBytes, Math.ceil(object.bytes / MAX_PARTS));
    if (object.bytes > size) return await this.#putParts(url, inChunks(content, size));
    const parts: Uint8Array[] = [];
    for await (const part of content) parts.push(part);
    await this.#send("PUT", url, Buffer.concat(parts), [200], { "content-type": "application/octet-stream" });
  }

  async #putParts(url: string, parts: AsyncIterable<Uint8Array>): Promise<void> {
    const begun = await this.#send("POST", `${url}?uploads=`, null, [200]);
    const id = /<UploadId>([^<]+)<\/UploadId>/.exec(await begun.text())?.[1];
    if (id === undefined) throw this.#odd(url, "it did not say under which id the parts are to be sent");
    const upload = `uploadId=${encodeURIComponent(plainText(id))}`;
    try {
      const tags: string[] = [];
      for await (const part of parts) {
        const sent = await this.#send("PUT", `${url}?partNumber=${tags.length + 1}&${upload}`, part, [200]);
        await sent.arrayBuffer();
        tags.push(sent.headers.get("etag") ?? "");
      }
      const list = tags.map((tag, at) => `<Part><PartNumber>${at + 1}</PartNumber><ETag>${tag}</ETag></Part>`).join("");
      const body = Buffer.from(`<CompleteMultipartUpload>${list}</CompleteMultipartUpload>`);
      const text = await (await this.#send("POST", `${url}?${upload}`, body, [200])).text();
      // Services answer 200 before they know.
      if (text.includes("<Error>")) throw this.#odd(url, text.slice(0, 300));
    } catch (error) {
      await this.#send("DELETE", `${url}?${upload}`, null, [200, 204, 404]).catch(() => {});
      throw error;
    }
  }

  async *get(upload: string, object: StoredObject): AsyncIterable<Uint8Array> {
    const url = this.#url(upload, object.sha256);
    const answer = await this.#send("GET", url, null, [200, 404]);
    if (answer.status === 404) {
      await answer.arrayBuffer();
      throw new TenutoError("artifact_corrupt", `artifact ${object.sha256} is not in ${this.place} any more`, {
        hint: "It may have been removed just now. Run the job again that made it.",
        details: { sha256: object.sha256 },
      });
    }
    if (answer.body === null) return;
    // A connection that breaks after the head is no fault of this engine's: whoever reads tries again.
    const reader = answer.body.getReader();
    try {
      for (;;) {
        const { value, done } = await this.#within(reader.read()).catch((fault: unknown) => {
          throw this.#unreachable(url, fault);
        });
        if (done === true) return;
        yield value;
      }
    } finally {
      // Who reads no further needs no more of it.
      void reader.cancel().catch(() => {});
    }
  }

  /** What does not come in time is given up. */
  async #within<T>(work: Promise<T>, giveUp: () => void = () => {}): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const silence = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        giveUp();
        reject(new Error(`it was silent for ${this.#answerMs / 1_000} s`));
      }, this.#answerMs);
    });
    try {
      return await Promise.race([work, silence]);
    } finally {
      clearTimeout(timer);
    }
  }

  async remove(upload: string, sha256: string): Promise<void> {
    await (await this.#send("DELETE", this.#url(upload, sha256), null, [200, 204, 404])).arrayBuffer();
  }

  #url(upload: string, sha256: string): string {
    return `${this.#base}${sha256.slice(0, 2)}/${sha256.slice(2)}/${upload}`;
  }

  async #send(
    method: string,
    url: string,
    body: Uint8Array | null,
    expected: readonly number[],
    headers: Record<string, string> = {},
  ): Promise<Response> {
    const signed = { ...headers, "x-amz-content-sha256": hash("sha256", body ?? "", "hex") };
    for (let attempt = 0; ; attempt++) {
      let fault: unknown;
      try {
        const control = new AbortController();
        const asked = this.#client.fetch(url, {
          method,
          headers: signed,
          signal: control.signal,
          ...(body === null ? {} : { body: body as Uint8Array<ArrayBuffer> }),
        });
        asked.catch(() => {});
        const answer = await this.#within(asked, () => control.abort());
        if (expected.includes(answer.status)) return answer;
        const text = await answer.text();
        if (answer.status < 500 && answer.status !== 429) throw this.#refused(url, method, answer.status, text);
        fault = `${answer.status} ${codeIn(text)}`;
      } catch (error) {
        if (error instanceof TenutoError) throw error;
        fault = error;
      }
      if (attempt + 1 >= TRIES) throw this.#unreachable(url, fault);
      await this.#pause(attempt);
    }
  }

  #refused(url: string, method: string, status: number, text: string): TenutoError {
    const code = codeIn(text);
    return new TenutoError("store_unavailable", `${this.place} refused ${method} of an artifact: ${status} ${code}`, {
      hint: /Signature|AccessKey|AccessDenied|Token/.test(code)
        ? "Look at the credentials, their rights (GetObject, PutObject, DeleteObject, AbortMultipartUpload) and this machine's clock."
        : "Look at bucket, endpoint and region of the address.",
      details: { status, code, path: new URL(url).pathname },
      category: "critical",
    });
  }

  #odd(url: string, what: string): TenutoError {
    return new TenutoError("store_unavailable", `${this.place} gave an answer that can't be understood: ${what}`, {
      details: { path: new URL(url).pathname },
      category: "retryable",
    });
  }

  #unreachable(url: string, fault: unknown): TenutoError {
    const why = fault instanceof Error ? ((fault.cause as Error | undefined)?.message ?? fault.message) : String(fault);
    return new TenutoError("store_unavailable", `${this.place} can't be reached: ${why}`, {
      hint: `Is ${new URL(url).origin} up, and may this machine talk to it? The job is tried again.`,
      category: "retryable",
      cause: fault,
    });
  }
}

function codeIn(text: string): string {
  return /<Code>([\w.]+)<\/Code>/.exec(text)?.[1] ?? "";
}

function plainText(xml: string): string {
  return xml.replaceAll("&quot;", '"').replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
}
