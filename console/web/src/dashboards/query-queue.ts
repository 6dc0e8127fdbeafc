// The order of the queries of a dashboard: only a few run at the same time.

/** Queries that run at the same time at most. */
const MAX_RUNNING = 4;

interface Waiting {
  start(): void;
}

let running = 0;
const waiting: Waiting[] = [];

/** Runs a task when fewer than four others run. An abort of `signal` before that throws its reason. */
export async function enqueue<T>(signal: AbortSignal, task: () => Promise<T>): Promise<T> {
  await turn(signal);
  try {
    return await task();
  } finally {
    running -= 1;
    waiting.shift()?.start();
  }
}

function turn(signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    const start = (): void => {
      signal.removeEventListener("abort", leave);
      running += 1;
      resolve();
    };
    const entry = { start };
    const leave = (): void => {
      const at = waiting.indexOf(entry);
      if (at >= 0) {
        waiting.splice(at, 1);
      }
      reject(signal.reason);
    };
    if (running < MAX_RUNNING) {
      start();
    } else {
      signal.addEventListener("abort", leave);
      waiting.push(entry);
    }
  });
}
