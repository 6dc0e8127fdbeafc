// Units of values, and their texts.

/** A unit of values. */
export interface Unit {
  id: string;
  label: string;
  /** The distance of the steps of an axis: decimal, or by powers of two. */
  base: 10 | 2;
  format(value: number, decimals?: number): string;
}

const SI: readonly [number, string][] = [
  [1e15, "P"],
  [1e12, "T"],
  [1e9, "G"],
  [1e6, "M"],
  [1e3, "k"],
];

const IEC: readonly [number, string][] = [
  [2 ** 50, "Pi"],
  [2 ** 40, "Ti"],
  [2 ** 30, "Gi"],
  [2 ** 20, "Mi"],
  [2 ** 10, "Ki"],
];

const DURATIONS: readonly [number, string][] = [
  [86_400, "d"],
  [3600, "h"],
  [60, "min"],
  [1, "s"],
  [1e-3, "ms"],
  [1e-6, "µs"],
  [1e-9, "ns"],
];

/** Returns a number with at most `decimals` decimal places, or with four significant digits. */
export function formatNumber(value: number, decimals?: number): string {
  if (!Number.isFinite(value)) {
    return Number.isNaN(value) ? "–" : value > 0 ? "∞" : "−∞";
  }
  const size = Math.abs(value);
  if (decimals !== undefined) {
    return size >= 1e21 ? value.toExponential(3) : sign(value.toFixed(decimals));
  }
  if (size !== 0 && (size < 1e-4 || size >= 1e15)) {
    return sign(value.toExponential(3).replace(/\.?0+e/, "e"));
  }
  if (size >= 10_000) {
    return sign(value.toLocaleString("en", { maximumFractionDigits: 0 }));
  }
  const places = size >= 1000 || size === 0 ? 1 : Math.max(0, 3 - Math.floor(Math.log10(size)));
  return sign(withoutZeros(value.toFixed(places)));
}

function withoutZeros(text: string): string {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/** Returns the text of a number with a minus sign instead of a hyphen, and without a negative zero. */
function sign(text: string): string {
  return /^-0(\.0*)?$/.test(text) ? text.slice(1) : text.replace(/^-/, "−");
}

/** Returns a value in the largest step that is not larger than it. */
function scaled(value: number, steps: readonly [number, string][], suffix: string, decimals?: number): string {
  const size = Math.abs(value);
  const step = steps.find(([factor]) => size >= factor);
  if (step === undefined || !Number.isFinite(value)) {
    return `${formatNumber(value, decimals)}${suffix === "" ? "" : ` ${suffix}`}`;
  }
  return `${formatNumber(value / step[0], decimals)} ${step[1]}${suffix}`;
}

function duration(seconds: number, decimals?: number): string {
  const size = Math.abs(seconds);
  const step = DURATIONS.find(([factor]) => size >= factor) ?? DURATIONS[DURATIONS.length - 1];
  if (size === 0 || step === undefined || !Number.isFinite(seconds)) {
    return `${formatNumber(seconds, decimals)} s`;
  }
  return `${formatNumber(seconds / step[0], decimals)} ${step[1]}`;
}

function plain(id: string, label: string, suffix: string): Unit {
  return {
    id,
    label,
    base: 10,
    format: (value, decimals) => `${formatNumber(value, decimals)}${suffix}`,
  };
}

function si(id: string, label: string, suffix: string): Unit {
  return { id, label, base: 10, format: (value, decimals) => scaled(value, SI, suffix, decimals) };
}

function time(id: string, label: string, secondsPerUnit: number): Unit {
  return { id, label, base: 10, format: (value, decimals) => duration(value * secondsPerUnit, decimals) };
}

/** The units that a chart offers; the first one is the default. */
export const UNITS: readonly Unit[] = [
  plain("none", "No unit", ""),
  si("short", "Short (k, M, G)", ""),
  {
    id: "bytes",
    label: "Bytes (KiB, MiB)",
    base: 2,
    format: (value, decimals) => scaled(value, IEC, "B", decimals),
  },
  si("bytes_si", "Bytes (kB, MB)", "B"),
  {
    id: "bytes_per_second",
    label: "Bytes per second",
    base: 2,
    format: (value, decimals) => scaled(value, IEC, "B/s", decimals),
  },
  si("bits_per_second", "Bits per second", "bit/s"),
  plain("percent", "Percent (0 to 100)", " %"),
  {
    id: "ratio",
    label: "Percent (0 to 1)",
    base: 10,
    format: (value, decimals) => `${formatNumber(value * 100, decimals)} %`,
  },
  time("seconds", "Seconds", 1),
  time("milliseconds", "Milliseconds", 1e-3),
  time("microseconds", "Microseconds", 1e-6),
  time("nanoseconds", "Nanoseconds", 1e-9),
  si("per_second", "Per second", "/s"),
  plain("celsius", "Degrees Celsius", " °C"),
  plain("fahrenheit", "Degrees Fahrenheit", " °F"),
  si("watt", "Watt", "W"),
  si("watt_hour", "Watt hours", "Wh"),
  si("volt", "Volt", "V"),
  si("ampere", "Ampere", "A"),
  si("hertz", "Hertz", "Hz"),
  si("pascal", "Pascal", "Pa"),
  plain("hectopascal", "Hectopascal", " hPa"),
  si("metre", "Metre", "m"),
  plain("metres_per_second", "Metres per second", " m/s"),
  plain("kilometres_per_hour", "Kilometres per hour", " km/h"),
  si("gram", "Gram", "g"),
  si("litre", "Litre", "l"),
  plain("usd", "US dollars", " $"),
  plain("eur", "Euro", " €"),
];

const DEFAULT_UNIT: Unit = plain("none", "No unit", "");

/** Returns the unit of an id, or the one without a text. */
export function unitOf(id: string | undefined): Unit {
  return UNITS.find((unit) => unit.id === id) ?? DEFAULT_UNIT;
}
