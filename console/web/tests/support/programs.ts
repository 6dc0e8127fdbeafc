/** The programs under test, and the processes that tests start. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const REPOSITORY = fileURLToPath(new URL("../../../../", import.meta.url));

/** Time that a process gets to end by itself, in milliseconds. */
const STOP_TIMEOUT_MS = 20_000;

/**
 * Returns the path of a program: from an environment variable, or else from the folder of debug builds. Throws if there
 * is no such file.
 */
export function program(name: string, variable: string): string {
  const target = process.env.CARGO_TARGET_DIR ?? `${REPOSITORY}target`;
  const path = process.env[variable] ?? `${target}/debug/${name}`;
  if (!existsSync(path)) {
    throw new Error(`there is no ${path}: build the workspace, or set ${variable} to the path of ${name}`);
  }
  return path;
}

/** A running process, and what it has printed. */
export class RunningProcess {
  private constructor(
    private readonly child: ChildProcess,
    private readonly output: string[],
    /** The exit code, once the process has ended and everything that it printed is there. */
    readonly ended: Promise<number | null>,
  ) {}

  /**
   * Starts a program with a clean environment, so that settings of the developer have no effect, except for the margins
   * with which a test of the whole program shortens waits.
   */
  static start(path: string, args: string[], folder: string): RunningProcess {
    const env: NodeJS.ProcessEnv = {};
    for (const name of ["PATH", "HOME", "TMPDIR", "LANG", "NEAP_PROTOCOL_MARGINS"]) {
      env[name] = process.env[name];
    }
    const child = spawn(path, args, { cwd: folder, env, stdio: ["ignore", "pipe", "pipe"] });
    const kill = (): void => void child.kill("SIGKILL");
    process.once("exit", kill);
    child.once("exit", () => process.off("exit", kill));
    const output: string[] = [];
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8");
      stream.on("data", (text: string) => {
        output.push(text);
        // The last 1,000 pieces are enough to explain a failure.
        if (output.length > 1_000) {
          output.shift();
        }
      });
    }
    const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
    return new RunningProcess(child, output, ended);
  }

  /** Everything that the process has printed lately. */
  get log(): string {
    return this.output.join("");
  }

  /** Waits until a probe returns a value. Throws if the process ends, or after a timeout, with its output. */
  async waitFor<T>(what: string, probe: () => T | undefined | Promise<T | undefined>, timeoutMs = 60_000): Promise<T> {
    const deadline = Date.now() + timeoutMs;
    while (Date.now() < deadline) {
      const value = await probe();
      if (value !== undefined) {
        return value;
      }
      if (this.child.exitCode !== null || this.child.signalCode !== null) {
        throw new Error(`the process ended before ${what}:\n${this.log}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`no ${what} within ${timeoutMs} ms:\n${this.log}`);
  }

  /** Ends the process with a signal, and waits for its end. Kills it if it takes too long. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) {
      return;
    }
    const end = new Promise<void>((resolve) => this.child.once("exit", () => resolve()));
    this.child.kill(signal);
    const killer = setTimeout(() => this.child.kill("SIGKILL"), STOP_TIMEOUT_MS);
    await end;
    clearTimeout(killer);
  }
}
