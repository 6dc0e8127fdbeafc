// The numbers of plan metrics, as DataFusion writes them: `48.00 K`, `10.1 KB`, `61.54µs`.

/** What a number counts. */
export type QuantityKind = "time" | "bytes" | "count";

/** A number of a metric: nanoseconds, bytes or a count. */
export interface Quantity {
  kind: QuantityKind;
  value: number;
}

const NANOSECONDS: Record<string, number> = {
  ns: 1,
  µs: 1e3,
  μs: 1e3,
  us: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

const COUNTS: Record<string, number> = { "": 1, K: 1e3, M: 1e6, B: 1e9, T: 1e12 };

const BYTES: Record<string, number> = { B: 1, KB: 2 ** 10, MB: 2 ** 20, GB: 2 ** 30, TB: 2 ** 40, PB: 2 ** 50 };

/** Metrics that count bytes but are written as counts, in thousands. */
const BYTES_AS_COUNTS = new Set(["bytes_scanned", "max_mem_used"]);

/** Parses the value of a metric; `undefined` if it is not one number. */
export function parseQuantity(name: string, text: string): Quantity | undefined {
  const match = /^(\d+(?:\.\d+)?)\s?([A-Za-zµμ]{0,2})$/.exec(text.trim());
  if (match === null) {
    return undefined;
  }
  const [, digits = "", unit = ""] = match;
  const number = Number(digits);
  const asCount = COUNTS[unit];
  if (BYTES_AS_COUNTS.has(name) && asCount !== undefined) {
    return { kind: "bytes", value: number * asCount };
  }
  const nanoseconds = NANOSECONDS[unit];
  if (nanoseconds !== undefined) {
    return { kind: "time", value: number * nanoseconds };
  }
  // Counts below 100 billion have two decimal places, and bytes have one.
  const isBillions = unit === "B" && /\.\d\d$/.test(digits);
  const bytes = BYTES[unit];
  if (bytes !== undefined && !isBillions) {
    return { kind: "bytes", value: number * bytes };
  }
  return asCount === undefined ? undefined : { kind: "count", value: number * asCount };
}
