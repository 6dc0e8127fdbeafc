/** Reads the metrics of the process while a view shows them. */

import { effect, signal } from "@preact/signals";
import { ApiError, request } from "../api/client";
import { state } from "../api/session";
import { History } from "./history";
import { SERIES } from "./overview";
import { Metrics } from "./prometheus";

/** The time between two samples, in milliseconds. */
export const SAMPLE_INTERVAL_MS = 5_000;

/** The time limit of a sample, in milliseconds. */
const TIMEOUT_MS = 10_000;

/** The sampled values. They stay when the user visits another view, and grow only while the view is shown. */
export const history = signal(History.of(SERIES));

/** The metrics of the newest sample. */
export const newestMetrics = signal<Metrics | undefined>(undefined);

/** The answer of `/ready`: its further lines report problems. */
export const readiness = signal("");

/** Why the newest sample failed, if it did. */
export const sampleError = signal<unknown>(undefined);

effect(() => {
  if (state.value === "signed-out") {
    history.value = History.of(SERIES);
    newestMetrics.value = undefined;
    readiness.value = "";
    sampleError.value = undefined;
  }
});

/** Takes a sample now. Never throws: the outcome is in the signals. */
export async function takeSample(abort?: AbortSignal): Promise<void> {
  try {
    const [metrics, ready] = await Promise.all([readMetrics(abort), readReadiness(abort)]);
    newestMetrics.value = metrics;
    readiness.value = ready;
    history.value = history.peek().add(Date.now(), metrics);
    sampleError.value = undefined;
  } catch (error) {
    if (!abort?.aborted) {
      sampleError.value = error;
    }
  }
}

/** Takes samples until the returned function is called. A hidden page takes none. */
export function startSampling(): () => void {
  const abort = new AbortController();
  let isRunning = false;
  const tick = async (): Promise<void> => {
    if (isRunning || document.hidden) {
      return;
    }
    isRunning = true;
    await takeSample(abort.signal);
    isRunning = false;
  };
  void tick();
  const timer = setInterval(() => void tick(), SAMPLE_INTERVAL_MS);
  const onVisible = (): void => void tick();
  document.addEventListener("visibilitychange", onVisible);
  return () => {
    abort.abort();
    clearInterval(timer);
    document.removeEventListener("visibilitychange", onVisible);
  };
}

async function readMetrics(signal?: AbortSignal): Promise<Metrics> {
  const response = await request("/metrics", { signal, timeoutMs: TIMEOUT_MS });
  return Metrics.parse(await response.text());
}

/** A process that is not ready answers with an error whose text says why; a caller without the right sees nothing. */
async function readReadiness(signal?: AbortSignal): Promise<string> {
  try {
    const response = await request("/ready", { signal, timeoutMs: TIMEOUT_MS });
    return await response.text();
  } catch (error) {
    return error instanceof ApiError && error.status === 503 ? `not ready\n${error.message}` : "";
  }
}
