/** Servers under test: `neap serve` on a directory or on an S3 server, with tokens or without. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";

import { program, RunningProcess } from "./programs";

/** A folder of this machine, or a bucket of the project's S3 server. */
export type StoreKind = "directory" | "s3";

export interface ServerOptions {
  /** Whether requests need tokens. Without it, everything is allowed. */
  tokens?: boolean;
  /** Where the data are; a directory unless set. */
  store?: StoreKind;
  /** Further options of `neap serve`. */
  args?: string[];
}

const running = new Set<Server>();

// A test that fails may not get to close its server.
afterAll(async () => {
  await Promise.allSettled([...running].map((server) => server.close()));
});

/** Starts a server in a new, empty store. */
export async function startServer(options: ServerOptions = {}): Promise<Server> {
  const folder = mkdtempSync(join(tmpdir(), "neap-console-"));
  const flags = [...(options.args ?? []), ...(options.tokens ? [] : ["--without-auth"])];
  let bucket: RunningProcess | undefined;
  if (options.store === "s3") {
    bucket = RunningProcess.start(program("neap-s3-server", "NEAP_S3_SERVER_BIN"), ["0", folder], folder);
    const [endpoint, name] = await bucket.waitFor("address of the S3 server", () => {
      const words = bucket?.log.trim().split(" ") ?? [];
      return words.length === 2 ? words : undefined;
    });
    flags.push("--object-store", "s3", "--aws-endpoint", `${endpoint}`, "--bucket", `${name}`, "--aws-allow-http");
    flags.push("--aws-access-key-id", "AKIDTEST", "--aws-secret-access-key", "SKTEST");
    flags.push("--aws-default-region", "us-east-1");
  } else {
    flags.push("--object-store", "file", "--data-dir", join(folder, "data"));
  }
  const server = new Server(folder, flags, bucket);
  running.add(server);
  try {
    await server.start();
    if (options.tokens) {
      await server.createOperatorToken();
    }
  } catch (error) {
    await server.close();
    throw error;
  }
  return server;
}

/** A server under test, its store, and requests that tests send beside the browser. */
export class Server {
  /** The operator token, if requests need tokens. */
  token: string | undefined;
  private port = "0";
  private process: RunningProcess | undefined;

  constructor(
    private readonly folder: string,
    private readonly flags: string[],
    private readonly bucket: RunningProcess | undefined,
  ) {}

  /** The address of the server and of its console. */
  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** What the server has printed. */
  get log(): string {
    return this.process?.log ?? "";
  }

  /** Starts the process; on the same port as before, if it ran before. */
  async start(): Promise<void> {
    const addressFile = join(this.folder, "address");
    rmSync(addressFile, { force: true });
    const args = ["serve", "--http-bind", `127.0.0.1:${this.port}`, "--tcp-listener-file-path", addressFile];
    this.process = RunningProcess.start(program("neap", "NEAP_BIN"), [...args, ...this.flags], this.folder);
    const address = await this.process.waitFor("address of the server", () =>
      existsSync(addressFile) ? readFileSync(addressFile, "utf8").trim() || undefined : undefined,
    );
    this.port = address.slice(address.lastIndexOf(":") + 1);
    await this.process.waitFor("answer of the server", () =>
      fetch(`${this.url}/health`).then(
        () => true,
        () => undefined,
      ),
    );
  }

  /** Stops the process and keeps the data; {@link Server.start} starts it again. */
  async stop(signal?: NodeJS.Signals): Promise<void> {
    await this.process?.stop(signal);
    this.process = undefined;
  }

  /** Stops everything and deletes the data. */
  async close(): Promise<void> {
    running.delete(this);
    await this.stop("SIGKILL");
    await this.bucket?.stop("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Sends a request with the operator token. Throws if the status is not 2xx. */
  async request(path: string, options: RequestInit = {}): Promise<Response> {
    const headers = new Headers(options.headers);
    if (this.token) {
      headers.set("authorization", `Bearer ${this.token}`);
    }
    const response = await fetch(this.url + path, { ...options, headers });
    if (!response.ok) {
      throw new Error(`${options.method ?? "GET"} ${path}: ${response.status} ${await response.text()}`);
    }
    return response;
  }

  /** Sends a value as JSON and returns the answer, parsed if it is JSON. */
  async send(method: string, path: string, value: unknown): Promise<unknown> {
    const headers = { "content-type": "application/json" };
    const text = await (await this.request(path, { method, headers, body: JSON.stringify(value) })).text();
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  }

  /** Writes lines of line protocol. */
  async write(database: string, lines: string): Promise<void> {
    await this.request(`/api/v3/write_lp?db=${encodeURIComponent(database)}`, { method: "POST", body: lines });
  }

  /** Runs an SQL query and returns its rows. */
  async query(database: string, sql: string): Promise<Record<string, unknown>[]> {
    const response = (await this.send("POST", "/api/v3/query_sql", {
      db: database,
      q: sql,
      format: "json",
    })) as unknown;
    return response as Record<string, unknown>[];
  }

  /**
   * Creates a token with permissions such as `db:home:read`, and returns its secret. `expirySeconds` unset: it does not
   * expire.
   */
  async createToken(name: string, permissions: string[], expirySeconds?: number): Promise<string> {
    const parsed = permissions.map((permission) => {
      const [type, names, actions] = permission.split(":");
      return { resource_type: type, resource_names: names?.split(","), actions: actions?.split(",") };
    });
    const body = { token_name: name, permissions: parsed, expiry_secs: expirySeconds ?? null };
    const token = (await this.send("POST", "/api/v3/configure/token", body)) as { token: string };
    return token.token;
  }

  /** Creates the operator token, which sends all further requests of this object. */
  async createOperatorToken(): Promise<void> {
    const token = (await this.send("POST", "/api/v3/configure/token/admin", {})) as { token: string };
    this.token = token.token;
  }

  /** Revokes a token by its name. */
  async revokeToken(name: string): Promise<void> {
    await this.request(`/api/v3/configure/token?token_name=${encodeURIComponent(name)}`, { method: "DELETE" });
  }
}
