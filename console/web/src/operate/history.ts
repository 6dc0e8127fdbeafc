/** Short histories of metrics, and what is computed from them. */

import type { Metrics } from "./prometheus";

/** How the values of a metric are to be read. `rate`: the increase of a counter per second. */
export type Reading = "value" | "rate";

/** A line of a history: one number for each sampled moment. */
export interface Series {
  /** A name that is unique in its history. */
  key: string;
  reading: Reading;
  /** Returns the present value, or `undefined` if the process does not report it. */
  measure(metrics: Metrics): number | undefined;
}

/** The maximum number of moments that a history keeps: 30 minutes at one sample in 5 seconds. */
const MAX_MOMENTS = 360;

/** The last values of several series. Immutable, so that views notice a change. */
export class History {
  private constructor(
    private readonly series: readonly Series[],
    /** The sampled moments, in milliseconds since the Unix epoch. */
    readonly times: readonly number[],
    private readonly raw: ReadonlyMap<string, readonly (number | undefined)[]>,
  ) {}

  /** Returns a history without moments. */
  static of(series: readonly Series[]): History {
    return new History(series, [], new Map());
  }

  /** Returns this history with one more moment, and without the oldest one if there are too many. */
  add(timeMs: number, metrics: Metrics): History {
    const raw = new Map(
      this.series.map(({ key, measure }) => {
        const values = [...(this.raw.get(key) ?? []), measure(metrics)];
        return [key, values.slice(-MAX_MOMENTS)] as const;
      }),
    );
    return new History(this.series, [...this.times, timeMs].slice(-MAX_MOMENTS), raw);
  }

  /** Returns the values of a series, one for each moment. `null`: not known, because nothing was reported. */
  values(key: string): (number | null)[] {
    const raw = this.raw.get(key) ?? [];
    const reading = this.series.find((series) => series.key === key)?.reading;
    if (reading === "value") {
      return raw.map((value) => value ?? null);
    }
    return raw.map((value, at) => this.rate(raw, value, at));
  }

  /** Returns the newest value of a series. */
  newest(key: string): number | undefined {
    return this.values(key).at(-1) ?? undefined;
  }

  /** Returns the increase of a counter during the history, and the seconds in which it happened. */
  increase(key: string): { amount: number; seconds: number } {
    let amount = 0;
    let seconds = 0;
    this.values(key).forEach((rate, at) => {
      const elapsed = ((this.times[at] ?? 0) - (this.times[at - 1] ?? 0)) / 1_000;
      if (rate !== null && elapsed > 0) {
        amount += rate * elapsed;
        seconds += elapsed;
      }
    });
    return { amount, seconds };
  }

  private rate(raw: readonly (number | undefined)[], value: number | undefined, at: number): number | null {
    const before = at === 0 ? undefined : raw[at - 1];
    const seconds = ((this.times[at] ?? 0) - (this.times[at - 1] ?? 0)) / 1_000;
    // A counter that became smaller belongs to a process that has started again.
    if (value === undefined || before === undefined || value < before || seconds <= 0) {
      return null;
    }
    return (value - before) / seconds;
  }
}
