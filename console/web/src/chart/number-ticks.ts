// Ticks of axes of numbers.

/** Ticks of an axis at most. */
const MAX_TICKS = 200;

/** Returns the distance of round ticks, of which about `count` are in `span`. */
export function niceStep(span: number, count: number, base: 10 | 2): number {
  const least = span / Math.max(1, count);
  if (!(least > 0) || !Number.isFinite(least)) {
    return 1;
  }
  if (base === 2 && least >= 1) {
    const scale = 1024 ** Math.floor(Math.log2(least) / 10);
    const factor = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024].find((one) => one * scale >= least) ?? 1024;
    return factor * scale;
  }
  const power = 10 ** Math.floor(Math.log10(least));
  const factor = [1, 2, 2.5, 5, 10].find((one) => one * power >= least * (1 - 1e-9)) ?? 10;
  return factor * power;
}

/** Returns round numbers between `from` and `to`. */
export function numberTicks(from: number, to: number, count: number, base: 10 | 2): number[] {
  const step = niceStep(to - from, count, base);
  const ticks: number[] = [];
  const first = Math.ceil(from / step - 1e-9);
  for (let i = 0; i < MAX_TICKS; i++) {
    const tick = (first + i) * step;
    if (!(tick <= to + step * 1e-9)) {
      break;
    }
    ticks.push(tick === 0 ? 0 : Number(tick.toPrecision(12)));
  }
  return ticks;
}

/** Returns the powers of ten between two positive numbers, or round numbers if there are fewer than two. */
export function logarithmicTicks(from: number, to: number, count: number): number[] {
  const low = Math.ceil(Math.log10(from) - 1e-9);
  const high = Math.floor(Math.log10(to) + 1e-9);
  if (high - low < 1) {
    return numberTicks(from, to, count, 10);
  }
  const step = Math.max(1, Math.ceil((high - low) / Math.max(1, count)));
  const ticks: number[] = [];
  for (let power = low; power <= high; power += step) {
    ticks.push(10 ** power);
  }
  return ticks;
}

/** An interval of numbers. */
export interface Extent {
  min: number;
  max: number;
}

/** Returns the extent of a logarithmic axis whose values have the positive extent `min` to `max`. */
export function logarithmicExtent({ min, max }: Extent): Extent {
  return min <= max ? { min: min / 1.5, max: max * 1.5 } : { min: 1, max: 10 };
}

/** Returns the extent of an axis whose values have the extent `min` to `max`: with room on both sides, and with 0 if near. */
export function axisExtent({ min, max }: Extent, includesZero: boolean): Extent {
  if (!(min <= max)) {
    return { min: 0, max: 1 };
  }
  let low = includesZero ? Math.min(0, min) : min;
  let high = includesZero ? Math.max(0, max) : max;
  if (low === high) {
    const room = low === 0 ? 1 : Math.abs(low) * 0.1;
    return { min: low - room, max: high + room };
  }
  const span = high - low;
  if (low > 0 && low < span * 0.5) {
    low = 0;
  } else if (high < 0 && -high < span * 0.5) {
    high = 0;
  }
  const room = (high - low) * 0.05;
  return { min: low === 0 ? 0 : low - room, max: high === 0 ? 0 : high + room };
}
